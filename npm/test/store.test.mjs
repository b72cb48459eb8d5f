/** Models from a server that speaks the Hub's protocol, kept in a folder: pulled, resumed, verified, loaded without network. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { Crane, CraneError } from "../dist/index.js";
import { sendBytes, serveHub } from "./hub_server.mjs";

const FOLDER = new URL("../../crane-sdk/tests/fixtures/qwen2_tied/", import.meta.url);
const { values } = JSON.parse(readFileSync(new URL("golden.json", FOLDER), "utf8"));
const FILES = Object.fromEntries(readdirSync(FOLDER).filter((name) => !name.startsWith("golden")).map((name) => [name, readFileSync(new URL(name, FOLDER))]));
const TOTAL = Object.values(FILES).reduce((bytes, { length }) => bytes + length, 0);
const WEIGHTS = "model.safetensors";
const SIZE = FILES[WEIGHTS].length;
const prompt = values.prompt_ids[0];

let hub, crane, cacheDir;
before(async () => (hub = await serveHub()));
after(() => hub.close());
beforeEach(async () => {
  hub.repos["org/tiny"] = { commit: "c0ffee", files: { "README.md": Buffer.from("no"), ...FILES } };
  cacheDir = mkdtempSync(join(tmpdir(), "crane-store-"));
  crane = await start();
});
afterEach(() => {
  crane.dispose();
  rmSync(cacheDir, { recursive: true });
  hub.log.length = 0;
  for (const name of Object.keys(hub.faults)) delete hub.faults[name];
  for (const name of Object.keys(hub.repos)) delete hub.repos[name];
});

const start = (options = {}) => Crane.create({ hubUrl: hub.address, cacheDir, retries: 1, ...options });
const code = (expected, pattern = /./) => (error) => {
  assert.ok(error instanceof CraneError, String(error));
  assert.equal(error.code, expected, error.message);
  assert.match(error.message, pattern);
  return true;
};
const asked = (name) => hub.log.filter(({ path, storage }) => path.endsWith(name) && (storage || name !== WEIGHTS));
async function greedy(llm) {
  const ids = [];
  for await (const id of llm.generate(prompt, { temperature: 0, max_tokens: 4, ignore_eos: true })) ids.push(id);
  return ids;
}

/** The folder of the only model in the store. */
const folder = () => join(cacheDir, readdirSync(cacheDir)[0]);

test("a model is pulled once, and loaded without the network by an engine that never saw it", async () => {
  const reports = [];
  const stored = await crane.pull("org/tiny", { onProgress: (numbers) => reports.push(numbers) });
  assert.deepEqual([stored.id, stored.commit, stored.complete, stored.storedBytes, stored.totalBytes], ["org/tiny", "c0ffee", true, TOTAL, TOTAL]);
  assert.deepEqual(stored.files.map(({ name }) => name).sort(), Object.keys(FILES).sort());
  assert.deepEqual({ ...reports.at(-1), bytesPerSecond: 0 }, { phase: "download", file: WEIGHTS, loaded: TOTAL, total: TOTAL, bytesPerSecond: 0 });
  assert.ok(reports.at(-1).bytesPerSecond > 0);
  crane.dispose();
  hub.log.length = 0;
  crane = await start();
  const llm = await crane.load("org/tiny", { context: 256 });
  const direct = await crane.load(Object.fromEntries(Object.keys(FILES).map((name) => [name, new URL(name, FOLDER)])), { context: 256 });
  assert.deepEqual(await greedy(llm), await greedy(direct));
  await crane.pull("org/tiny@main");
  assert.deepEqual(hub.log, []);
});

test("loading pulls what is not there; the list tells whole from begun, and remove removes", async () => {
  await crane.load("org/tiny", { context: 64 });
  hub.repos["org/other"] = { commit: "2", files: { ...FILES } };
  hub.faults[WEIGHTS] = ["drop:1000", "drop:1000", "status:503"];
  await assert.rejects(crane.pull("org/other"), code("network"));
  const models = await crane.models.list();
  assert.deepEqual(models.map(({ id, complete, storedBytes, totalBytes }) => [id, complete, storedBytes, totalBytes]), [
    ["org/other", false, TOTAL - SIZE + 2000, TOTAL],
    ["org/tiny", true, TOTAL, TOTAL],
  ]);
  assert.equal(await crane.models.remove("org/tiny@main"), true);
  assert.equal(await crane.models.remove("org/tiny"), false);
  assert.deepEqual((await crane.models.list()).map(({ id }) => id), ["org/other"]);
});

test("dropped connections are gone on with where they ended, and no byte comes twice", async () => {
  hub.faults[WEIGHTS] = ["drop:1000", "drop:500", "status:502"];
  const patient = await start({ retries: 2 });
  await patient.pull("org/tiny");
  patient.dispose();
  assert.deepEqual(asked(WEIGHTS).map(({ range }) => range), [undefined, "bytes=1000-", "bytes=1500-", "bytes=1500-"]);
  await crane.models.verify("org/tiny");
});

test("a pull that failed or was aborted is gone on with by another engine", async () => {
  hub.faults[WEIGHTS] = ["drop:1000", "status:500"];
  await assert.rejects(crane.pull("org/tiny"), (error) => code("network", /1000 of/)(error) && /goes on from there/.test(error.hint));
  hub.faults[WEIGHTS] = ["stall:700"];
  const stop = new AbortController();
  setTimeout(() => stop.abort(), 500);
  await assert.rejects(crane.pull("org/tiny", { signal: stop.signal }), code("aborted"));
  crane.dispose();
  crane = await start();
  const phases = [];
  hub.log.length = 0;
  await crane.pull("org/tiny", { onProgress: ({ phase, loaded }) => phases.push([phase, loaded]) });
  assert.deepEqual(asked(WEIGHTS).map(({ range }) => range), ["bytes=1700-"]);
  assert.deepEqual(asked("tokenizer.json"), []);
  assert.ok(phases.some(([phase]) => phase === "verify"));
  assert.ok(phases.filter(([phase]) => phase === "download").every(([, loaded]) => loaded >= TOTAL - SIZE + 1700));
  await crane.models.verify("org/tiny");
});

test("bytes with a wrong sum are thrown away and said; the next pull begins anew", async () => {
  for (const name of ["config.json", WEIGHTS]) {
    hub.faults[name] = ["corrupt"];
    await assert.rejects(crane.pull("org/tiny"), code("corrupt", new RegExp(`${name}.*should be [0-9a-f]+, but is [0-9a-f]+`)));
    const { storedBytes } = (await crane.models.list())[0];
    assert.ok(storedBytes <= TOTAL - FILES[name].length);
  }
  await crane.pull("org/tiny");
  await crane.models.verify("org/tiny");
});

test("bad bytes of an earlier try do not spoil the next one", async () => {
  hub.faults[WEIGHTS] = ["drop:1000", "status:500"];
  await assert.rejects(crane.pull("org/tiny"), code("network"));
  const part = readdirSync(folder()).find((name) => readFileSync(join(folder(), name)).length === 1000);
  writeFileSync(join(folder(), part), Buffer.alloc(1000));
  hub.log.length = 0;
  await crane.pull("org/tiny");
  assert.deepEqual(asked(WEIGHTS).map(({ range }) => range), ["bytes=1000-", undefined]);
  await crane.models.verify("org/tiny");
});

test("a server without ranges starts over, and the file is whole", async () => {
  hub.faults[WEIGHTS] = ["drop:1000", "whole"];
  await crane.pull("org/tiny");
  await crane.models.verify("org/tiny");
});

test("a stored file that was cut is fetched again, and said where that fails", async () => {
  await crane.pull("org/tiny");
  const file = readdirSync(folder()).find((name) => readFileSync(join(folder(), name)).length === SIZE);
  truncateSync(join(folder(), file), 5000);
  const llm = await crane.load("org/tiny", { context: 64 });
  await llm.dispose();
  truncateSync(join(folder(), file), 5000);
  delete hub.repos["org/tiny"];
  await assert.rejects(crane.load("org/tiny"), code("not_found", /damaged \(model.safetensors should have \d+ bytes, but has 5000\)/));
});

test("a stored byte that has changed is found by verify, and by a load that fails over it", async () => {
  for (const find of [() => crane.models.verify("org/tiny"), () => crane.load("org/tiny")]) {
    await crane.pull("org/tiny");
    const file = readdirSync(folder()).find((name) => readFileSync(join(folder(), name)).equals(FILES["config.json"]));
    writeFileSync(join(folder(), file), `?${FILES["config.json"].toString().slice(1)}`);
    await assert.rejects(find(), code("corrupt", /config\.json/));
    assert.deepEqual(await crane.models.list(), []);
  }
});

test("a record that was not written to its end counts as none", async () => {
  await crane.pull("org/tiny");
  writeFileSync(join(folder(), "model.json"), '{"format":1,"id":"org/ti');
  assert.deepEqual(await crane.models.list(), []);
  await crane.pull("org/tiny");
  assert.equal((await crane.models.list())[0].complete, true);
});

test("an abort at every step of a pull leaves an engine that pulls and loads", async () => {
  await crane.pull("org/tiny");
  const requests = hub.log.length;
  assert.ok(requests > Object.keys(FILES).length);
  for (let limit = 0; limit < requests; limit++) {
    await crane.models.remove("org/tiny");
    const stop = new AbortController();
    let count = 0;
    hub.state.onRequest = () => count++ === limit && stop.abort();
    await assert.rejects(crane.pull("org/tiny", { signal: stop.signal }), code("aborted"));
  }
  hub.state.onRequest = () => {};
  await assert.rejects(crane.pull("org/tiny", { signal: AbortSignal.abort() }), code("aborted"));
  assert.equal((await greedy(await crane.load("org/tiny", { context: 256 }))).length, 4);
  await crane.models.verify("org/tiny");
});

test("two pulls of one model at a time are one", async () => {
  const [one, two] = await Promise.all([crane.pull("org/tiny"), crane.pull("org/tiny")]);
  assert.deepEqual(one, two);
  assert.equal(asked(WEIGHTS).length, 1);
});

test("what the Hub refuses is told apart", async () => {
  await assert.rejects(crane.pull("org/none"), code("not_found"));
  await assert.rejects(crane.pull("org/tiny@v2"), code("not_found"));
  await assert.rejects(crane.pull("org/tiny:Q4_0"), code("not_found", /Q4_0/));
  hub.repos["org/gated"] = { commit: "1", gated: true, files: FILES };
  await assert.rejects(crane.pull("org/gated"), code("access_denied"));
  const other = await start({ hubToken: "hf_good" });
  await other.pull("org/gated");
  assert.ok(hub.log.filter(({ storage }) => storage).every(({ authorization }) => authorization === undefined));
  other.dispose();
  const nowhere = await start({ hubUrl: "http://127.0.0.1:9" });
  await assert.rejects(nowhere.pull("org/tiny"), code("network"));
  nowhere.dispose();
});

test("a model that cannot fit is refused with numbers, before a byte of it is asked for", async () => {
  const huge = { length: 5e9 };
  const server = createServer((request, response) => response.end(JSON.stringify({ sha: "1", siblings: [{ rfilename: "m.gguf", size: huge.length, lfs: { size: huge.length, sha256: "0".repeat(64) } }] })));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const other = await start({ hubUrl: `http://127.0.0.1:${server.address().port}` });
  await assert.rejects(other.pull("org/huge"), code("too_large", /5000000000 bytes.*4294967296/));
  await assert.rejects(other.load("org/huge", { store: false }), code("too_large"));
  other.dispose();
  server.close();
});

test("a URL is kept under itself; its changed content is not mixed with what came before", async () => {
  const state = { faults: { "m.gguf": ["drop:5000", "status:500"] } };
  let bytes = Buffer.alloc(20_000, 1);
  const log = [];
  const server = createServer((request, response) => {
    log.push(request.headers);
    sendBytes(state, request, response, "m.gguf", bytes);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${server.address().port}/m.gguf`;
  await assert.rejects(crane.pull(url), code("network"));
  bytes = Buffer.alloc(20_000, 2);
  await crane.pull(url);
  assert.equal(log.at(-1).range, "bytes=5000-");
  assert.match(log.at(-1)["if-range"], /^"[0-9a-f]{32}"$/);
  assert.deepEqual(readFileSync(join(folder(), "0")), bytes);
  await crane.models.remove(url);
  await assert.rejects(crane.pull(url, { sha256: "0".repeat(64) }), code("corrupt"));
  state.faults["m.gguf"] = ["drop:5000"];
  log.length = 0;
  await crane.pull(url);
  assert.deepEqual(log.map(({ range }) => range), [undefined, "bytes=5000-"]);
  assert.deepEqual(readFileSync(join(folder(), "0")), bytes);
  // It is no GGUF file, but it is what was pulled.
  await assert.rejects(crane.load(url), code("invalid_file"));
  assert.equal((await crane.models.list()).length, 1);
  server.close();
});

test("files of this machine are stored under a name", async () => {
  const files = Object.entries(FILES).map(([name, bytes]) => new File([bytes], name));
  await assert.rejects(crane.pull(files), code("invalid_argument", /name/));
  const stored = await crane.pull(files, { name: "mine" });
  assert.deepEqual([stored.id, stored.complete, stored.storedBytes], ["local:mine", true, TOTAL]);
  const llm = await crane.load("local:mine", { context: 256 });
  assert.equal((await greedy(llm)).length, 4);
  await assert.rejects(crane.load("local:other"), code("not_found"));
  await assert.rejects(crane.pull("org/tiny", { name: "x" }), code("invalid_argument", /name/));
});

test("without a folder Node keeps nothing, and says so", async () => {
  const other = await Crane.create({ hubUrl: hub.address, retries: 1 });
  assert.deepEqual([other.capabilities.storage.kind, crane.capabilities.storage.kind], ["none", "disk"]);
  await assert.rejects(other.pull("org/tiny"), (error) => code("unsupported", /cacheDir/)(error) && /cacheDir/.test(error.hint));
  await assert.rejects(other.models.list(), code("unsupported"));
  hub.faults[WEIGHTS] = ["drop:1000"];
  const llm = await other.load("org/tiny", { context: 256 });
  assert.equal((await greedy(llm)).length, 4);
  assert.deepEqual(asked(WEIGHTS).map(({ range }) => range), [undefined, "bytes=1000-"]);
  other.dispose();
});

test("safetensors can be quantised while they are loaded", async () => {
  const plain = await crane.load("org/tiny", { context: 64 });
  const quantised = await crane.load("org/tiny", { context: 64, quantize: "q8_0" });
  assert.ok(quantised.info.weightBytes < plain.info.weightBytes);
  assert.equal(quantised.info.precision, "Q8_0");
});
