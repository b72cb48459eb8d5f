/**
 * `node web_bench.mjs ENGINE MODEL.gguf THREADS PROMPT GENERATE WLLAMA`: one engine's turn in headless Chromium.
 *
 * ENGINE is `crane`, `crane-shards` (several threads on a page that may not share memory), `crane-simd128` (the build for every
 * browser) or `wllama`; WLLAMA is the folder of that package.
 * Prints one JSON object: `speeds` (tokens a second for each test), `first_token_ms` (from an open page with the
 * weights in its origin's private file system to the first token of a short answer) and `memory` (bytes of
 * WebAssembly memory at the end).
 */
import { createReadStream, mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { extname, join, normalize, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [engine, modelPath, threads, prompt, generate, wllama] = process.argv.slice(2);
const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const { chromium } = createRequire(join(ROOT, "web/package.json"))("playwright-core");

const TYPES = { ".js": "text/javascript", ".wasm": "application/wasm" };
const FOLDERS = { "/npm/": join(ROOT, "npm"), "/wllama/": wllama };

/** Serves both packages and the model; with more threads than one as a page that may share memory, except for shards. */
function serve() {
  const server = createServer((request, response) => {
    if (threads !== "1" && engine !== "crane-shards") {
      response.setHeader("cross-origin-opener-policy", "same-origin");
      response.setHeader("cross-origin-embedder-policy", "require-corp");
    }
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    if (path === "/") {
      response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>bench</title><link rel=icon href=data:,>");
      return;
    }
    const [prefix, folder] = Object.entries(FOLDERS).find(([start]) => path.startsWith(start)) ?? [];
    const file = path === "/model.gguf" ? resolve(modelPath) : prefix && join(folder, normalize(path.slice(prefix.length)));
    const found = file && statSync(file, { throwIfNoEntry: false });
    if (!found?.isFile()) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream", "content-length": found.size });
    if (request.method === "HEAD") response.end();
    else createReadStream(file).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** In the page: brings the model into the store of the engine. */
const STORE = {
  async crane() {
    const { Crane } = await import("/npm/dist/index.js");
    const crane = await Crane.create();
    await crane.pull(`${location.origin}/model.gguf`);
    crane.dispose();
  },
  async wllama() {
    const { ModelManager } = await import("/wllama/esm/index.js");
    await new ModelManager().downloadModel(`${location.origin}/model.gguf`);
  },
};

/** In the page: loads from the store, then runs a prompt and a generation. */
const RUN = {
  async crane({ threads, prompt, generate, wasmUrl }) {
    const { Crane } = await import("/npm/dist/index.js");
    const start = performance.now();
    const crane = await Crane.create(wasmUrl ? { wasmUrl } : { threads });
    const llm = await crane.load(`${location.origin}/model.gguf`, { context: 1024 });
    const greedy = (max_tokens) => ({ temperature: 0, max_tokens, ignore_eos: true });
    const ids = (count) => Array.from({ length: count }, (_, i) => 1000 + ((i * 7) % 500));
    for await (const _ of llm.generate(ids(8), greedy(1)));
    const first_token_ms = performance.now() - start;
    const begin = performance.now();
    let first;
    for await (const _ of llm.generate(ids(prompt), greedy(generate + 1))) first ??= performance.now();
    const end = performance.now();
    const speeds = { [`pp${prompt}`]: (prompt / (first - begin)) * 1e3, [`tg${generate}`]: (generate / (end - first)) * 1e3 };
    return { speeds, first_token_ms, memory: (await crane.memory()).wasmBytes };
  },

  async wllama({ threads, prompt, generate }) {
    // Its worker tells nobody how large its memory is: the code that it is made of is given a way to be asked.
    const spy = `{
      const ask = new BroadcastChannel("memory"), memories = new Set();
      const note = (instance, imports) => {
        for (const from of [instance.exports, ...Object.values(imports ?? {})])
          for (const key in from) if (from[key] instanceof WebAssembly.Memory) memories.add(from[key]);
      };
      const { instantiate, instantiateStreaming } = WebAssembly;
      WebAssembly.instantiate = async (module, imports) => {
        const made = await instantiate.call(WebAssembly, module, imports);
        note(made.instance ?? made, imports);
        return made;
      };
      WebAssembly.instantiateStreaming = async (response, imports) => {
        const made = await instantiateStreaming.call(WebAssembly, response, imports);
        note(made.instance, imports);
        return made;
      };
      ask.onmessage = ({ data }) => {
        if (data === "size") ask.postMessage(Math.max(0, ...[...memories].map(({ buffer }) => buffer.byteLength)));
      };
    }\n`;
    globalThis.Blob = new Proxy(Blob, {
      construct: (Blob, [parts, options]) => new Blob(/javascript/.test(options?.type) ? [spy, ...parts] : parts, options),
    });
    const memorySize = () =>
      new Promise((resolve) => {
        const channel = new BroadcastChannel("memory");
        let most = 0;
        channel.onmessage = ({ data }) => (most = Math.max(most, data));
        channel.postMessage("size");
        setTimeout(() => (channel.close(), resolve(most)), 2000);
      });
    const { Wllama } = await import("/wllama/esm/index.js");
    const start = performance.now();
    const llm = new Wllama({ default: `${location.origin}/wllama/esm/wasm/wllama.wasm` });
    await llm.loadModelFromUrl(`${location.origin}/model.gguf`, { n_ctx: 1024, n_threads: threads, n_gpu_layers: 0, n_parallel: 1, warmup: false });
    // It takes text alone: each of these words is one token in the vocabularies of both test models.
    const words = " the of and to in is that for it as was with be by on not he his but at are this have from or had an they which one".split(" ").slice(1);
    const text = (count, from) => Array.from({ length: count }, (_, i) => ` ${words[(i * 7 + from) % words.length]}`).join("");
    const complete = async (prompt, max_tokens) => {
      let timings, first;
      const begin = performance.now();
      await llm.createCompletion({
        ...{ prompt, max_tokens, temperature: 0, top_k: 1, ignore_eos: true, cache_prompt: false, timings_per_token: true, stream: true },
        onData: (chunk) => {
          first ??= performance.now();
          timings = chunk.timings ?? timings;
        },
      });
      return { timings, begin, first, end: performance.now() };
    };
    await complete(text(8, 3), 1);
    const first_token_ms = performance.now() - start;
    const { timings, begin, first, end } = await complete(text(prompt, 0), generate + 1);
    if (timings && timings.prompt_n !== prompt) throw new Error(`the prompt became ${timings.prompt_n} tokens`);
    const speeds = {
      [`pp${prompt}`]: timings?.prompt_per_second ?? (prompt / (first - begin)) * 1e3,
      [`tg${generate}`]: timings?.predicted_per_second ?? (generate / (end - first)) * 1e3,
    };
    return { speeds, first_token_ms, memory: await memorySize() };
  },
};

const kind = engine.startsWith("crane") ? "crane" : engine;
const server = await serve();
const address = `http://127.0.0.1:${server.address().port}`;
// A profile of its own: what is stored survives from page to page, as it does for a visitor.
const profile = mkdtempSync(join(tmpdir(), "crane-bench-"));
const browser = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  const open = async (work, options) => {
    const page = await browser.newPage();
    page.setDefaultTimeout(0);
    await page.goto(address);
    try {
      return await page.evaluate(work, options);
    } finally {
      await page.close();
    }
  };
  await open(STORE[kind]);
  const wasmUrl = engine === "crane-simd128" ? "/npm/wasm/crane_wasm_bg.wasm" : undefined;
  const found = await open(RUN[kind], { threads: Number(threads), prompt: Number(prompt), generate: Number(generate), wasmUrl });
  console.log(JSON.stringify(found));
} finally {
  await browser.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
