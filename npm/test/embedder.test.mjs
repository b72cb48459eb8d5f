/** Vectors of texts by a tiny encoder, beside transformers' own. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Crane, CraneError } from "../dist/index.js";
import { planFiles } from "../dist/worker/hub_files.js";

const FOLDER = new URL("../../crane-sdk/tests/fixtures/bert/", import.meta.url);
const FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"];
const CASES = JSON.parse(readFileSync(new URL("golden.json", FOLDER), "utf8"));
const checkpoint = () => Object.fromEntries(FILES.map((name) => [name, new URL(name, FOLDER)]));

const off = (found, expected) => {
  assert.equal(found.length, expected.length);
  return Math.max(...expected.map((x, index) => Math.abs(x - found[index])));
};
const unit = (vector) => vector.map((x) => x / Math.hypot(...vector));
const code = (expected, pattern = /./) => (error) => error instanceof CraneError && error.code === expected && pattern.test(error.message);

let crane, embedder;
before(async () => {
  crane = await Crane.create();
  embedder = await crane.loadEmbedder(checkpoint());
});
after(() => crane.dispose());

test("vectors are those of the reference, one text or many", async () => {
  const vectors = await embedder.embed(CASES.map(({ text }) => text));
  assert.equal(vectors.length, CASES.length);
  for (const [index, { text, mean }] of CASES.entries()) {
    assert.ok(off(vectors[index], mean) <= 1e-6, text);
    // What is computed beside a text does not change it.
    assert.deepEqual(await embedder.embed(text), vectors[index]);
  }
  const many = await embedder.embed(Array.from({ length: 50 }, (_, index) => CASES[index % CASES.length].text));
  assert.deepEqual(many[49], vectors[49 % CASES.length]);
  assert.deepEqual(await embedder.embed([]), []);
});

test("it says what was loaded, and how far apart vectors are", async () => {
  const { architecture, dimensions, maxTokens, pooling } = embedder.info;
  assert.deepEqual({ architecture, dimensions, maxTokens, pooling }, { architecture: "BERT", dimensions: 48, maxTokens: 80, pooling: "mean" });
  const [a, b] = await embedder.embed([CASES[0].text, CASES[1].text]);
  assert.ok(Math.abs(embedder.similarity(a, a) - 1) < 1e-6);
  assert.ok(embedder.similarity(a, b) < 0.999);
  assert.throws(() => embedder.similarity(a, b.slice(1)), code("invalid_argument", /47/));
});

test("options act or are refused by name", async () => {
  const [{ text, first, last }] = CASES;
  assert.ok(off(await embedder.embed(text, { pooling: "cls" }), unit(first)) <= 2e-6);
  assert.ok(off(await embedder.embed(text, { pooling: "last" }), unit(last)) <= 2e-6);
  const long = "fox ".repeat(100);
  await assert.rejects(embedder.embed(["fox", long]), code("invalid_argument", /texts\[1\].*102 tokens.*80.*truncate/));
  const numbers = Array.from({ length: 20 }, () => "fox");
  await assert.rejects(embedder.embed([...numbers, long]), code("invalid_argument", /texts\[20\]/));
  assert.equal((await embedder.embed(long, { truncate: true })).length, 48);
  await assert.rejects(embedder.embed("fox", { pooling: "max" }), code("invalid_argument", /pooling/));
  await assert.rejects(embedder.embed("fox", { dimensions: 3 }), code("unsupported", /dimensions/));
  await assert.rejects(embedder.embed(["fox", 3]), code("invalid_argument", /texts\[1\]/));
  await assert.rejects(embedder.embed("fox", { signal: AbortSignal.abort() }), code("aborted"));
  await assert.rejects(crane.loadEmbedder(checkpoint(), { context: 3 }), code("unsupported", /context/));
  await assert.rejects(crane.load(checkpoint()), (error) => code("unsupported", /BertModel/)(error) && /loadEmbedder/.test(error.message + error.hint));
});

test("weights may be quantised, and a model is given back", async () => {
  // 48 numbers a row are no whole blocks of 32: these matrices stay what they were.
  const small = await crane.loadEmbedder(checkpoint(), { quantize: "q8_0" });
  assert.ok(Math.abs(embedder.similarity(await small.embed("fox"), await embedder.embed("fox")) - 1) < 0.01);
  await small.dispose();
  await small.dispose();
  await assert.rejects(small.embed("fox"), code("disposed"));
});

test("an abort stops many texts, and the engine goes on", async () => {
  const stop = new AbortController();
  const many = embedder.embed(Array.from({ length: 5000 }, () => CASES[2].text), { signal: stop.signal });
  setTimeout(() => stop.abort(), 20);
  await assert.rejects(many, code("aborted"));
  assert.ok(off(await embedder.embed(CASES[0].text), CASES[0].mean) <= 1e-6);
});

test("a model that writes makes vectors, too", async () => {
  const folder = new URL("../../crane-sdk/tests/fixtures/qwen2_tied/", import.meta.url);
  const files = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
  const other = await crane.loadEmbedder(Object.fromEntries(files.map((name) => [name, new URL(name, folder)])));
  const vector = await other.embed("Hello");
  assert.equal(vector.length, other.info.dimensions);
  assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5);
  await assert.rejects(other.embed("Hello", { pooling: "cls" }), code("unsupported", /cls/));
  await other.dispose();
});

test("of a repository on the Hub what makes vectors is taken", () => {
  const files = [...FILES, "README.md", "pytorch_model.bin", "onnx/model.onnx", "openvino/openvino_model.xml", "train_script.py", "vocab.txt"];
  const plan = planFiles({ repo: "org/name" }, files);
  assert.deepEqual(plan.files.toSorted(), [...FILES, "vocab.txt"].toSorted());
});
