/** Each build of the engine in a real browser: which one runs, and that its tokens are the native program's. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { ISOLATION, serve } from "./serve.mjs";
import { answerNatively, lacksBinary, lacksWeights, QWEN, references, SMOLLM2 } from "./weights.mjs";

const TOKENS = 64;

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

/** What an engine answers to every reference prompt, after its start in a page of its own. */
async function answer({ address }, options, { model = SMOLLM2, cases = references(), tokens = TOKENS } = {}) {
  const page = await browser.newPage();
  try {
    await page.goto(`${address}/blank`);
    return await page.evaluate(
      async ([url, options, prompts, tokens]) => {
        const { Crane } = await import("/npm/dist/index.js");
        const crane = await Crane.create(options);
        const llm = await crane.load(url, { context: 2048 });
        const answers = [];
        for (const ids of prompts) answers.push(await Array.fromAsync(llm.generate(ids, { temperature: 0, max_tokens: tokens })));
        const { instructionSet } = llm.info;
        const { tier, threadCount } = crane.capabilities;
        crane.dispose();
        return { answers, instructionSet, tier: tier.name, threadCount, cores: navigator.hardwareConcurrency };
      },
      [`/models/${model}`, options, cases.map(({ prompt_ids }) => prompt_ids), tokens],
    );
  } finally {
    await page.close();
  }
}

test("every build answers as the native program", async (t) => {
  if (lacksWeights(t) || lacksBinary(t)) return;
  const native = references().map(({ messages }) => answerNatively(messages, TOKENS).output_ids);
  for (const [name, place, options, instructionSet, tier, threads] of [
    ["the build for every engine", server, { wasmUrl: "/npm/wasm/crane_wasm_bg.wasm" }, "SIMD128", "custom", 1],
    ["the build with relaxed SIMD", server, { wasmUrl: "/npm/wasm/crane_wasm_relaxed_bg.wasm" }, "relaxed SIMD", "custom", 1],
    ["the build that is chosen in Chromium", server, {}, "relaxed SIMD", "relaxed-simd", 1],
    ["the build that is chosen on an isolated page", isolated, {}, "relaxed SIMD", "threads", undefined],
    ["three threads", isolated, { threads: 3 }, "relaxed SIMD", "threads", 3],
    ["one thread on an isolated page", isolated, { threads: 1 }, "relaxed SIMD", "relaxed-simd", 1],
  ]) {
    await t.test(name, async (t) => {
      const found = await answer(place, options);
      if (threads === undefined && found.cores === 1) return t.skip("there is one core");
      assert.equal(found.instructionSet, instructionSet);
      assert.equal(found.tier, tier);
      assert.equal(found.threadCount, threads ?? Math.min(found.cores, 8));
      assert.deepEqual(found.answers, native);
    });
  }
});

test("Qwen2.5-0.5B answers as the native program", async (t) => {
  if (lacksWeights(t, QWEN) || lacksBinary(t)) return;
  const [cases, tokens] = [references(QWEN).slice(0, 2), 24];
  const found = await answer(isolated, {}, { model: QWEN, cases, tokens });
  assert.deepEqual(found.answers, cases.map(({ messages }) => answerNatively(messages, tokens, QWEN).output_ids));
});

test("where threads do not start, one does, unless they were asked for", async (t) => {
  const missing = "/npm/wasm/crane_wasm_threads_bg.wasm";
  const place = await serve({ headers: ISOLATION, missing });
  const page = await browser.newPage();
  try {
    await page.goto(`${place.address}/blank`);
    const [cores, { tier, threadCount }, code] = await page.evaluate(async () => {
      const { Crane } = await import("/npm/dist/index.js");
      const asked = await Crane.create({ threads: 2 }).catch(({ code }) => code);
      const crane = await Crane.create();
      return [navigator.hardwareConcurrency, crane.capabilities, asked];
    });
    assert.equal(code, "worker");
    if (cores === 1) return t.skip("there is one core");
    assert.deepEqual([tier.name, threadCount], ["relaxed-simd", 1]);
    assert.match(tier.reason, /threads did not start: .*threads_bg\.wasm/);
  } finally {
    await page.close();
    await place.close();
  }
});

test("threads are refused where memory cannot be shared", async () => {
  const page = await browser.newPage();
  await page.goto(`${server.address}/blank`);
  const error = await page.evaluate(async () => {
    const { Crane } = await import("/npm/dist/index.js");
    return Crane.create({ threads: 2 }).then(() => null, ({ code, message, hint }) => ({ code, message, hint }));
  });
  await page.close();
  assert.equal(error?.code, "unsupported");
  assert.match(error.message, /threads: 2 were asked for/);
  assert.match(error.hint, /Cross-Origin-Opener-Policy/);
});
