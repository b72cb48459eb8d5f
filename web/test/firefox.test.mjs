/** What differs most between browsers, in Firefox: the builds, shared memory, the store and the voice. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch } from "./firefox.mjs";
import { ISOLATION, MODELS, serve } from "./serve.mjs";
import { answerNatively, lacksBinary, lacking, lacksWeights, references, SMOLLM2 } from "./weights.mjs";

const TOKENS = 32;

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

/** Runs `work` in a blank page of its own. */
async function inPage({ address }, work, ...rest) {
  const page = await browser.newPage();
  try {
    await page.goto(`${address}/blank`);
    return await page.evaluate(work, ...rest);
  } finally {
    await page.close();
  }
}

for (const [name, place, options, wanted] of [
  ["one thread", () => server, { threads: 1 }, "relaxed-simd"],
  ["workers with memories of their own", () => server, {}, "shards"],
  ["threads on an isolated page", () => isolated, {}, "threads"],
]) {
  test(`the native program's tokens, ${name}`, async (t) => {
    if (lacksWeights(t) || lacksBinary(t)) return;
    const { messages, prompt_ids } = references()[0];
    const found = await inPage(
      place(),
      async (url, prompt, tokens, options) => {
        const { Crane } = await import("/npm/dist/index.js");
        const crane = await Crane.create(options);
        const llm = await crane.load(url, { context: 1024 });
        const answer = await Array.fromAsync(llm.generate(prompt, { temperature: 0, max_tokens: tokens }));
        const { tier, threadCount } = crane.capabilities;
        crane.dispose();
        return { answer, tier, threadCount, cores: navigator.hardwareConcurrency, suspends: "Suspending" in WebAssembly };
      },
      `/models/${SMOLLM2}`,
      prompt_ids,
      TOKENS,
      options,
    );
    if (options.threads !== 1 && found.cores === 1) return t.skip("there is one core");
    // Before it could wait for promises, this browser ran one thread there.
    const tier = wanted === "shards" && !found.suspends ? "relaxed-simd" : wanted;
    assert.equal(found.tier.name, tier, found.tier.reason);
    assert.deepEqual(found.answer, answerNatively(messages, TOKENS).output_ids);
  });
}

test("a model is stored, and loads from the store alone", async () => {
  const [stored, first, second] = await inPage(server, async () => {
    const { Crane } = await import("/npm/dist/index.js");
    const files = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
    const answer = async (llm) => Array.fromAsync(llm.generate([1, 2, 3], { temperature: 0, max_tokens: 8, ignore_eos: true }));
    const crane = await Crane.create();
    const blobs = await Promise.all(files.map(async (name) => new File([await (await fetch(`/fixture/${name}`)).blob()], name)));
    const stored = await crane.pull(blobs, { name: "tiny" });
    const first = await answer(await crane.load(stored.id));
    crane.dispose();
    const again = await Crane.create();
    const second = await answer(await again.load("local:tiny"));
    await again.models.remove("local:tiny");
    again.dispose();
    return [stored, first, second];
  });
  assert.equal(stored.complete, true);
  assert.equal(first.length, 8);
  assert.deepEqual(second, first);
});

test("a voice speaks", async (t) => {
  const folder = join(MODELS, "hibari");
  if (!existsSync(join(folder, "hibari.onnx")) && lacking(t, folder)) return;
  const { seconds, loudest } = await inPage(server, async () => {
    const { Crane } = await import("/npm/dist/index.js");
    const crane = await Crane.create({ hibariUrl: "/models/hibari/" });
    const tts = await crane.load("hibari");
    let [samples, loudest] = [0, 0];
    for await (const piece of tts.speak("The rain has stopped, and the birds are back.")) {
      samples += piece.length;
      for (const sample of piece) loudest = Math.max(loudest, Math.abs(sample));
    }
    crane.dispose();
    return { seconds: samples / tts.info.sampleRate, loudest };
  });
  assert.ok(seconds > 1.5 && seconds < 6, `${seconds} s`);
  assert.ok(loudest > 0.05 && loudest <= 1, `${loudest}`);
});
