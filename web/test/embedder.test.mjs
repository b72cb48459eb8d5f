/** all-MiniLM-L6-v2 in Chromium: the vectors of transformers, and quantised those of the native program to the last bit. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { ISOLATION, MODELS, serve } from "./serve.mjs";
import { BINARY, lacksBinary, lacksWeights } from "./weights.mjs";

const FILES = ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"];
const REFERENCE = new URL("../../crane-sdk/tests/fixtures/refs/minilm.json", import.meta.url);
// The native program reads a text a line.
const CASES = JSON.parse(readFileSync(REFERENCE, "utf8")).cases.filter(({ text }) => !text.includes("\n"));

let server, isolated, browser;
before(async () => {
  server = await serve();
  isolated = await serve({ headers: ISOLATION });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
  await isolated?.close();
});

function natively(texts) {
  const options = ["embed", "--lines", "-q", "-t", "1", "-m", join(MODELS, "minilm"), "--quant", "q8_0"];
  const lines = execFileSync(BINARY, options, { encoding: "utf8", input: texts.join("\n") });
  return lines.trim().split("\n").map((line) => Float32Array.from(JSON.parse(line)));
}

for (const [name, place, options, tier] of [
  ["one thread", () => server, { threads: 1 }, "relaxed-simd"],
  ["threads on an isolated page", () => isolated, { threads: 2 }, "threads"],
]) {
  test(`vectors of real weights, ${name}`, async (t) => {
    if (lacksWeights(t, "minilm/model.safetensors") || lacksBinary(t)) return;
    const page = await browser.newPage();
    await page.goto(`${place().address}/blank`);
    const found = await page.evaluate(
      async ([files, texts, options]) => {
        const { Crane } = await import("/npm/dist/index.js");
        const crane = await Crane.create(options);
        const source = Object.fromEntries(files.map((name) => [name, `/models/minilm/${name}`]));
        const made = {};
        for (const quantize of ["as stored", "q8_0"]) {
          const embedder = await crane.loadEmbedder(source, quantize === "as stored" ? {} : { quantize });
          await embedder.embed(texts[0]);
          const start = performance.now();
          const vectors = await embedder.embed(texts);
          made[quantize] = { vectors: vectors.map((vector) => Array.from(vector)), info: embedder.info, ms: performance.now() - start };
          await embedder.dispose();
        }
        const { tier } = crane.capabilities;
        const { wasmBytes } = await crane.memory();
        crane.dispose();
        return { made, tier, wasmBytes };
      },
      [FILES, CASES.map(({ text }) => text), options],
    );
    await page.close();
    assert.equal(found.tier.name, tier, found.tier.reason);
    const { vectors, info } = found.made["as stored"];
    assert.deepEqual([info.architecture, info.dimensions, info.maxTokens], ["BERT", 384, 256]);
    for (const [index, { text, embedding }] of CASES.entries()) {
      const off = Math.max(...embedding.map((x, at) => Math.abs(x - vectors[index][at])));
      assert.ok(off <= 2e-6, `${text}: ${off}`);
    }
    const small = found.made.q8_0.vectors.map((vector) => Float32Array.from(vector));
    assert.deepEqual(small, natively(CASES.map(({ text }) => text)));
    for (const [kind, { ms, info }] of Object.entries(found.made)) t.diagnostic(`${kind}: ${info.weightBytes >> 20} MiB of weights, ${ms.toFixed()} ms`);
    t.diagnostic(`WebAssembly took ${found.wasmBytes >> 20} MiB`);
  });
}
