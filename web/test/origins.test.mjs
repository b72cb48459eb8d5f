/** Models on other origins, whose answers show a page little: compressed on the way, redirected, cut, changed, without room for a preflight. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { gzipSync } from "node:zlib";
import { launch as launchChromium } from "./browser.mjs";
import { launch as launchFirefox } from "./firefox.mjs";
import { serve } from "./serve.mjs";

const NAMES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
const FOLDER = new URL("../../crane-sdk/tests/fixtures/qwen2_tied/", import.meta.url);
const FILES = Object.fromEntries(NAMES.map((name) => [name, readFileSync(new URL(name, FOLDER))]));
const WEIGHTS = "model.safetensors";

/** Whose turn it is: each takes the requests for its path's first part. */
const log = [];
/** Connections to the storage that end after so many bytes. */
let drops = [];

/** A storage that allows simple requests alone: a preflight is refused, and no header is exposed. */
function storage(request, response) {
  const [, kind, name] = new URL(request.url, "http://localhost").pathname.split("/");
  log.push({ method: request.method, kind, name, range: request.headers.range, ifRange: request.headers["if-range"] });
  response.setHeader("access-control-allow-origin", "*");
  if (request.method === "OPTIONS") return void response.writeHead(403).end();
  const file = FILES[name];
  if (!file) return void response.writeHead(404).end();
  if (kind === "gzip") {
    const packed = gzipSync(file);
    return void response.writeHead(200, { "content-encoding": "gzip", "content-length": packed.length, "content-type": "application/octet-stream" }).end(packed);
  }
  // Longer than what it holds: bytes that cannot be compressed.
  if (kind === "stored") {
    const packed = gzipSync(file, { level: 0 });
    return void response.writeHead(200, { "content-encoding": "gzip", "content-length": packed.length, "content-type": "application/octet-stream" }).end(packed);
  }
  const [, from] = /^bytes=(\d+)-$/.exec(request.headers.range ?? "") ?? [];
  const body = file.subarray(Number(from ?? 0));
  const headers = { etag: '"1"', "last-modified": "Sat, 01 Jan 2022 00:00:00 GMT", "content-length": body.length, "content-type": "application/octet-stream" };
  if (from !== undefined) headers["content-range"] = `bytes ${from}-${file.length - 1}/${file.length}`;
  response.writeHead(from === undefined ? 200 : 206, headers);
  if (name !== WEIGHTS || drops.length === 0) return void response.end(body);
  response.write(body.subarray(0, drops.shift()));
  setTimeout(() => response.destroy(), 50);
}

let server, other, browsers;
before(async () => {
  other = createServer(storage);
  await new Promise((resolve) => other.listen(0, "127.0.0.1", resolve));
  const address = `http://127.0.0.1:${other.address().port}`;
  server = await serve({
    answer: (path, response) => {
      const [, redirect, name] = path.split("/");
      if (redirect !== "redirect") return false;
      response.writeHead(302, { location: `${address}/plain/${name}`, etag: '"1"' }).end();
      return true;
    },
  });
  server.storage = address;
  browsers = { Chromium: await launchChromium(), Firefox: await launchFirefox() };
});
after(async () => {
  for (const browser of Object.values(browsers ?? {})) await browser.close();
  await server?.close();
  other?.closeAllConnections();
  other?.close();
});

/** Loads from an address and says what came of it; twice, the second time by another engine. */
async function load(browser, base) {
  const page = await browser.newPage();
  try {
    await page.goto(`${server.address}/blank`);
    return await page.evaluate(
      async ([base, names]) => {
        const { Crane } = await import("/npm/dist/index.js");
        const crane = await Crane.create({ retries: 2, threads: 1 });
        const files = Object.fromEntries(names.map((name) => [name, `${base}/${name}`]));
        const found = { progress: [] };
        try {
          // A single address is stored; a model of several is not.
          for (const name of names) await crane.pull(files[name], { onProgress: ({ loaded, total }) => found.progress.push([loaded, total]) });
          found.stored = (await crane.models.list()).map(({ storedBytes, complete }) => [storedBytes, complete]);
          const llm = await crane.load(files, { context: 64 });
          found.ids = [];
          for await (const id of llm.generate([5, 6, 7], { temperature: 0, max_tokens: 4, ignore_eos: true })) found.ids.push(id);
        } catch ({ code, message, hint }) {
          Object.assign(found, { code, message, hint });
        }
        for (const { id } of await crane.models.list()) await crane.models.remove(id);
        crane.dispose();
        return found;
      },
      [base, NAMES],
    );
  } finally {
    await page.close();
  }
}

const sizes = Object.values(FILES).map(({ length }) => length).sort((a, b) => a - b);

for (const name of ["Chromium", "Firefox"]) {
  for (const kind of ["gzip", "stored"]) {
    test(`${name}: an answer of another origin may be compressed (${kind})`, async () => {
      const found = await load(browsers[name], `${server.storage}/${kind}`);
      assert.equal(found.ids?.length, 4, `${found.code}: ${found.message}`);
      assert.deepEqual(found.stored.map(([bytes]) => bytes).sort((a, b) => a - b), sizes);
      assert.ok(found.progress.every(([loaded, total]) => total === undefined || loaded <= total));
    });
  }

  test(`${name}: a connection behind a redirect is gone on with, or begun anew, without a preflight that is refused`, async () => {
    for (const base of [`${server.address}/redirect`, `${server.storage}/plain`]) {
      log.length = 0;
      drops = [1000, 2000];
      const found = await load(browsers[name], base);
      assert.equal(found.ids?.length, 4, `${base}: ${found.code}: ${found.message}`);
      assert.deepEqual(found.stored.map(([bytes]) => bytes).sort((a, b) => a - b), sizes);
      assert.ok(log.every(({ ifRange }) => ifRange === undefined));
    }
  });
}
