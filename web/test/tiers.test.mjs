/** Each build of the engine in a real browser: which one runs, and that its tokens are the native program's. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { serve } from "./serve.mjs";
import { answerNatively, lacksBinary, lacksWeights, references, SMOLLM2 } from "./weights.mjs";

const TOKENS = 64;

let server, browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** What a build answers to every reference prompt, after its start in a page of its own. */
async function answer(wasmUrl) {
  const page = await browser.newPage();
  try {
    await page.goto(`${server.address}/blank`);
    return await page.evaluate(
      async ([url, wasmUrl, prompts, tokens]) => {
        const { Crane } = await import("/npm/dist/index.js");
        const crane = await Crane.create(wasmUrl === null ? {} : { wasmUrl });
        const llm = await crane.load(url, { context: 2048 });
        const answers = [];
        for (const ids of prompts) answers.push(await Array.fromAsync(llm.generate(ids, { temperature: 0, max_tokens: tokens })));
        const { instructionSet } = llm.info;
        crane.dispose();
        return { answers, instructionSet };
      },
      [`/models/${SMOLLM2}`, wasmUrl, references().map(({ prompt_ids }) => prompt_ids), TOKENS],
    );
  } finally {
    await page.close();
  }
}

test("every build answers as the native program", async (t) => {
  if (lacksWeights(t) || lacksBinary(t)) return;
  const native = references().map(({ messages }) => answerNatively(messages, TOKENS).output_ids);
  for (const [name, wasmUrl, instructionSet] of [
    ["the build for every engine", "/npm/wasm/crane_wasm_bg.wasm", "SIMD128"],
    ["the build with relaxed SIMD", "/npm/wasm/crane_wasm_relaxed_bg.wasm", "relaxed SIMD"],
    ["the build that is chosen in Chromium", null, "relaxed SIMD"],
  ]) {
    await t.test(name, async () => {
      const found = await answer(wasmUrl);
      assert.equal(found.instructionSet, instructionSet);
      assert.deepEqual(found.answers, native);
    });
  }
});
