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
  for (const [name, place, options, instructionSet, tier, threads, most] of [
    ["the build for every engine", server, { wasmUrl: "/npm/wasm/crane_wasm_bg.wasm" }, "SIMD128", "custom", 1],
    ["the build with relaxed SIMD", server, { wasmUrl: "/npm/wasm/crane_wasm_relaxed_bg.wasm" }, "relaxed SIMD", "custom", 1],
    ["what is chosen in Chromium", server, {}, "relaxed SIMD", "shards", undefined, 4],
    ["one thread in Chromium", server, { threads: 1 }, "relaxed SIMD", "relaxed-simd", 1],
    ["three shards", server, { threads: 3 }, "relaxed SIMD", "shards", 3],
    ["shards of the build for every engine", server, { wasmUrl: "/npm/wasm/crane_wasm_bg.wasm", threads: 2 }, "SIMD128", "custom", 2],
    ["what is chosen on an isolated page", isolated, {}, "relaxed SIMD", "threads", undefined, 8],
    ["three threads", isolated, { threads: 3 }, "relaxed SIMD", "threads", 3],
    ["one thread on an isolated page", isolated, { threads: 1 }, "relaxed SIMD", "relaxed-simd", 1],
  ]) {
    await t.test(name, async (t) => {
      const found = await answer(place, options);
      if (threads === undefined && found.cores === 1) return t.skip("there is one core");
      assert.equal(found.instructionSet, instructionSet);
      assert.equal(found.tier, tier);
      assert.equal(found.threadCount, threads ?? Math.min(found.cores, most));
      assert.deepEqual(found.answers, native);
    });
  }
});

test("Qwen2.5-0.5B answers as the native program", async (t) => {
  if (lacksWeights(t, QWEN) || lacksBinary(t)) return;
  const [cases, tokens] = [references(QWEN).slice(0, 2), 24];
  const native = cases.map(({ messages }) => answerNatively(messages, tokens, QWEN).output_ids);
  for (const place of [isolated, server]) {
    const found = await answer(place, { threads: 2 }, { model: QWEN, cases, tokens });
    assert.deepEqual(found.answers, native, found.tier);
  }
});

test("shards: aborts, other calls meanwhile, memory, and the end of the workers", async (t) => {
  if (lacksWeights(t, QWEN)) return;
  const page = await browser.newPage();
  try {
    await page.goto(`${server.address}/blank`);
    const before = page.workers().length;
    const found = await page.evaluate(async (url) => {
      const { Crane } = await import("/npm/dist/index.js");
      const code = (promise) => promise.then(() => "none", ({ code }) => code);
      globalThis.crane = await Crane.create({ threads: 2 });
      const empty = (await crane.memory()).wasmBytes;
      const llm = await crane.load(url, { context: 1024 });
      const loaded = (await crane.memory()).wasmBytes;
      const ids = Array.from({ length: 300 }, (_, index) => 1000 + index);
      const answer = async (count, signal) => Array.fromAsync(llm.generate(ids.slice(0, count), { temperature: 0, max_tokens: 12, ignore_eos: true, signal }));
      const first = await answer(20);
      const prefill = await code(answer(300, AbortSignal.timeout(100)));
      const stop = new AbortController();
      const generation = await code(
        (async () => {
          for await (const _ of llm.generate(ids.slice(0, 20), { temperature: 0, ignore_eos: true, signal: stop.signal })) stop.abort();
        })(),
      );
      // The engine waits for its helper most of the time: calls that come meanwhile have their turn.
      const [second, tokens, text, other] = await Promise.all([
        answer(20),
        llm.tokenize("The capital of France"),
        llm.detokenize([785, 6722]),
        code(crane.load(new Blob(["GGUF, or not"]))),
      ]);
      await llm.dispose();
      const again = await crane.load(url, { context: 1024 });
      const reloaded = (await crane.memory()).wasmBytes;
      return { codes: [prefill, generation, other], first, second, tokens: tokens.length, text, empty, loaded, reloaded, weights: again.info.weightBytes };
    }, `/models/${QWEN}`);
    assert.deepEqual(found.codes, ["aborted", "aborted", "invalid_file"]);
    assert.deepEqual(found.second, found.first);
    assert.deepEqual([found.tokens, found.text], [4, "The capital"]);
    t.diagnostic(`wasm memory ${found.empty} bytes, ${found.loaded} with the model, ${found.reloaded} when it was loaded again; weights ${found.weights}`);
    assert.ok(found.loaded - found.empty < found.weights * 1.25, `${found.loaded} bytes for ${found.weights} of weights`);
    assert.ok(found.reloaded < found.loaded + found.weights / 2, `${found.loaded} bytes grew to ${found.reloaded}`);
    assert.ok(page.workers().length > before);
    await page.evaluate(() => crane.dispose());
    const ended = async () => page.workers().length === before;
    for (let turns = 0; !(await ended()) && turns < 50; turns++) await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(page.workers().length, before);
  } finally {
    await page.close();
  }
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

test("threads are refused where memory cannot be shared nor the engine be suspended, and one runs", async () => {
  const page = await browser.newPage();
  await page.goto(`${server.address}/blank`);
  const [error, { tier, threadCount }] = await page.evaluate(async () => {
    const { Crane } = await import("/npm/dist/index.js");
    delete WebAssembly.Suspending;
    const error = await Crane.create({ threads: 2 }).then(() => null, ({ code, message, hint }) => ({ code, message, hint }));
    return [error, (await Crane.create()).capabilities];
  });
  await page.close();
  assert.deepEqual([tier.name, threadCount], ["relaxed-simd", 1]);
  assert.match(tier.reason, /not cross-origin isolated and has no JavaScript Promise Integration/);
  assert.equal(error?.code, "unsupported");
  assert.match(error.message, /threads: 2 were asked for/);
  assert.match(error.hint, /Cross-Origin-Opener-Policy/);
});
