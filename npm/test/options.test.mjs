/** Every option acts or is refused by name. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkChat, checkGenerate, checkIds, checkOptions, TABLES } from "../dist/options.js";
import { parseHubId, spellHubId } from "../dist/hub_id.js";
import { planFiles, shardsOf } from "../dist/worker/hub_files.js";
import { namedFiles, placeOf } from "../dist/sources.js";

const messages = [{ role: "user", content: "Hi" }];
const refused = (name, code = "invalid_argument") => (error) => {
  assert.equal(error.code, code);
  assert.match(error.message, new RegExp(name.replace(/[[\].]/g, "\\$&")));
  return true;
};

test("a chat body's sampling options reach the engine by their names", () => {
  const sampling = {
    max_tokens: 5, temperature: 0.5, top_p: 0.9, top_k: 3, min_p: 0.1, seed: 7,
    presence_penalty: 1, frequency_penalty: -1, repetition_penalty: 1.1,
    typical_p: 0.9, penalty_last_n: 64, logit_bias: { 5: -100 },
  };
  const checked = checkChat({ messages, stream: true, stream_options: { include_usage: true }, n: 1, stop: "END", ...sampling });
  assert.deepEqual(checked, { messages, stream: true, includeUsage: true, request: { ...sampling, stop: ["END"] } });
});

test("null and undefined leave an option to the checkpoint", () => {
  const { request, stream, includeUsage } = checkChat({ messages, temperature: null, top_p: undefined, stream: null, stop: null });
  assert.deepEqual({ request, stream, includeUsage }, { request: {}, stream: false, includeUsage: false });
});

test("max_completion_tokens is max_tokens, and not both", () => {
  assert.deepEqual(checkChat({ messages, max_completion_tokens: 3 }).request, { max_tokens: 3 });
  assert.throws(() => checkChat({ messages, max_tokens: 3, max_completion_tokens: 3 }), refused("max_tokens"));
});

for (const name of ["model", "logprobs", "top_logprobs", "tools", "tool_choice", "signal", "typo", "__proto__x"]) {
  test(`the unsupported option ${name} is refused, with a hint`, () => {
    assert.throws(() => checkChat({ messages, [name]: 1 }), (error) => refused(name, "unsupported")(error) && error.hint.length > 0);
  });
}

const BAD_VALUES = {
  max_tokens: [0, -1, 1.5, "5", NaN, Infinity],
  temperature: [-0.1, "1", NaN, Infinity, true],
  top_p: [-0.1, 1.1, "x"],
  top_k: [-1, 0.5],
  min_p: [2],
  seed: [-1, 0.5, 2 ** 53],
  stop: ["", [""], [1], 5],
  presence_penalty: [3],
  frequency_penalty: [-2.1],
  repetition_penalty: [0, -1],
  typical_p: [0, 1.5],
  penalty_last_n: [0],
  logit_bias: [1, [], { x: 1 }, { 5: "1" }, { 5: NaN }],
  stream: ["true", 1],
  n: [2, 0],
};
for (const [name, values] of Object.entries(BAD_VALUES)) {
  test(`values of ${name} that cannot act are refused`, () => {
    for (const value of values) assert.throws(() => checkChat({ messages, [name]: value }), refused(name), String(value));
  });
}

test("stream_options acts only when streaming", () => {
  assert.throws(() => checkChat({ messages, stream_options: { include_usage: true } }), refused("stream_options"));
  assert.throws(() => checkChat({ messages, stream: true, stream_options: { typo: true } }), refused("typo", "unsupported"));
});

test("messages are checked one by one", () => {
  assert.throws(() => checkChat({}), refused("messages"));
  assert.throws(() => checkChat({ messages: [] }), refused("messages"));
  assert.throws(() => checkChat({ messages: [...messages, { role: "robot", content: "x" }] }), refused("messages[1].role"));
  assert.throws(() => checkChat({ messages: [{ role: "user" }] }), refused("messages[0].content"));
  assert.throws(() => checkChat({ messages: [{ role: "user", content: "x", extra: 1 }] }), refused("extra", "unsupported"));
});

test("generate takes ids and its own options", () => {
  const { signal } = new AbortController();
  assert.deepEqual(checkGenerate({ temperature: 0, ignore_eos: true, signal }), { request: { temperature: 0, ignore_eos: true }, signal });
  assert.deepEqual(checkGenerate(undefined), { request: {}, signal: undefined });
  assert.throws(() => checkGenerate({ stream: true }), refused("stream", "unsupported"));
  assert.throws(() => checkGenerate({ signal: {} }), refused("signal"));
  assert.deepEqual(checkIds("ids", Uint32Array.of(1, 2)), [1, 2]);
  assert.throws(() => checkIds("ids", [1, -2]), refused("ids[1]"));
  assert.throws(() => checkIds("ids", "text"), refused("ids"));
});

test("options of create and load are checked", () => {
  assert.throws(() => checkOptions("load", { dtype: "f16" }, TABLES.load), refused("dtype", "unsupported"));
  assert.throws(() => checkOptions("load", { context: 0 }, TABLES.load), refused("context"));
  assert.throws(() => checkOptions("load", { onProgress: 1 }, TABLES.load), refused("onProgress"));
  assert.throws(() => checkOptions("Crane.create", { wasmUrl: 5 }, TABLES.create), refused("wasmUrl"));
  assert.throws(() => checkOptions("load", [], TABLES.load), refused("load"));
  assert.throws(() => checkOptions("load", { quantize: "q2_k" }, TABLES.load), refused("quantize"));
  assert.throws(() => checkOptions("pull", { sha256: "abc" }, TABLES.pull), refused("sha256"));
  assert.throws(() => checkOptions("Crane.create", { retries: -1 }, TABLES.create), refused("retries"));
});

test("sources become named files", () => {
  const names = (source) => namedFiles(source).files.map(({ name }) => name);
  assert.deepEqual(names("https://host/a%20b/some.gguf?x=1#y"), ["some.gguf"]);
  assert.deepEqual(names(new URL("https://host/download")), ["model.gguf"]);
  assert.deepEqual(names(new ArrayBuffer(4)), ["model.gguf"]);
  assert.deepEqual(names(new Blob([])), ["model.gguf"]);
  assert.deepEqual(names([new File([], "config.json"), new File([], "model.safetensors")]), ["config.json", "model.safetensors"]);
  assert.deepEqual(names({ "config.json": "https://host/c", "m.safetensors": new Blob([]) }), ["config.json", "m.safetensors"]);
  assert.equal(namedFiles("https://host/some.gguf").label, "some.gguf");
  for (const bad of [undefined, null, 5, [], {}, [5], { a: 5 }, "no address"]) {
    assert.throws(() => namedFiles(bad), refused("source"), String(bad));
  }
});

test("names on the Hub are read as the native program reads them", () => {
  const id = (text) => parseHubId(text);
  assert.deepEqual(id("a/b"), { repo: "a/b", revision: "main" });
  assert.deepEqual(id("a/b@refs/pr/3"), { repo: "a/b", revision: "refs/pr/3" });
  assert.deepEqual(id("a/b:q/x.gguf@r"), { repo: "a/b", revision: "r", file: "q/x.gguf" });
  assert.deepEqual(id("https://huggingface.co/a/b"), { repo: "a/b", revision: "main" });
  assert.equal(spellHubId(id("a/b:Q4_0@r")), "a/b@r:Q4_0");
  for (const bad of ["", "a", "a/b/c", "/a/b", "../b", "a/..", "a/b@", "a/b:", "a/b:../x", "a/b@r@s", "https://host/a/b", "a--b/c", "models/x.gguf", "./a/b"]) {
    assert.equal(id(bad), undefined, bad);
  }
});

test("the files of a repository are chosen as the native program chooses them", () => {
  const hub = { repo: "a/b", revision: "main" };
  const chosen = (files, file) => planFiles(file === undefined ? hub : { ...hub, file }, files);
  const published = ["README.md", "config.json", "consolidated.safetensors", "merges.txt", "model.safetensors", "onnx/model.onnx", "pytorch_model.bin", "pytorch_model.bin.index.json", "tokenizer.json"];
  assert.deepEqual(chosen(published).files, ["config.json", "merges.txt", "tokenizer.json", "model.safetensors"]);
  assert.deepEqual(chosen(["config.json", "model-00001-of-00002.safetensors", "model.safetensors.index.json"]), {
    files: ["config.json", "model.safetensors.index.json"],
    index: "model.safetensors.index.json",
  });
  assert.deepEqual(shardsOf("i", { weight_map: { b: "2.safetensors", a: "1.safetensors", c: "1.safetensors" } }), ["1.safetensors", "2.safetensors"]);
  for (const bad of [{}, null, { weight_map: {} }, { weight_map: { a: "../x" } }]) assert.throws(() => shardsOf("i", bad), { code: "invalid_file" });
  const ggufs = ["m-Q8_0.gguf", "m-q4_0.gguf", "m.Q4_K_M.gguf", "mmproj-f16.gguf", "config.json"];
  assert.deepEqual(chosen(ggufs).files, ["m.Q4_K_M.gguf"]);
  assert.deepEqual(chosen(ggufs, "q8_0").files, ["m-Q8_0.gguf"]);
  assert.deepEqual(chosen(ggufs, "m-q4_0.gguf").files, ["m-q4_0.gguf"]);
  const parts = ["q/m-q4_k_m-00001-of-00002.gguf", "q/m-q4_k_m-00002-of-00002.gguf"];
  for (const wanted of [undefined, "Q4_K_M", parts[1]]) assert.deepEqual(chosen([...parts, "m-q8_0.gguf"], wanted).files, parts);
  assert.throws(() => chosen(["a-q4_0.gguf", "b-q4_0.gguf"]), (error) => error.code === "invalid_argument" && error.hint.includes("a/b:a-q4_0.gguf"));
  assert.throws(() => chosen(["m-q4_0.gguf"], "q2_k"), (error) => error.code === "not_found" && error.hint.includes("m-q4_0.gguf"));
  assert.throws(() => chosen(["README.md", "pytorch_model.bin"]), { code: "not_found" });
  const language = ["LLM/config.json", "LLM/model.safetensors", "LLM/tokenizer.json"];
  const spark = ["BiCodec/config.yaml", "BiCodec/model.safetensors", ...language];
  assert.deepEqual(chosen(["README.md", "config.yaml", ...spark, "src/figures/x.png", "wav2vec2-large-xlsr-53/pytorch_model.bin"]).files, spark);
});

test("places have the ids under which they are kept", async () => {
  const place = async (...source) => (await placeOf(...source)).place;
  assert.deepEqual(await place("a/b:Q4_0"), { kind: "hub", hub: { repo: "a/b", revision: "main", file: "Q4_0" }, id: "a/b:Q4_0" });
  assert.deepEqual(await place("local:x"), { kind: "stored", id: "local:x" });
  assert.equal((await place("https://host/x.gguf")).id, "https://host/x.gguf");
  assert.equal((await place(new File([], "x.gguf"))).id, "local:x.gguf");
  assert.equal((await place(new Blob([]))).id, undefined);
  assert.equal((await place(new Blob([]), "own")).id, "local:own");
});

const schema = { type: "object", properties: { a: { type: "integer" } } };
const FORMS = [
  [{ response_format: { type: "text" } }, undefined],
  [{ response_format: null, grammar: undefined }, undefined],
  [{ response_format: { type: "json_object" } }, { type: "json_object" }],
  [{ response_format: { type: "json_schema", json_schema: { name: "x", schema, strict: true } } }, { type: "json_schema", value: schema }],
  [{ grammar: "start: /a/" }, { type: "lark", value: "start: /a/" }],
  [{ grammar: { type: "regex", value: "a+" } }, { type: "regex", value: "a+" }],
  [{ grammar: { type: "json", value: schema } }, { type: "json_schema", value: schema }],
];
for (const [form, grammar] of FORMS) {
  test(`an answer's form: ${JSON.stringify(form)}`, () => {
    assert.deepEqual(checkChat({ messages, ...form }).request.grammar, grammar);
  });
}

const BAD_FORMS = [
  [{ response_format: "json" }, "response_format"],
  [{ response_format: { type: "xml" } }, "response_format.type"],
  [{ response_format: { type: "json_object", extra: 1 } }, "response_format.extra"],
  [{ response_format: { type: "json_object", json_schema: {} } }, "response_format.json_schema"],
  [{ response_format: { type: "json_schema" } }, "response_format.json_schema"],
  [{ response_format: { type: "json_schema", json_schema: { name: "x" } } }, "response_format.json_schema.schema"],
  [{ response_format: { type: "json_schema", json_schema: { name: 1, schema } } }, "response_format.json_schema.name"],
  [{ response_format: { type: "json_schema", json_schema: { schema, strict: 1 } } }, "response_format.json_schema.strict"],
  [{ response_format: { type: "json_schema", json_schema: { schema: { maximum: 1n } } } }, "response_format.json_schema.schema"],
  [{ grammar: 5 }, "grammar"],
  [{ grammar: { type: "ebnf", value: "x" } }, "grammar.type"],
  [{ grammar: { type: "regex", value: 1 } }, "grammar.value"],
  [{ grammar: "start: /a/", response_format: { type: "json_object" } }, "grammar"],
];
for (const [form, name] of BAD_FORMS) {
  test(`${name} is refused where it cannot be kept`, () => {
    assert.throws(() => checkChat({ messages, ...form }), refused(name));
  });
}
