/** What `npm pack` puts into the package: whole, typed, and small enough for a page. */
import { createPackageFromTarballData, checkPackage } from "@arethetypeswrong/core";
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { publint } from "publint";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));

/** The most that a page fetches of the package, compressed: its scripts and one build of the engine. */
const LIMIT = 2.5e6;

let folder, packed, tarball;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "crane-pack-"));
  const output = execFileSync("npm", ["pack", "--json", "--pack-destination", folder], { cwd: PACKAGE, encoding: "utf8" });
  [packed] = JSON.parse(output);
  tarball = readFileSync(join(folder, packed.filename));
});
after(() => rmSync(folder, { recursive: true }));

const paths = () => packed.files.map(({ path }) => path);

test("nothing is missing and nothing is there that nobody needs", () => {
  for (const path of ["LICENSE", "README.md", "dist/index.js", "dist/index.d.ts", "dist/worker/main.js", "wasm/crane_wasm.js", "wasm/crane_wasm_bg.wasm", "wasm/crane_wasm_relaxed_bg.wasm", "wasm/crane_wasm_threads_bg.wasm"]) {
    assert.ok(paths().includes(path), path);
  }
  assert.deepEqual(paths().filter((path) => !/^(dist\/.*\.(js|d\.ts)|wasm\/.*\.(js|d\.ts|wasm)|package\.json|README\.md|LICENSE)$/.test(path)), []);
});

test("what a page fetches is small", (t) => {
  const size = (path) => gzipSync(readFileSync(join(PACKAGE, path)), { level: 9 }).length;
  const sizes = (pattern) => paths().filter((path) => pattern.test(path)).map(size);
  const scripts = sizes(/^dist\/.*\.js$/).reduce((bytes, more) => bytes + more, 0);
  // Of the builds of the engine, and of their bindings, a page takes one.
  const engine = Math.max(...sizes(/\.wasm$/)) + Math.max(...sizes(/^wasm\/.*\.js$/));
  t.diagnostic(`scripts ${scripts} bytes, the larger build of the engine ${engine}, compressed; the whole package ${packed.size}`);
  assert.ok(scripts + engine < LIMIT, `${scripts + engine} bytes`);
});

test("publint finds nothing", async () => {
  const { messages } = await publint({ pack: { tarball: tarball.buffer.slice(tarball.byteOffset, tarball.byteOffset + tarball.length) } });
  assert.deepEqual(messages.filter(({ type }) => type !== "suggestion"), []);
});

test("its types are those of its code, however they are resolved", async () => {
  const { types, problems } = await checkPackage(createPackageFromTarballData(tarball), { entrypoints: ["."] });
  assert.equal(types?.kind, "included");
  // It is a module: `require` of it is not offered.
  assert.deepEqual(problems.filter(({ kind }) => kind !== "CJSResolvesToESM"), []);
});
