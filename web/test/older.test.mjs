/** Browsers of the package's baseline: what newer ones have besides is taken away, in the page and in its workers. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { launch as launchChromium } from "./browser.mjs";
import { launch as launchFirefox } from "./firefox.mjs";
import { ISOLATION, MODELS, serve } from "./serve.mjs";

/** What README's baseline does not have: taken out of the global scope before anything else runs. */
const TAKE_AWAY = `
  const gone = {
    AbortSignal: ["any", "timeout"], "AbortSignal.prototype": ["throwIfAborted"], URL: ["canParse", "parse"], Array: ["fromAsync"],
    "Array.prototype": ["findLast", "findLastIndex", "toSorted", "toReversed", "toSpliced", "with"], "Uint8Array.prototype": ["toSorted", "toReversed", "with", "toHex", "toBase64"], Uint8Array: ["fromBase64", "fromHex"],
    Promise: ["withResolvers", "try"], Object: ["groupBy"], Map: ["groupBy"], "Set.prototype": ["union", "intersection", "difference"], "String.prototype": ["isWellFormed", "toWellFormed"],
    "ArrayBuffer.prototype": ["transfer", "transferToFixedLength", "resize"], "Blob.prototype": ["bytes"], "Response.prototype": ["bytes"], Symbol: [], "Crypto.prototype": ["randomUUID"],
    "ReadableStream.prototype": ["values"], ReadableStream: ["from"], WebAssembly: ["Suspending", "promising"], Error: ["captureStackTrace"], Atomics: ["waitAsync"],
    globalThis: ["structuredClone", "scheduler", "Iterator", "navigation", "DisposableStack", "AsyncDisposableStack", "SuppressedError"],
  };
  for (const [path, names] of Object.entries(gone)) {
    const holder = path === "globalThis" ? globalThis : path.split(".").reduce((object, name) => object?.[name], globalThis);
    for (const name of names) if (holder) delete holder[name];
  }
  if (typeof ReadableStream === "function") delete ReadableStream.prototype[Symbol.asyncIterator];
  globalThis.older = !("any" in AbortSignal) && !("canParse" in URL) && !("throwIfAborted" in AbortSignal.prototype) && !("findLast" in Array.prototype);
`;

let servers, browsers;
before(async () => {
  const answer = (path, response) => {
    // The page's own script, and a worker's that begins with the same.
    const worker = `${TAKE_AWAY} await import("/npm/dist/worker/main.js");`;
    const early = `const early = []; const keep = ({ data }) => early.push(data); addEventListener("message", keep); ${worker} removeEventListener("message", keep); for (const data of early) dispatchEvent(new MessageEvent("message", { data }));`;
    const text = { "/older/page.js": TAKE_AWAY, "/older/worker.js": early }[path];
    if (text === undefined) return false;
    response.writeHead(200, { "content-type": "text/javascript" }).end(text);
    return true;
  };
  servers = { plain: await serve({ answer }), isolated: await serve({ answer, headers: ISOLATION }) };
  browsers = { Chromium: await launchChromium(["--autoplay-policy=no-user-gesture-required"]), Firefox: await launchFirefox() };
});
after(async () => {
  for (const browser of Object.values(browsers ?? {})) await browser.close();
  for (const server of Object.values(servers ?? {})) await server.close();
});

for (const name of ["Chromium", "Firefox"]) {
  for (const place of ["plain", "isolated"]) {
    test(`${name}, ${place}: everything works without what newer browsers have`, async () => {
      const page = await browsers[name].newPage();
      await page.goto(`${servers[place].address}/blank`);
      const found = await page.evaluate(async (speech) => {
        await import("/older/page.js");
        const { Crane } = await import("/npm/dist/index.js");
        const crane = await Crane.create({ workerUrl: "/older/worker.js", hibariUrl: "/models/hibari/" });
        const names = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
        const files = [];
        for (const name of names) files.push(new File([await (await fetch(`/fixture/${name}`)).arrayBuffer()], name));
        const { id } = await crane.pull(files, { name: "tiny" });
        await crane.models.verify(id);
        const llm = await crane.load(id, { context: 64 });
        const stop = new AbortController();
        const read = async (stream) => {
          const all = [];
          for await (const each of stream) all.push(each);
          return all;
        };
        const options = { temperature: 0, max_tokens: 4, ignore_eos: true };
        const ids = await read(llm.generate([5, 6, 7], { ...options, signal: stop.signal }));
        const aborted = read(llm.generate([5, 6, 7], { ...options, max_tokens: 50, signal: stop.signal })).catch(({ code }) => code);
        stop.abort();
        const chunks = await read(await llm.chat.completions.create({ messages: [{ role: "user", content: "Hi" }], stream: true, max_tokens: 4 }));
        const found = { older: globalThis.older, ids, aborted: await aborted, chunks: chunks.length, tier: crane.capabilities.tier.name };
        await llm.dispose();
        found.disposed = await llm.chat("Hi").catch(({ code }) => code);
        await crane.models.remove(id);
        if (speech) {
          const tts = await crane.load("hibari");
          const silence = new AbortController();
          found.spoken = (await read(tts.speak("Hello there.", { signal: silence.signal }))).length;
          found.played = await tts.speak("Hello.", { signal: silence.signal }).play().then(({ samples }) => samples > 0, ({ code }) => code);
        }
        crane.dispose();
        return found;
      }, name === "Chromium" && existsSync(join(MODELS, "hibari", "hibari.onnx")));
      await page.close();
      assert.equal(found.older, true);
      assert.equal(found.ids.length, 4);
      assert.equal(found.aborted, "aborted");
      assert.equal(found.disposed, "disposed");
      assert.ok(found.chunks > 1);
      if (found.spoken !== undefined) assert.deepEqual([found.spoken > 0, found.played], [true, true]);
    });
  }
}
