/** What `tts.speak` takes, and how text that is still being written becomes sentences. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sentencesOf } from "../dist/clauses.js";
import { checkSpeak } from "../dist/options.js";
import { checkSpeech, total } from "../dist/worker/speech_memory.js";

/** The sentences of a text that arrives in these bits. */
async function sentences(...bits) {
  const found = [];
  for await (const sentence of sentencesOf(bits[Symbol.iterator]())) found.push(sentence);
  return found;
}

const TEXT = 'Good morning, Dr. Smith. It is 9.30 e.g. on Mondays. "Really?!" she asked then. Well… no.\n\nA new paragraph\nand the end';

test("sentences end at their marks, not at abbreviations or numbers", async () => {
  assert.deepEqual(await sentences(TEXT), [
    "Good morning, Dr. Smith. ",
    "It is 9.30 e.g. on Mondays. ",
    '"Really?!" she asked then. ',
    "Well… no.\n\nA new paragraph\n",
    "and the end",
  ]);
});

test("the bits that a text comes in change nothing, and nothing is lost", async () => {
  const whole = await sentences(TEXT);
  assert.equal(whole.join(""), TEXT);
  for (const size of [1, 2, 3, 7, 20]) {
    const bits = Array.from({ length: Math.ceil(TEXT.length / size) }, (_, index) => TEXT.slice(index * size, (index + 1) * size));
    assert.deepEqual(await sentences(...bits), whole, `bits of ${size}`);
  }
});

test("a text without an end is cut, and costs no more than its length", async () => {
  for (const unit of [".", "!?", "a", "a ", '.")', "Mr. ", "\n", " ", "e.g. "]) {
    const text = unit.repeat(20_000 / unit.length);
    const began = performance.now();
    const found = await sentences(...text);
    assert.ok(performance.now() - began < 10_000, `${JSON.stringify(unit)} took ${performance.now() - began} ms`);
    assert.equal(found.join("").trim(), text.trim());
    assert.deepEqual((await sentences(text)).join("").trim(), text.trim());
  }
});

test("a sentence is given as soon as the next one begins", async () => {
  const given = [];
  async function* written() {
    yield "The first sentence is this. ";
    assert.deepEqual(given, []);
    yield "T";
    assert.deepEqual(given, ["The first sentence is this. "]);
    yield "he second.";
  }
  for await (const sentence of sentencesOf(written())) given.push(sentence);
  assert.deepEqual(given, ["The first sentence is this. ", "The second."]);
});

test("short sentences wait for the next one, and white space is no sentence", async () => {
  assert.deepEqual(await sentences("Yes. No. That is how it has been."), ["Yes. No. That is how it has been."]);
  assert.deepEqual(await sentences(" \n ", "\n"), []);
  assert.deepEqual(await sentences(), []);
});

test("options of speech act or are refused by name", () => {
  assert.deepEqual(checkSpeak({ voice: "heart", speed: 1.2, seed: 7 }), { voice: "heart", speed: 1.2, seed: 7 });
  assert.deepEqual(checkSpeak(undefined), {});
  for (const [name, value] of [["speed", 2.5], ["speed", "fast"], ["seed", -1], ["seed", 0.5], ["voice", 3], ["signal", {}], ["pitch", 1]]) {
    assert.throws(() => checkSpeak({ [name]: value }), (error) => error.message.includes(name) && ["invalid_argument", "unsupported"].includes(error.code), `${name}: ${value}`);
  }
});

test("a speech model that does not fit is refused with numbers, and with a type that would fit", () => {
  const gibibytes = (count) => count * 1024 ** 3;
  const weights = { undefined: 6, q8_0: 3.4, q6_k: 2.7, q5_k: 2.2, q4_k: 1.9 };
  const plan = (quantize) => ({ languageModel: gibibytes(weights[quantize]), codec: gibibytes(0.1), cache: gibibytes(0.9) });
  assert.equal(total(checkSpeech("m", "q4_k", 0, plan)), total(plan("q4_k")));
  const refused = (quantize, held) => {
    try {
      checkSpeech("m", quantize, held, plan);
    } catch (error) {
      return error;
    }
    return assert.fail("it fits");
  };
  for (const quantize of [undefined, "q8_0"]) {
    const error = refused(quantize, 0);
    assert.equal(error.code, "too_large");
    assert.deepEqual(error.memory, { needed: total(plan(quantize)), available: gibibytes(4) - 128 * 1024 ** 2 });
    assert.match(error.hint, /quantize: "q6_k", with which it needs 3789 MiB/);
  }
  assert.match(refused("q4_k", gibibytes(2)).hint, /dispose/);
  const voice = () => ({ languageModel: 0, codec: gibibytes(5), cache: 0 });
  assert.throws(() => checkSpeech("m", undefined, 0, voice), { code: "too_large", hint: "choose a smaller model" });
});
