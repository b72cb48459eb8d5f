/** What may be loaded: every kind of value is taken as what it is, or refused at once and by name. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";
import { Crane, CraneError } from "../dist/index.js";
import { placeOf } from "../dist/sources.js";

const FOLDER = new URL("../../crane-sdk/tests/fixtures/qwen2_tied/", import.meta.url);
const bytes = Uint8Array.from({ length: 64 }, (_, index) => index);

/** The bytes that the worker would get. */
async function given(source) {
  const { place } = await placeOf(source);
  const [{ source: got, name }] = place.files;
  return { name, bytes: got instanceof Blob ? new Uint8Array(await got.arrayBuffer()) : new Uint8Array(got) };
}

const shared = new SharedArrayBuffer(64);
new Uint8Array(shared).set(bytes);
const large = new Uint8Array(1 << 20);
large.set(bytes, 500);

for (const [name, source] of [
  ["an ArrayBuffer", bytes.buffer],
  ["a Uint8Array", bytes],
  ["a view of a part", large.subarray(500, 564)],
  ["a DataView", new DataView(large.buffer, 500, 64)],
  ["a Float32Array", new Float32Array(bytes.buffer)],
  ["a Buffer", Buffer.from(bytes)],
  ["a SharedArrayBuffer", shared],
  ["a view of shared memory", new Uint8Array(shared)],
  ["a Blob", new Blob([bytes])],
  ["a File", new File([bytes], "model.gguf")],
  ["another window's buffer", vm.runInNewContext("Uint8Array.from({ length: 64 }, (_, index) => index).buffer")],
  ["another window's view", vm.runInNewContext("Uint8Array.from({ length: 64 }, (_, index) => index)")],
]) {
  test(`${name} is a model's file, alone and by name`, async () => {
    for (const each of [source, { "model.gguf": source }]) {
      const got = await given(each);
      assert.deepEqual(got, { name: "model.gguf", bytes });
    }
  });
}

test("only a view's own bytes go to the worker", async () => {
  const { place } = await placeOf(large.subarray(500, 564));
  assert.equal(place.files[0].source.byteLength, 64);
});

test("an object of another window names files", async () => {
  const { place } = await placeOf(vm.runInNewContext("({ 'config.json': 'https://host/c', 'm.safetensors': 'https://host/m' })"));
  assert.deepEqual(place.files.map(({ name }) => name), ["config.json", "m.safetensors"]);
});

/** A sequence that must not be gone through: each look at an element is counted. */
function counted(target) {
  let looks = 0;
  return { proxy: new Proxy(target, { get: (...all) => (looks++, Reflect.get(...all)), ownKeys: () => (looks++, []) }), looks: () => looks };
}

for (const [name, source, said] of [
  ["undefined", undefined, /undefined/],
  ["null", null, /null/],
  ["a number", 5, /number/],
  ["a symbol", Symbol("x"), /symbol/],
  ["a bigint", 5n, /bigint/],
  ["a function", () => {}, /function/],
  ["an empty text", "", /empty/],
  ["an empty list", [], /no files/],
  ["an empty object", {}, /no files/],
  ["numbers", Array.from({ length: 1e6 }, () => 1), /1\. of the list is a number/],
  ["a list of buffers", [bytes], /Uint8Array, not a File/],
  ["a Map", new Map([["config.json", "https://host/c"]]), /Map/],
  ["a Set", new Set(), /Set/],
  ["a promise", Promise.resolve(bytes), /Promise/],
  ["a response", new Response("x"), /Response/],
  ["a stream", new ReadableStream(), /ReadableStream/],
  ["an iterator", [1].values(), /object/],
  ["a class's object", new (class Weights {})(), /Weights/],
  ["an object without a prototype's text", { "config.json": Object.create(null) }, /config\.json.*object/],
  ["a file that is none", { "config.json": Promise.resolve("x") }, /config\.json.*Promise/],
  ["an empty buffer", new ArrayBuffer(0), /no bytes/],
  ["a buffer that was handed away", (() => {
    const gone = new ArrayBuffer(8);
    structuredClone(gone, { transfer: [gone] });
    return gone;
  })(), /no bytes/],
  ["half a surrogate", "org/name:\ud800.gguf", /address/],
]) {
  test(`${name} is refused, with advice`, async () => {
    await assert.rejects(placeOf(source), (error) => {
      assert.ok(error instanceof CraneError, String(error));
      assert.equal(error.code, "invalid_argument");
      assert.match(error.message, said);
      assert.ok(error.hint.length > 0);
      return true;
    });
  });
}

test("an odd object is not gone through", async () => {
  class Odd {}
  const { proxy, looks } = counted(Object.assign(new Odd(), { a: 1 }));
  await assert.rejects(placeOf(proxy), { code: "invalid_argument" });
  assert.ok(looks() < 10, `${looks()} looks`);
});

test("an address with a percent sign that escapes nothing keeps its name", async () => {
  for (const address of ["https://host/100%.gguf", "https://host/%E0%A4%A.gguf", "https://host/a%2.gguf"]) {
    const { place, label } = await placeOf(address);
    assert.equal(place.files[0].name, label);
    assert.ok(label.endsWith(".gguf"));
  }
});

test("views and Buffers load, and give the model that files give", async () => {
  const crane = await Crane.create();
  const names = readdirSync(FOLDER).filter((name) => !name.startsWith("golden"));
  const answers = [];
  for (const as of [(url) => url, (url) => readFileSync(url), (url) => new Uint8Array(readFileSync(url)), (url) => new DataView(Uint8Array.from(readFileSync(url)).buffer)]) {
    const llm = await crane.load(Object.fromEntries(names.map((name) => [name, as(new URL(name, FOLDER))])), { context: 64 });
    const ids = [];
    for await (const id of llm.generate([5, 6, 7], { temperature: 0, max_tokens: 4, ignore_eos: true })) ids.push(id);
    answers.push(ids);
  }
  for (const ids of answers) assert.deepEqual(ids, answers[0]);
  await assert.rejects(crane.load(new Uint8Array(5_000_000)), { code: "invalid_file" });
  for (const [option, value] of [["hubUrl", "http://[x"], ["workerUrl", "no address"], ["wasmUrl", "//"]]) {
    await assert.rejects(Crane.create({ [option]: value }), (error) => error instanceof CraneError && error.code === "invalid_argument" && error.message.startsWith(option));
  }
  for (const id of [undefined, 5, null]) await assert.rejects(crane.models.remove(id), { code: "invalid_argument" });
  crane.dispose();
});
