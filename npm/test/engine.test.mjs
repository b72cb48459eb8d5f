/** The built engine under Node, on a tiny checkpoint as it is published: safetensors and JSON files. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Crane, CraneError } from "../dist/index.js";

const FOLDER = new URL("../../crane-sdk/tests/fixtures/qwen2_tied/", import.meta.url);
const { values } = JSON.parse(readFileSync(new URL("golden.json", FOLDER), "utf8"));
const FILES = readdirSync(FOLDER).filter((name) => !name.startsWith("golden"));

/** The checkpoint's files, each handed over by `as`. */
const checkpoint = (as) => Object.fromEntries(FILES.map((name) => [name, as(new URL(name, FOLDER))]));
const asUrl = (url) => url;
const asBlob = (url) => new Blob([readFileSync(url)]);
const asBuffer = (url) => Uint8Array.from(readFileSync(url)).buffer;

/** An integer tensor of the recorded outputs. */
function recorded(name) {
  const bytes = readFileSync(new URL("golden.safetensors", FOLDER));
  const header = Number(bytes.readBigUInt64LE(0));
  const { data_offsets: [start, end], dtype } = JSON.parse(bytes.subarray(8, 8 + header).toString())[name];
  assert.equal(dtype, "I64");
  const data = bytes.subarray(8 + header + start, 8 + header + end);
  return Array.from({ length: data.length / 8 }, (_, index) => Number(data.readBigInt64LE(index * 8)));
}

async function collect(pieces) {
  const all = [];
  for await (const piece of pieces) all.push(piece);
  return all;
}

let crane, llm;
before(async () => {
  crane = await Crane.create();
  llm = await crane.load(checkpoint(asUrl), { context: 256 });
});
after(() => crane.dispose());

const prompt = values.prompt_ids[0];
const messages = [{ role: "user", content: "Hello" }];
const code = (expected, pattern = /./) => (error) => error instanceof CraneError && error.code === expected && pattern.test(error.message);

test("it says what was loaded", () => {
  assert.deepEqual([llm.info.vocabularySize, llm.info.contextLength, llm.info.hasChatTemplate], [448, 256, true]);
});

test("the build is the fastest that this Node runs", () => {
  // i8x16.relaxed_swizzle of two constants, dropped: another instruction of the same proposal than the package asks for.
  const relaxed = WebAssembly.validate(Uint8Array.of(
    0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0,
    10, 16, 1, 14, 0, 65, 0, 253, 15, 65, 0, 253, 15, 253, 128, 2, 26, 11,
  ));
  assert.equal(llm.info.instructionSet, relaxed ? "relaxed SIMD" : "SIMD128");
});

test("blobs and buffers give the same model as files", async () => {
  const expected = await collect(llm.generate(prompt, { max_tokens: 4, ignore_eos: true }));
  for (const as of [asBlob, asBuffer]) {
    const other = await crane.load(checkpoint(as), { context: 256 });
    assert.deepEqual(await collect(other.generate(prompt, { max_tokens: 4, ignore_eos: true })), expected);
    await other.dispose();
  }
});

test("greedy ids are those of the original implementation", async () => {
  for (const [name, start] of [["greedy0.tokens", prompt], ["greedy1.tokens", values.prompt_ids[4].slice(0, 9)]]) {
    const expected = recorded(name);
    const options = { temperature: 0, max_tokens: expected.length, ignore_eos: true };
    assert.deepEqual(await collect(llm.generate(start, options)), expected);
  }
});

test("every sampling option reaches the engine", async () => {
  const ids = (options) => collect(llm.generate(prompt, { temperature: 1, seed: 3, max_tokens: 16, ignore_eos: true, ...options }));
  const plain = await ids({});
  const changes = {
    temperature: 0,
    top_p: 0.01,
    top_k: 1,
    min_p: 1,
    typical_p: 0.001,
    seed: 4,
    presence_penalty: 2,
    frequency_penalty: 2,
    repetition_penalty: 5,
    logit_bias: { [plain[0]]: -100 },
    max_tokens: 3,
  };
  for (const [name, value] of Object.entries(changes)) assert.notDeepEqual(await ids({ [name]: value }), plain, name);
  const penalised = await ids({ repetition_penalty: 5, temperature: 0 });
  assert.notDeepEqual(await ids({ repetition_penalty: 5, temperature: 0, penalty_last_n: 1 }), penalised);
});

test("texts and chats become the original ids", async () => {
  for (const [text, ids] of Object.entries(values.text_token_ids)) {
    assert.deepEqual(await llm.tokenize(text), ids);
    assert.equal(await llm.detokenize(ids), text);
  }
  for (const chat of [values.chat, values.chat_default_system]) {
    assert.equal(await llm.detokenize(await llm.tokenizeChat(chat.messages)), chat.rendered);
  }
});

test("forms at the limits are held, and hostile ones end in an error and not in a dead worker", async () => {
  const chain = (length) => ({ grammar: `start: r0\n${Array.from({ length }, (_, i) => `r${i}: "a" r${i + 1}`).join("\n")}\nr${length}: "b"` });
  const schema = (schema) => ({ response_format: { type: "json_schema", json_schema: { schema } } });
  const deep = (levels) => (levels === 0 ? { type: "string" } : { type: "object", properties: { a: deep(levels - 1) }, required: ["a"] });
  const wide = (count) => ({ type: "object", properties: Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, { type: "string" }])) });
  const ask = (form) => llm.chat("Hello", { max_tokens: 2, ...form });
  for (const form of [chain(80), schema(deep(20)), schema(wide(512))]) assert.equal(typeof (await ask(form)), "string");
  const parens = { grammar: { type: "regex", value: `${"(".repeat(5000)}a${")".repeat(5000)}` } };
  for (const form of [chain(668), chain(5000), schema(deep(100)), schema(deep(3000)), schema(wide(6900)), schema({ type: "integer", multipleOf: 99_999_999 }), parens]) {
    await assert.rejects(ask(form), code("invalid_argument"));
  }
  assert.equal(typeof (await ask({})), "string");
});

test("an answer has the form that was asked for", async () => {
  const properties = { sure: { type: "boolean" }, color: { enum: ["red", "green"] } };
  const schema = { type: "object", properties, required: ["sure", "color"], additionalProperties: false };
  const response_format = { type: "json_schema", json_schema: { name: "answer", schema } };
  const seen = new Set();
  for (let seed = 0; seed < 8; seed++) {
    const { choices: [{ message, finish_reason }] } = await llm.chat.completions.create({ messages, response_format, temperature: 1, seed });
    seen.add(message.content);
    assert.match(message.content, /^\{"sure": (true|false), "color": "(red|green)"\}$/);
    assert.equal(finish_reason, "stop");
  }
  assert.ok(seen.size > 1, "the model chooses within the form");
  assert.match(await llm.chat("Hello", { grammar: { type: "regex", value: "[a-c]{3}" } }), /^[a-c]{3}$/);
  assert.match(await llm.chat("Hello", { grammar: 'start: "yes" | "no"' }), /^(yes|no)$/);
  assert.equal(typeof JSON.parse(await llm.chat("Hello", { response_format: { type: "json_schema", json_schema: { schema: { type: "boolean" } } } })), "boolean");
  const bad = { type: "json_schema", json_schema: { schema: { type: "object", $ref: "#/nowhere" } } };
  await assert.rejects(llm.chat("Hello", { response_format: bad }), code("invalid_argument", /grammar/));
  // A form is of one answer.
  assert.doesNotMatch(await llm.chat("Hello", { temperature: 0, max_tokens: 8 }), /^(yes|no)$/);
});

test("two models live side by side; one that is disposed says so", async () => {
  const other = await crane.load(checkpoint(asUrl), { context: 64 });
  const [one, two] = await Promise.all([llm, other].map((model) => collect(model.generate(prompt, { temperature: 0, max_tokens: 8, ignore_eos: true }))));
  assert.deepEqual(one, two);
  await other.dispose();
  await other.dispose();
  await assert.rejects(other.tokenize("x"), code("disposed"));
  await assert.rejects(collect(other.generate(prompt)), code("disposed"));
  assert.equal((await llm.tokenize("The quick brown fox")).length, 12);
});

test("disposing a model stops its answer", async () => {
  const other = await crane.load(checkpoint(asUrl), { context: 256 });
  await assert.rejects(async () => {
    for await (const _ of other.generate(prompt, { ignore_eos: true })) await other.dispose();
  }, code("disposed"));
});

test("memory does not grow over many generations and models", async () => {
  const round = async () => {
    const other = await crane.load(checkpoint(asUrl), { context: 256 });
    for (let turn = 0; turn < 5; turn++) await collect(other.generate(prompt, { max_tokens: 20, seed: turn, temperature: 1 }));
    await other.dispose();
  };
  const PAGE = 64 * 1024;
  await round();
  const { wasmBytes } = await crane.memory();
  for (let count = 0; count < 10; count++) await round();
  // A leak would add a model (many pages) a round; hash tables are seeded anew, so that the heap may be cut
  // up another way and want a page or two more.
  const grown = (await crane.memory()).wasmBytes - wasmBytes;
  assert.ok(grown <= 2 * PAGE, `${grown} bytes more after ten rounds`);
});

test("a reader who is slow holds the engine up, and one who leaves stops it", async () => {
  let read = 0;
  for await (const _ of llm.generate(prompt, { ignore_eos: true, max_tokens: 200 })) {
    if (++read === 60) break;
    if (read < 3) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.equal(read, 60);
});

test("an abort stops a load and an answer, and the engine goes on", async () => {
  const aborts = [];
  for (let limit = 0; limit < 6; limit++) {
    const stop = new AbortController();
    let count = 0;
    const onProgress = () => count++ >= limit && stop.abort();
    aborts.push(await crane.load(checkpoint(asBlob), { signal: stop.signal, onProgress }).then((model) => model.dispose(), (error) => error.code));
  }
  assert.ok(aborts.includes("aborted"));
  for (let limit = 1; limit < 6; limit++) {
    const stop = new AbortController();
    let count = 0;
    await assert.rejects(async () => {
      for await (const _ of llm.generate(prompt, { ignore_eos: true, signal: stop.signal })) if (++count === limit) stop.abort();
    }, code("aborted"));
    assert.equal(count, limit);
  }
  assert.equal((await collect(llm.generate(prompt, { max_tokens: 3, ignore_eos: true }))).length, 3);
});

test("what is wrong with a checkpoint is told by file", async () => {
  const without = (name) => Object.fromEntries(Object.entries(checkpoint(asUrl)).filter(([file]) => file !== name));
  await assert.rejects(crane.load(without("model.safetensors")), code("not_found", /safetensors/));
  await assert.rejects(crane.load(without("tokenizer.json")), (error) => error instanceof CraneError && /tokenizer/.test(error.message));
  await assert.rejects(crane.load({ ...checkpoint(asUrl), "config.json": new Blob(["{"]) }), code("invalid_file", /config\.json/));
  const cut = new Blob([readFileSync(new URL("model.safetensors", FOLDER)).subarray(0, 5000)]);
  await assert.rejects(crane.load({ ...checkpoint(asUrl), "model.safetensors": cut }), code("invalid_file", /model\.safetensors/));
  await assert.rejects(crane.load(new URL("none.gguf", FOLDER)), code("not_found"));
});

test("what is wrong with a request is told by name", async () => {
  const create = (options) => llm.chat.completions.create({ messages, ...options });
  await assert.rejects(create({ max_tokens: 0 }), code("invalid_argument", /max_tokens/));
  await assert.rejects(create({ logprobs: true }), code("unsupported", /logprobs/));
  await assert.rejects(create({ messages: [{ role: "user", content: "word ".repeat(400) }] }), code("context_overflow"));
  await assert.rejects(collect(llm.generate([])), code("invalid_argument"));
  await assert.rejects(collect(llm.generate([5000])), code("invalid_argument"));
  await assert.rejects(crane.load(checkpoint(asUrl), { context: 10_000_000 }), code("invalid_argument", /context/));
});

test("an engine whose parts are not there says so", async () => {
  await assert.rejects(Crane.create({ wasmUrl: new URL("none.wasm", FOLDER) }), (error) => error instanceof CraneError && /none\.wasm/.test(error.message));
  await assert.rejects(Crane.create({ workerUrl: new URL("none.js", FOLDER) }), code("worker"));
});

test("a disposed engine refuses calls and those under way", async () => {
  const other = await Crane.create();
  const loading = other.load(checkpoint(asUrl));
  other.dispose();
  await assert.rejects(loading, code("disposed"));
  await assert.rejects(other.memory(), code("disposed"));
});

test("a last character that max_tokens cuts is left out, streamed and whole", async () => {
  for (const text of ["😀😀", "a好b", "né"]) {
    const body = { messages, grammar: { type: "regex", value: text }, temperature: 0 };
    const whole = await llm.chat.completions.create(body);
    assert.equal(whole.choices[0].message.content, text);
    for (let max_tokens = 1; max_tokens < whole.usage.completion_tokens; max_tokens++) {
      const { choices: [{ message: { content }, finish_reason }] } = await llm.chat.completions.create({ ...body, max_tokens });
      const chunks = await collect(await llm.chat.completions.create({ ...body, max_tokens, stream: true }));
      assert.ok(text.startsWith(content), `${text}, ${max_tokens} tokens: ${JSON.stringify(content)}`);
      assert.equal(chunks.map(({ choices }) => choices[0].delta.content ?? "").join(""), content);
      assert.equal(finish_reason, "length");
    }
  }
});

test("a prompt that is too long is told in the package's own words", async () => {
  await assert.rejects(collect(llm.generate(Array.from({ length: 300 }, () => 5))), (error) => {
    assert.ok(code("context_overflow", /300 tokens.*256/)(error));
    assert.doesNotMatch(error.message + error.hint, /policy|truncate|shift/);
    assert.match(error.hint, /context to load/);
    return true;
  });
});
