/** Models that stay in the browser: offline after a reload, in two tabs, after damage, without room. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serveHub } from "../../npm/test/hub_server.mjs";
import { launch } from "./browser.mjs";
import { MODELS, serve } from "./serve.mjs";
import { lacksWeights, references, SMOLLM2 } from "./weights.mjs";

const FOLDER = new URL("../../crane-sdk/tests/fixtures/qwen2_tied/", import.meta.url);
const FILES = Object.fromEntries(readdirSync(FOLDER).filter((name) => !name.startsWith("golden")).map((name) => [name, readFileSync(new URL(name, FOLDER))]));
const WEIGHTS = "model.safetensors";

let server, browser, hub;
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

/** A page with an engine in it, and `attempt`, which turns a rejection into its code and message. */
async function open(context) {
  const page = await context.newPage();
  await page.goto(`${server.address}/blank`);
  await start(page);
  return page;
}

async function start(page) {
  await page.evaluate(async (hubUrl) => {
    const { Crane } = await import("/npm/dist/index.js");
    globalThis.crane = await Crane.create({ hubUrl, retries: 1 });
    globalThis.attempt = (promise) => promise.then((value) => ({ value }), ({ code, message, hint }) => ({ code, message, hint }));
    globalThis.answer = async (llm) => Array.fromAsync(llm.generate([5, 6, 7], { temperature: 0, max_tokens: 4, ignore_eos: true }));
  }, hub.address);
}

/** Requests for the bytes of the weights. */
const weightRequests = () => hub.log.filter(({ storage, path }) => storage && path.endsWith(WEIGHTS));

/** A test in a profile of its own. */
function inProfile(name, body) {
  test(name, async (t) => {
    const context = await browser.newContext();
    hub.log.length = 0;
    try {
      await body(context, t);
    } finally {
      for (const file of Object.keys(hub.faults)) delete hub.faults[file];
      await context.close();
    }
  });
}

inProfile("a model outlives the page, and loads offline", async (context) => {
  const page = await open(context);
  const capabilities = await page.evaluate(() => crane.capabilities);
  assert.deepEqual([capabilities.simd, capabilities.storage.kind, capabilities.crossOriginIsolated, capabilities.threads], [true, "opfs", false, false]);
  assert.ok(capabilities.storage.quotaBytes > 0 && capabilities.tier.reason.length > 0);
  const first = await page.evaluate(async () => {
    const stored = await crane.pull("org/tiny");
    return { stored, ids: await answer(await crane.load("org/tiny", { context: 64 })) };
  });
  assert.equal(first.stored.complete, true);
  const other = await context.newPage();
  await other.goto(`${server.address}/blank`);
  await start(other);
  hub.log.length = 0;
  await page.close();
  await context.setOffline(true);
  const ids = await other.evaluate(async () => answer(await crane.load("org/tiny", { context: 64 })));
  assert.deepEqual(ids, first.ids);
  const missing = await other.evaluate(() => attempt(crane.load("org/other")));
  assert.equal(missing.code, "network");
  assert.deepEqual(hub.log, []);
  await context.setOffline(false);
  assert.deepEqual(await other.evaluate(async () => [await crane.models.remove("org/tiny"), await crane.models.list()]), [true, []]);
});

inProfile("a pull that was aborted, dropped or reloaded away goes on", async (context) => {
  hub.faults[WEIGHTS] = ["stall:100000"];
  const page = await open(context);
  const aborted = await page.evaluate(() => {
    const stop = new AbortController();
    setTimeout(() => stop.abort(), 700);
    return attempt(crane.pull("org/tiny", { signal: stop.signal }));
  });
  assert.equal(aborted.code, "aborted");
  hub.faults[WEIGHTS] = ["stall:50000"];
  await page.evaluate(async () => {
    void attempt(crane.pull("org/tiny"));
    await new Promise((resolve) => setTimeout(resolve, 700));
  });
  await page.reload();
  await start(page);
  const [begun] = await page.evaluate(() => crane.models.list());
  assert.equal(begun.complete, false);
  hub.faults[WEIGHTS] = ["drop:1000"];
  await page.evaluate(() => crane.pull("org/tiny"));
  const ranges = weightRequests().map(({ range }) => range);
  assert.deepEqual(ranges, [undefined, "bytes=100000-", "bytes=150000-", "bytes=151000-"]);
  await page.evaluate(() => crane.models.verify("org/tiny"));
});

inProfile("two tabs pull and load one model at a time", async (context) => {
  const tabs = [await open(context), await open(context)];
  const pull = (tab) => tab.evaluate(() => crane.pull("org/tiny"));
  const [one, two] = await Promise.all(tabs.map(pull));
  assert.deepEqual(one, two);
  assert.equal(weightRequests().length, 1);
  const load = (tab) => tab.evaluate(async () => answer(await crane.load("org/tiny", { context: 64 })));
  for (let round = 0; round < 3; round++) {
    const [ids, others] = await Promise.all(tabs.map(load));
    assert.deepEqual(ids, others);
  }
});

inProfile("a damaged store is noticed, and mended by the network", async (context) => {
  const page = await open(context);
  const damage = (position, length) =>
    page.evaluate(async ([position, length]) => {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("crane-models");
      for await (const model of root.values()) {
        for await (const [name, file] of model.entries()) {
          if ((await file.getFile()).size < 100000) continue;
          const out = await (await model.getFileHandle(name)).createWritable({ keepExistingData: true });
          if (length === undefined) await out.write({ type: "write", position, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8) });
          else await out.truncate(length);
          await out.close();
        }
      }
    }, [position, length]);
  await page.evaluate(() => crane.pull("org/tiny"));
  await damage(0, 5000);
  assert.deepEqual(Object.keys(await page.evaluate(async () => attempt(crane.load("org/tiny").then((llm) => llm.name)))), ["value"]);
  await damage(0);
  const found = await page.evaluate(() => attempt(crane.load("org/tiny")));
  assert.equal(found.code, "corrupt", found.message);
  assert.deepEqual(await page.evaluate(() => crane.models.list()), []);
});

inProfile("where there is no room, what came is kept, and goes on when there is some", async (context) => {
  const bytes = Buffer.alloc(12_000_000, "crane");
  hub.repos["org/big"] = { commit: "1", files: { "m-q4_0.gguf": bytes } };
  const page = await open(context);
  const devtools = await context.newCDPSession(page);
  const allow = (quotaSize) => devtools.send("Storage.overrideQuotaForOrigin", { origin: server.address, ...(quotaSize === undefined ? {} : { quotaSize }) });
  await allow(8_000_000);
  const refused = await page.evaluate(() => attempt(crane.pull("org/big")));
  assert.equal(refused.code, "quota_exceeded", refused.message);
  assert.match(refused.message, /org\/big: \d+ of 12000000 bytes are stored/);
  const [stored] = await page.evaluate(() => crane.models.list());
  await allow();
  assert.equal((await page.evaluate(() => crane.pull("org/big"))).complete, true);
  assert.equal(hub.log.at(-1).range, stored?.storedBytes ? `bytes=${stored.storedBytes}-` : undefined);
  await page.evaluate(() => crane.models.verify("org/big"));
});

inProfile("files, a folder and a buffer are stored under a name", async (context) => {
  const page = await open(context);
  const ids = await page.evaluate(async (names) => {
    const bytes = await Promise.all(names.map(async (name) => [name, await (await fetch(`/fixture/${name}`)).arrayBuffer()]));
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("own", { create: true });
    for (const [name, content] of bytes) {
      const out = await (await folder.getFileHandle(name, { create: true })).createWritable();
      await out.write(content);
      await out.close();
    }
    const pulled = [
      await crane.pull(folder),
      await crane.pull(bytes.map(([name, content]) => new File([content], name)), { name: "files" }),
      await crane.pull(Object.fromEntries(bytes), { name: "buffers" }),
    ];
    const answers = [];
    for (const { id } of pulled) answers.push([id, await answer(await crane.load(id, { context: 64 }))]);
    answers.push(["direct", await answer(await crane.load(folder, { context: 64 }))]);
    return answers;
  }, Object.keys(FILES));
  assert.deepEqual(ids.map(([id]) => id), ["local:own", "local:files", "local:buffers", "direct"]);
  assert.ok(ids.every(([, answer]) => JSON.stringify(answer) === JSON.stringify(ids[0][1])));
});

inProfile("fifty turns on SmolLM2 out of the store, and the memory stays", async (context, t) => {
  if (lacksWeights(t)) return;
  hub.repos["org/smol"] = { commit: "1", files: { [SMOLLM2]: readFileSync(join(MODELS, SMOLLM2)) } };
  const page = await open(context);
  const outcome = await page.evaluate(async (question) => {
    const times = [performance.now()];
    await crane.pull("org/smol");
    times.push(performance.now());
    const llm = await crane.load("org/smol", { context: 512 });
    times.push(performance.now());
    const first = await llm.chat(question, { temperature: 0 });
    times.push(performance.now());
    const messages = [];
    let early;
    for (let turn = 0; turn < 50; turn++) {
      messages.push({ role: "user", content: `Say the number ${turn}.` });
      const { choices } = await llm.chat.completions.create({ messages, temperature: 0, max_tokens: 3 });
      messages.push(choices[0].message);
      // Old turns leave, as in a long conversation.
      if (messages.length > 8) messages.splice(0, 2);
      if (turn === 9) early = (await crane.memory()).wasmBytes;
    }
    const spent = times.slice(1).map((time, index) => time - times[index]);
    return { first, early, late: (await crane.memory()).wasmBytes, spent };
  }, references()[0].messages.at(-1).content);
  assert.ok(outcome.first.length > 0);
  assert.equal(outcome.late, outcome.early);
  const [pull, load, answer] = outcome.spent.map((time) => time.toFixed(0));
  t.diagnostic(`pull ${pull} ms (from this machine), load out of the store ${load} ms, first answer ${answer} ms, memory ${(outcome.late / 1e6).toFixed(0)} MB`);
});
