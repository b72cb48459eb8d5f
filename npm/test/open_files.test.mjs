/** Downloads against a real server, as the worker makes them. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { metered, openFiles } from "../dist/worker/open_files.js";
import { initSync } from "../wasm/crane_wasm.js";

// Downloads are summed up by the engine.
initSync({ module: readFileSync(new URL("../wasm/crane_wasm_bg.wasm", import.meta.url)) });

const BYTES = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 31) % 251);
const routes = {
  "/plain": (response) => response.writeHead(200, { "content-length": BYTES.length }).end(BYTES),
  "/chunked": (response) => response.writeHead(200).end(BYTES),
  "/gzip": (response) => {
    const packed = gzipSync(BYTES);
    response.writeHead(200, { "content-encoding": "gzip", "content-length": packed.length }).end(packed);
  },
  "/page": (response) => response.writeHead(200, { "content-type": "text/html; charset=utf-8" }).end("<p>not here"),
  "/error": (response) => response.writeHead(503).end(),
  "/lost": (response) => {
    response.writeHead(200, { "content-length": BYTES.length }).write(BYTES.subarray(0, 5000));
    setTimeout(() => response.destroy(), 50);
  },
  "/endless": (response) => response.writeHead(200, { "content-length": BYTES.length }).write(BYTES.subarray(0, 5000)),
};

let server, address;
before(async () => {
  server = createServer((request, response) => (routes[request.url] ?? ((r) => r.writeHead(404).end()))(response));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${server.address().port}`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

const open = (source, report = () => {}, signal = new AbortController().signal) => openFiles([{ name: "f.gguf", source }], { signal, report, retries: 1 });
const rejects = (source, code) => assert.rejects(open(address + source), (error) => error.code === code && error.message.length > 0);

async function checkBytes(source) {
  const [file] = await open(source);
  assert.equal(file.size, BYTES.length);
  assert.deepEqual(file.read(0, 10), BYTES.slice(0, 10));
  assert.deepEqual(file.read(90_000, 10_000), BYTES.slice(90_000));
  assert.deepEqual(file.read(0, BYTES.length), BYTES);
  file.close();
}

test("a body of known size", () => checkBytes(`${address}/plain`));
test("a body of unknown size", () => checkBytes(`${address}/chunked`));
test("a body that is compressed on the way", () => checkBytes(`${address}/gzip`));
test("a blob", () => checkBytes(new Blob([BYTES])));
test("a buffer", () => checkBytes(BYTES.slice().buffer));
test("a file on disk", async () => {
  const folder = mkdtempSync(join(tmpdir(), "crane-"));
  try {
    writeFileSync(join(folder, "f.gguf"), BYTES);
    await checkBytes(pathToFileURL(join(folder, "f.gguf")).href);
    await assert.rejects(open(pathToFileURL(join(folder, "none")).href), { code: "not_found" });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("progress ends at the total, phase by phase", async () => {
  const reports = [];
  const report = (numbers) => reports.push(numbers);
  const [file] = metered(await open(`${address}/plain`, report), report);
  assert.deepEqual(
    { ...reports.at(-1), bytesPerSecond: 0 },
    { phase: "build", file: "f.gguf", loaded: 0, total: BYTES.length, bytesPerSecond: 0 },
  );
  const downloads = reports.filter(({ phase }) => phase === "download");
  assert.equal(downloads.at(-1).loaded, BYTES.length);
  file.read(0, BYTES.length);
  assert.equal(reports.at(-1).loaded, BYTES.length);
});

test("a missing file", () => rejects("/none", "not_found"));
test("a page in place of a file", () => rejects("/page", "not_found"));
test("a server's failure", () => rejects("/error", "network"));
test("a lost connection", () => rejects("/lost", "network"));
test("a server that is not there", () => assert.rejects(open("http://127.0.0.1:9/x"), { code: "network" }));

test("an abort ends a download", async () => {
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 50);
  await assert.rejects(open(`${address}/endless`, () => {}, stop.signal), { name: "AbortError" });
});
