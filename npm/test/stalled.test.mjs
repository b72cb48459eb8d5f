/** Servers that take a request and then send nothing more: every wait ends, by a signal or by itself. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { Crane } from "../dist/index.js";
import { compiled } from "../dist/worker/module_source.js";
import { openFiles } from "../dist/worker/open_files.js";
import { initSync } from "../wasm/crane_wasm.js";

const MODULE = readFileSync(new URL("../wasm/crane_wasm_bg.wasm", import.meta.url));
initSync({ module: MODULE });

/** How many bytes of each answer come before the silence; of `none` not even its head. */
const SENT = { none: undefined, head: 0, some: 5000 };
const FOLDER = new URL("../../crane-sdk/tests/fixtures/qwen2_tied/", import.meta.url);
const FILES = Object.fromEntries(["config.json", "model.safetensors", "tokenizer.json"].map((name) => [name, new URL(name, FOLDER)]));

let server, address;
/** Connections that are open now, and who waits for the next change. */
let open = 0;
let changed = () => {};
before(async () => {
  server = createServer(({ url }, response) => {
    const [, how, name] = url.split("/");
    open += 1;
    changed();
    response.on("close", () => ((open -= 1), changed()));
    if (!(how in SENT)) return void response.writeHead(404).end();
    if (SENT[how] === undefined) return;
    response.writeHead(200, { "content-type": name.endsWith("wasm") ? "application/wasm" : "text/plain", "content-length": MODULE.length });
    response.flushHeaders();
    response.write(MODULE.subarray(0, SENT[how]));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${server.address().port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

/** Waits until so many connections are open. */
async function connections(count) {
  while (open !== count) await new Promise((resolve) => (changed = resolve));
}

/** What a call ends with where a minute of waiting passes in a second. */
async function errorOf(call) {
  const { setTimeout } = globalThis;
  globalThis.setTimeout = (done, milliseconds, ...rest) => setTimeout(done, milliseconds / 60, ...rest);
  try {
    return await call().then(() => assert.fail("it succeeded"), (error) => error);
  } finally {
    globalThis.setTimeout = setTimeout;
  }
}

for (const how of Object.keys(SENT)) {
  test(`the engine's module, of which ${how} came: it is given up after a silence`, async () => {
    for (const name of ["m.wasm", "m.bin"]) {
      const stop = new AbortController();
      const error = await errorOf(() => compiled(`${address}/${how}/${name}`, stop.signal));
      assert.equal(error.code, "network", error.message);
      assert.match(error.message, /nothing came for 30 seconds/);
      assert.match(error.hint, /Crane\.create\(\) again/);
      // What the end of the worker does otherwise.
      stop.abort();
      await connections(0);
    }
  });

  test(`the engine's module, of which ${how} came: a signal ends the start, and the engine's worker`, async () => {
    const stop = new AbortController();
    const created = Crane.create({ wasmUrl: `${address}/${how}/m.wasm`, signal: stop.signal });
    await connections(1);
    stop.abort();
    await assert.rejects(created, (error) => error.code === "aborted");
    await connections(0);
  });

  test(`a model's file, of which ${how} came: it is given up after silences, and no connection is left`, async () => {
    const error = await errorOf(() => openFiles([{ name: "f.gguf", source: `${address}/${how}/m.gguf` }], { signal: new AbortController().signal, report: () => {}, retries: 1 }));
    assert.equal(error.code, "network", error.message);
    assert.match(error.message, /nothing came for 30 seconds/);
    await connections(0);
  });

  test(`a model's file, of which ${how} came: a signal ends the load, and the engine goes on`, async () => {
    const crane = await Crane.create();
    const stop = new AbortController();
    const loading = crane.load(`${address}/${how}/m.gguf`, { signal: stop.signal });
    await connections(1);
    stop.abort();
    await assert.rejects(loading, (error) => error.code === "aborted");
    await connections(0);
    assert.ok((await (await crane.load(FILES, { context: 64 })).tokenize("Hello")).length > 0);
    crane.dispose();
  });
}

test("a signal that has aborted before ends the start at once", async () => {
  await assert.rejects(Crane.create({ signal: AbortSignal.abort() }), (error) => error.code === "aborted");
  await assert.rejects(Crane.create({ signal: "no" }), (error) => error.code === "invalid_argument" && /AbortSignal/.test(error.message));
});
