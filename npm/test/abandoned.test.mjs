/** A hundred abandoned calls of each kind, in every way in which a call can be abandoned: what follows is what it always is. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { Crane } from "../dist/index.js";

const FIXTURES = new URL("../../crane-sdk/tests/fixtures/", import.meta.url);
const TINY = new URL("qwen2_tied/", FIXTURES);
const BERT = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"];
const MODELS = process.env.CRANE_TEST_MODELS ?? join(homedir(), ".cache", "crane-test-models");
const HIBARI = join(MODELS, "hibari");
const TIMES = 100;

const tiny = () => Object.fromEntries(readdirSync(TINY).filter((name) => !name.startsWith("golden")).map((name) => [name, new URL(name, TINY)]));
const bert = () => Object.fromEntries(BERT.map((name) => [name, new URL(`bert/${name}`, FIXTURES)]));

let crane;
before(async () => (crane = await Crane.create({ hibariUrl: pathToFileURL(`${HIBARI}/`) })));
after(() => crane.dispose());

const quietly = (promise) => promise.catch(({ code }) => assert.equal(code, "aborted"));

/** The ways of giving up a stream that `open(signal)` makes, after none, one or a few of its pieces. */
const WAYS = [
  async function abortInTheLoop(open) {
    const stop = new AbortController();
    await quietly((async () => {
      for await (const _ of open(stop.signal)) stop.abort();
    })());
  },
  async function leaveTheLoop(open) {
    for await (const _ of open()) break;
  },
  async function throwInTheLoop(open) {
    await assert.rejects(async () => {
      for await (const _ of open()) throw new Error("mine");
    }, /mine/);
  },
  async function abortAndForget(open) {
    const stop = new AbortController();
    await open(stop.signal).next();
    stop.abort();
  },
  async function abortBeforeTheFirst(open) {
    const stop = new AbortController();
    const first = quietly(open(stop.signal).next());
    stop.abort();
    await first;
  },
  async function abortWhileItComes(open) {
    const stop = new AbortController();
    const stream = open(stop.signal);
    await stream.next();
    const second = quietly(stream.next());
    await new Promise((resolve) => setTimeout(resolve));
    stop.abort();
    await second;
  },
  async function returnWithoutReading(open) {
    await open().return();
  },
];

/** Gives a stream up a hundred times; after each, and while the next one is being given up, `whole` is what it was before. */
async function hold(open, whole) {
  const expected = await whole();
  for (let time = 0; time < TIMES; time++) {
    await WAYS[time % WAYS.length](open);
    if (time % 3 === 1) await WAYS[(time + 2) % WAYS.length](open);
    assert.deepEqual(await whole(), expected, `after ${WAYS[time % WAYS.length].name}, time ${time}`);
  }
}

async function all(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}

test("generations", async () => {
  const llm = await crane.load(tiny(), { context: 256 });
  const prompt = [5, 6, 7, 8];
  const options = (signal) => ({ max_tokens: 200, temperature: 0, ignore_eos: true, ...(signal ? { signal } : {}) });
  await hold((signal) => llm.generate(prompt, options(signal)), () => all(llm.generate(prompt, { ...options(), max_tokens: 6 })));
  await llm.dispose();
});

test("chats, streamed and whole", async () => {
  const llm = await crane.load(tiny(), { context: 256 });
  const body = { messages: [{ role: "user", content: "Hi" }], temperature: 0, max_tokens: 100 };
  const whole = async () => (await llm.chat("Hi", { temperature: 0, max_tokens: 6 }));
  await hold(async function* (signal) {
    yield* await llm.chat.completions.create({ ...body, stream: true }, signal ? { signal } : {});
  }, whole);
  const expected = await whole();
  for (let time = 0; time < TIMES; time++) {
    const stop = new AbortController();
    const answer = quietly(llm.chat("Hi", { max_tokens: 100, signal: stop.signal, onText: () => time % 2 && stop.abort() }));
    if (time % 2 === 0) setTimeout(() => stop.abort());
    await answer;
    assert.equal(await whole(), expected);
  }
  await llm.dispose();
});

test("vectors", async () => {
  const embedder = await crane.loadEmbedder(bert());
  const texts = Array.from({ length: 40 }, (_, index) => `text number ${index}`);
  const expected = await embedder.embed("Where is the station?");
  for (let time = 0; time < TIMES; time++) {
    const stop = new AbortController();
    const given = quietly(embedder.embed(texts, { signal: stop.signal }));
    if (time % 2) await new Promise((resolve) => setTimeout(resolve));
    stop.abort();
    assert.deepEqual(await embedder.embed("Where is the station?"), expected);
    await given;
  }
  await embedder.dispose();
});

test("loads", async () => {
  for (let time = 0; time < TIMES; time++) {
    const stop = new AbortController();
    const load = crane.load(tiny(), { context: 64, signal: stop.signal, onProgress: () => time % 2 && stop.abort() }).then((llm) => llm.dispose(), ({ code }) => assert.equal(code, "aborted"));
    if (time % 2 === 0) setTimeout(() => stop.abort(), time % 7);
    await load;
  }
  const llm = await crane.load(tiny(), { context: 64 });
  assert.equal((await all(llm.generate([5, 6, 7], { max_tokens: 4, ignore_eos: true }))).length, 4);
});

test("utterances", async (t) => {
  if (!existsSync(join(HIBARI, "hibari.onnx"))) return t.skip(`skipped: ${HIBARI} is missing`);
  const tts = await crane.load("hibari");
  const speak = (text) => (signal) => tts.speak(text, signal ? { signal } : {});
  const whole = async () => (await all(tts.speak("Yes."))).reduce((samples, { length }) => samples + length, 0);
  await hold(speak("Oh. ".repeat(50)), whole);
  async function* written() {
    for (let count = 0; count < 20; count++) yield "Another sentence of it. ";
  }
  const expected = await whole();
  for (const way of WAYS) {
    await way((signal) => tts.speak(written(), signal ? { signal } : {}));
    assert.equal(await whole(), expected, way.name);
  }
  // A writer that never comes back does not keep the reader.
  const stop = new AbortController();
  async function* stuck() {
    yield "One. ";
    await new Promise(() => {});
  }
  const speech = all(tts.speak(stuck(), { signal: stop.signal }));
  setTimeout(() => stop.abort(), 20);
  await assert.rejects(speech, { code: "aborted" });
  assert.equal(await whole(), expected);
});
