/** A storage that is full, refused or taken away never keeps a model from being loaded; tabs that want the same one share its download. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { serveHub } from "../../npm/test/hub_server.mjs";
import { launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

const FOLDER = new URL("../../crane-sdk/tests/fixtures/qwen2_tied/", import.meta.url);
const FILES = Object.fromEntries(readdirSync(FOLDER).filter((name) => !name.startsWith("golden")).map((name) => [name, readFileSync(new URL(name, FOLDER))]));
const WEIGHTS = "model.safetensors";
const SIZE = FILES[WEIGHTS].length;
const TOTAL = Object.values(FILES).reduce((bytes, { length }) => bytes + length, 0);

let server, browser, hub, expected;
before(async () => {
  [server, hub] = [await serve(), await serveHub()];
  browser = await launch();
  hub.repos["org/tiny"] = { commit: "1", files: FILES };
});
after(async () => {
  await browser?.close();
  await server?.close();
  await hub?.close();
});

/** Requests for the bytes of the weights, by the range that they asked for. */
const ranges = () => hub.log.filter(({ storage, path }) => storage && path.endsWith(WEIGHTS)).map(({ range }) => range);

/** A page with an engine whose worker has these faults, and `load`, which tells warnings and what the model answers. */
async function open(context, faults) {
  const page = await context.newPage();
  await page.goto(`${server.address}/blank`);
  await page.evaluate(
    async ([hubUrl, workerUrl]) => {
      const { Crane, CraneError } = await import("/npm/dist/index.js");
      globalThis.crane = await Crane.create({ hubUrl, retries: 1, threads: 1, ...(workerUrl ? { workerUrl } : {}) });
      globalThis.attempt = (promise) => promise.then((value) => ({ value }), ({ code, message, hint }) => ({ code, message, hint }));
      globalThis.progress = [];
      globalThis.load = async (source = "org/tiny") => {
        const warnings = [];
        const llm = await crane.load(source, {
          context: 64,
          onProgress: (numbers) => progress.push(numbers),
          onWarning: (warning) => warnings.push({ code: warning.code, message: warning.message, hint: warning.hint, isCraneError: warning instanceof CraneError }),
        });
        const ids = await Array.fromAsync(llm.generate([5, 6, 7], { temperature: 0, max_tokens: 6, ignore_eos: true }));
        await llm.dispose();
        return { ids, warnings };
      };
    },
    [hub.address, faults && `/npm/test/failing_storage.mjs?${faults}`],
  );
  return page;
}

/** A test in a profile of its own, of which it gets the first page's DevTools, too. */
function inProfile(name, body) {
  test(name, async (t) => {
    const context = await browser.newContext();
    hub.log.length = 0;
    try {
      if (!expected) {
        expected = (await (await open(context)).evaluate(() => crane.load("org/tiny", { context: 64, store: false }).then((llm) => Array.fromAsync(llm.generate([5, 6, 7], { temperature: 0, max_tokens: 6, ignore_eos: true })))));
        hub.log.length = 0;
      }
      await body(context, t);
    } finally {
      for (const file of Object.keys(hub.faults)) delete hub.faults[file];
      await context.close();
    }
  });
}

/** The model was loaded all the same, and once was said why it is not stored. */
function assertWarned({ ids, warnings }, code) {
  assert.deepEqual(ids, expected);
  assert.deepEqual(warnings.map((warning) => [warning.code, warning.isCraneError]), [[code, true]], JSON.stringify(warnings));
  assert.match(warnings[0].message, /^org\/tiny is loaded without being stored: /);
}

inProfile("the browser has no room for the model: it is loaded from the network, each time", async (context) => {
  const page = await open(context);
  const devtools = await context.newCDPSession(page);
  const allow = (quotaSize) => devtools.send("Storage.overrideQuotaForOrigin", { origin: server.address, ...(quotaSize === undefined ? {} : { quotaSize }) });
  await allow(1000);
  for (let turn = 0; turn < 2; turn++) {
    const loaded = await page.evaluate(() => load());
    assertWarned(loaded, "quota_exceeded");
    assert.match(loaded.warnings[0].hint, /crane\.models\.remove/);
  }
  assert.deepEqual(ranges(), [undefined, undefined]);
  assert.ok((await page.evaluate(() => crane.models.list())).every(({ complete }) => !complete));
  await allow();
  assert.deepEqual(await page.evaluate(() => load()), { ids: expected, warnings: [] });
  assert.equal((await page.evaluate(() => crane.models.list()))[0].complete, true);
});

inProfile("a write fails midway: what is stored is not fetched again, now nor by the next pull", async (context) => {
  const room = TOTAL - SIZE + Math.floor(SIZE / 2) + 4000;
  const page = await open(context, `write=${room}`);
  assertWarned(await page.evaluate(() => load()), "quota_exceeded");
  const [first, second] = ranges();
  assert.equal(first, undefined);
  const stored = (await page.evaluate(() => crane.models.list()))[0]?.storedBytes ?? 0;
  // The browser may give the bytes in one piece, none of which is stored then.
  const begun = stored - (TOTAL - SIZE);
  assert.equal(second, begun > 0 ? `bytes=${begun}-` : undefined);
  assert.equal(ranges().length, 2);
  const explicit = await page.evaluate(() => attempt(crane.pull("org/tiny")));
  assert.equal(explicit.code, "quota_exceeded");
  const other = await open(context);
  assert.deepEqual(await other.evaluate(() => load()), { ids: expected, warnings: [] });
});

inProfile("whatever the storage refuses, the model is loaded", async (context) => {
  assertWarned(await (await open(context, "open")).evaluate(() => load()), "io");
  assertWarned(await (await open(context, "write=0")).evaluate(() => load()), "quota_exceeded");
  const without = await open(context, "root");
  assert.match(await without.evaluate(() => crane.capabilities.storage.reason), /refused its private file system.*SecurityError/);
  assert.deepEqual(await without.evaluate(() => load()), { ids: expected, warnings: [] });
  const silent = await open(context, "estimate");
  assert.deepEqual(await silent.evaluate(() => [crane.capabilities.storage.kind, crane.capabilities.storage.quotaBytes]), ["opfs", undefined].map((value) => value ?? undefined));
  assert.deepEqual(await silent.evaluate(() => load()), { ids: expected, warnings: [] });
  assert.equal((await silent.evaluate(() => crane.models.list()))[0].complete, true);
});

inProfile("stored files that cannot be read any more are fetched", async (context) => {
  await (await open(context)).evaluate(() => crane.pull("org/tiny"));
  hub.log.length = 0;
  for (const times of [0, 1, 3]) {
    const page = await open(context, `read=${times}`);
    assertWarned(await page.evaluate(() => load()), "io");
  }
  assert.equal(ranges().length, 3);
});

inProfile("the storage is taken away before, between and in the middle of loads", async (context) => {
  const page = await open(context);
  const devtools = await context.newCDPSession(page);
  const clear = () => devtools.send("Storage.clearDataForOrigin", { origin: server.address, storageTypes: "all" });
  assert.deepEqual(await page.evaluate(() => load()), { ids: expected, warnings: [] });
  await clear();
  assert.deepEqual(await page.evaluate(() => crane.models.list()), []);
  assert.deepEqual(await page.evaluate(() => load()), { ids: expected, warnings: [] });
  assert.equal(ranges().length, 2);
  await page.evaluate(() => crane.models.remove("org/tiny"));
  hub.faults[WEIGHTS] = [`stall:${Math.floor(SIZE / 2)}`];
  const loading = page.evaluate(() => load());
  while (ranges().length < 3) await new Promise((resolve) => setTimeout(resolve, 20));
  await new Promise((resolve) => setTimeout(resolve, 300));
  await clear();
  hub.state.dropAll();
  const { ids } = await loading;
  assert.deepEqual(ids, expected);
  assert.deepEqual((await page.evaluate(() => load())).ids, expected);
});

inProfile("a second tab shows the first one's download, and uses it", async (context) => {
  hub.faults[WEIGHTS] = [`stall:${Math.floor(SIZE / 2)}`];
  const [one, two] = [await open(context), await open(context)];
  const first = one.evaluate(() => attempt(load()));
  while (ranges().length < 1) await new Promise((resolve) => setTimeout(resolve, 20));
  const second = two.evaluate(() => attempt(load()));
  await two.waitForFunction((bytes) => progress.some(({ phase, loaded }) => phase === "download" && loaded >= bytes), Math.floor(SIZE / 2));
  assert.equal(ranges().length, 1);
  hub.state.dropAll();
  const [a, b] = await Promise.all([first, second]);
  assert.deepEqual([a.value?.ids, b.value?.ids], [expected, expected], JSON.stringify([a, b]));
  assert.deepEqual([a.value.warnings, b.value.warnings], [[], []]);
  assert.deepEqual(ranges(), [undefined, `bytes=${Math.floor(SIZE / 2)}-`]);
});

inProfile("a second tab takes over where the first one was closed, and a third waits for it", async (context) => {
  const half = Math.floor(SIZE / 2);
  hub.faults[WEIGHTS] = [`stall:${half}`];
  const tabs = [await open(context), await open(context), await open(context)];
  const first = tabs[0].evaluate(() => load()).catch(() => "closed");
  while (ranges().length < 1) await new Promise((resolve) => setTimeout(resolve, 20));
  const others = tabs.slice(1).map((tab) => tab.evaluate(() => load()));
  await tabs[1].waitForFunction((bytes) => progress.some(({ loaded }) => loaded >= bytes), half);
  await tabs[0].close();
  assert.equal(await first, "closed");
  for (const loaded of await Promise.all(others)) assert.deepEqual(loaded, { ids: expected, warnings: [] });
  assert.deepEqual(ranges(), [undefined, `bytes=${half}-`]);
});

inProfile("a tab that waits can stop waiting", async (context) => {
  hub.faults[WEIGHTS] = ["stall:1000"];
  const [one, two] = [await open(context), await open(context)];
  void one.evaluate(() => attempt(load())).catch(() => {});
  while (ranges().length < 1) await new Promise((resolve) => setTimeout(resolve, 20));
  const aborted = await two.evaluate(() => attempt(crane.load("org/tiny", { signal: AbortSignal.timeout(300) })));
  assert.equal(aborted.code, "aborted");
  assert.equal(ranges().length, 1);
});

test("the page opens where its service worker has no room, and where it had, after it is full", async () => {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const faults = [];
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
    const devtools = await context.newCDPSession(page);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin: server.address, quotaSize: 1 });
    for (let visit = 0; visit < 3; visit++) {
      await page.goto(server.address);
      await page.getByRole("button", { name: "Load" }).waitFor();
      await page.waitForFunction(() => navigator.serviceWorker.controller !== null);
      const answers = await page.evaluate(() => Promise.all([fetch("./"), fetch("./speech.html")].map(async (answer) => (await answer).status)));
      assert.deepEqual(answers, [200, 200]);
    }
    assert.deepEqual(faults, []);
    assert.equal(await page.evaluate(async () => (await caches.match("./speech.html")) === undefined), true);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin: server.address });
    await page.reload();
    await page.waitForFunction(async () => (await caches.match("./index.html", { ignoreSearch: true })) !== undefined || (await caches.match("./")) !== undefined);
    await context.setOffline(true);
    await page.reload();
    await page.getByRole("button", { name: "Load" }).waitFor();
  } finally {
    await context.close();
  }
});
