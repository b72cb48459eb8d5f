/** Where pages put the package: frames with and without an origin, under a base, in workers of every kind, on hosts that send the wrong thing. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch as launchChromium } from "./browser.mjs";
import { launch as launchFirefox } from "./firefox.mjs";
import { ISOLATION, serve } from "./serve.mjs";

const FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
const WASM = /_bg\.wasm$/;

/** What runs everywhere: loads a tiny model and generates; or says how that failed. */
const USE = `
  async function use(root, options = {}, files = root) {
    try {
      const { Crane } = await import(root + "/npm/dist/index.js");
      const crane = await Crane.create(options);
      const llm = await crane.load(Object.fromEntries(${JSON.stringify(FILES)}.map((name) => [name, files + "/fixture/" + name])), { context: 64, store: false });
      const ids = [];
      for await (const id of llm.generate([5, 6, 7], { temperature: 0, max_tokens: 4, ignore_eos: true })) ids.push(id);
      const { tier, storage } = crane.capabilities;
      crane.dispose();
      return { ids, tier: tier.name, storage: storage.kind };
    } catch (error) {
      return { name: error?.name, code: error?.code, message: String(error?.message ?? error), hint: error?.hint };
    }
  }`;

const servers = [];
async function host(options) {
  const server = await serve(options);
  servers.push(server);
  return server.address;
}

/** What is served at \`/scripts/NAME\`: workers need addresses. */
const SCRIPTS = {
  "dedicated.js": `${USE} use(location.origin).then((found) => postMessage(found));`,
  "shared.js": `${USE} onconnect = ({ ports: [port] }) => use(location.origin).then((found) => port.postMessage(found));`,
  "service.js": `import { Crane } from "/npm/dist/index.js";
    addEventListener("message", ({ source }) => Crane.create().then(() => source.postMessage({}), ({ name, code, message, hint }) => source.postMessage({ name, code, message, hint })));
    addEventListener("install", () => skipWaiting());
    addEventListener("activate", (event) => event.waitUntil(clients.claim()));`,
};
function scripts(path, response) {
  const name = path.replace(/^\/scripts\//, "");
  if (path === "/scripts/use.js") return void response.writeHead(200, { "content-type": "text/javascript" }).end(USE) ?? true;
  if (!SCRIPTS[name]) return false;
  response.writeHead(200, { "content-type": "text/javascript", "service-worker-allowed": "/" }).end(SCRIPTS[name]);
  return true;
}

let open, closed, browsers;
before(async () => {
  open = await host({ headers: { "access-control-allow-origin": "*" }, answer: scripts });
  closed = await host({ answer: scripts });
  browsers = { Chromium: await launchChromium(), Firefox: await launchFirefox() };
});
after(async () => {
  for (const browser of Object.values(browsers ?? {})) await browser.close();
  for (const server of servers) await server.close();
});

async function inPage(browser, address, work, ...rest) {
  const page = await browser.newPage();
  try {
    await page.goto(`${address}/blank`);
    return await page.evaluate(work, ...rest);
  } finally {
    await page.close();
  }
}

/** Adds a frame to a page and gives what it posts. */
const framed = async ({ attributes, html, use, root }) => {
  const found = new Promise((resolve) => addEventListener("message", ({ data }) => data?.frame && resolve(data.frame), { once: false }));
  const frame = document.createElement("iframe");
  for (const [name, value] of Object.entries(attributes)) frame.setAttribute(name, value);
  frame.srcdoc = `<!doctype html>${html}<script>${use}; use(${JSON.stringify(root)}).then((frame) => parent.postMessage({ frame }, "*"));<` + "/script>";
  document.body.append(frame);
  return found;
};

const told = (found, code, pattern = /./) => {
  assert.equal(found.name, "CraneError", JSON.stringify(found));
  assert.equal(found.code, code, found.message);
  assert.match(`${found.message} ${found.hint}`, pattern);
  assert.ok(found.hint?.length > 0, "there is no hint");
};

for (const name of ["Chromium", "Firefox"]) {
  const browser = () => browsers[name];

  test(`${name}: a frame of the page's own text works like the page`, async () => {
    const found = await inPage(browser(), closed, framed, { attributes: {}, html: "", use: USE, root: closed });
    assert.equal(found.ids?.length, 4, JSON.stringify(found));
    assert.equal(found.storage, "opfs");
  });

  test(`${name}: a frame without an origin works where the host allows it, and says what is missing else`, async () => {
    const attributes = { sandbox: "allow-scripts" };
    const found = await inPage(browser(), open, framed, { attributes, html: "", use: USE, root: open });
    assert.equal(found.ids?.length, 4, JSON.stringify(found));
    assert.equal(found.storage, "none");
  });

  test(`${name}: relative addresses are relative to the page's base`, async () => {
    const ids = await inPage(browser(), closed, async () => {
      const base = document.createElement("base");
      base.href = "/fixture/";
      document.head.append(base);
      const { Crane } = await import("/npm/dist/index.js");
      const crane = await Crane.create({ workerUrl: "../npm/dist/worker/main.js" });
      const names = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];
      const llm = await crane.load(Object.fromEntries(names.map((name) => [name, name])), { context: 64, store: false });
      const ids = [];
      for await (const id of llm.generate([5, 6, 7], { temperature: 0, max_tokens: 4, ignore_eos: true })) ids.push(id);
      crane.dispose();
      return ids;
    });
    assert.equal(ids.length, 4);
  });

  test(`${name}: a worker of the page has an engine; other workers have one or say what they lack`, async () => {
    const dedicated = await inPage(browser(), closed, () => new Promise((resolve, reject) => {
      const worker = new Worker("/scripts/dedicated.js", { type: "module" });
      worker.onmessage = ({ data }) => resolve(data);
      worker.onerror = ({ message }) => reject(new Error(message));
    }));
    assert.equal(dedicated.ids?.length, 4, JSON.stringify(dedicated));
    const shared = await inPage(browser(), closed, () => new Promise((resolve) => {
      const { port } = new SharedWorker("/scripts/shared.js", { type: "module" });
      port.onmessage = ({ data }) => resolve(data);
    }));
    if (shared.code) told(shared, "unsupported", /worker of its own/);
    else assert.equal(shared.ids?.length, 4, JSON.stringify(shared));
  });

  test(`${name}: builds of the wrong type run as well, on as many threads`, async () => {
    for (const type of ["application/octet-stream", "text/plain", undefined]) {
      const wrong = (path, response) => {
        if (!WASM.test(path)) return false;
        response.writeHead(200, type === undefined ? {} : { "content-type": type }).end(readFileSync(fileURLToPath(new URL(`../..${path}`, import.meta.url))));
        return true;
      };
      for (const headers of [{}, ISOLATION]) {
        const [usual, found] = [await host({ headers }), await host({ headers, answer: wrong })];
        const tier = async (root) => inPage(browser(), root, new Function("root", `${USE}; return use(root);`), root);
        const [one, other] = [await tier(usual), await tier(found)];
        assert.equal(other.ids?.length, 4, JSON.stringify(other));
        assert.equal(other.tier, one.tier);
      }
    }
  });

  test(`${name}: what is no build is called by what it is`, async () => {
    const page = await host({ answer: (path, response) => WASM.test(path) && (response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><p>Home"), true) });
    const html = await host({ answer: (path, response) => WASM.test(path) && (response.writeHead(200, { "content-type": "application/wasm" }).end("<!doctype html><p>Home"), true) });
    const short = await host({ answer: (path, response) => WASM.test(path) && (response.writeHead(200, { "content-type": "application/wasm" }).end(Buffer.from([0, 97, 115, 109, 1, 0, 0, 0, 1])), true) });
    const none = await host({ answer: (path, response) => WASM.test(path) && (response.writeHead(404).end(), true) });
    for (const [root, pattern] of [[page, /page \(text\/html\).*wasmUrl/], [html, /could not be compiled/], [short, /could not be compiled/], [none, /status 404/]]) {
      for (const options of [{}, { threads: 1 }]) {
        told(await inPage(browser(), root, new Function("root", `${USE}; return use(root, ${JSON.stringify(options)});`), root), "worker", pattern);
      }
    }
  });

  test(`${name}: a module that a server holds back is waited for until the signal`, async () => {
    for (const held of [WASM, /worker\/main\.js$/, /worker\/engine\.js$/]) {
      let asked;
      const waiting = new Promise((resolve) => (asked = resolve));
      const root = await host({ answer: (path) => held.test(path) && (asked(), true) });
      const page = await browser().newPage();
      try {
        await page.goto(`${root}/blank`);
        const found = page.evaluate(async () => {
          const { Crane } = await import("/npm/dist/index.js");
          const stop = new AbortController();
          globalThis.stop = () => stop.abort();
          return Crane.create({ signal: stop.signal }).then(() => "it started", ({ code }) => code);
        });
        await waiting;
        await page.evaluate(() => stop());
        assert.equal(await found, "aborted");
      } finally {
        await page.close();
      }
    }
  });

  test(`${name}: a policy that forbids WebAssembly or workers is named`, async () => {
    const policy = (value) => host({ headers: { "content-security-policy": value } });
    for (const [value, pattern] of [
      ["script-src 'self' 'unsafe-inline'", /wasm-unsafe-eval/],
      ["script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; worker-src 'none'", /worker-src/],
    ]) {
      const root = await policy(value);
      for (const options of [{}, { threads: 1 }]) {
        told(await inPage(browser(), root, new Function("root", `${USE}; return use(root, ${JSON.stringify(options)});`), root), "worker", pattern);
      }
    }
  });
}

test("Chromium: a service worker is told to use a page", async () => {
  const found = await inPage(browsers.Chromium, closed, async () => {
    await navigator.serviceWorker.register("/scripts/service.js", { type: "module", scope: "/" });
    const { active } = await navigator.serviceWorker.ready;
    const answer = new Promise((resolve) => navigator.serviceWorker.addEventListener("message", ({ data }) => resolve(data)));
    navigator.serviceWorker.startMessages();
    active.postMessage("go");
    const found = await answer;
    await Promise.all((await navigator.serviceWorker.getRegistrations()).map((registration) => registration.unregister()));
    return found;
  });
  told(found, "unsupported", /service worker.*page/);
});

test("Chromium: a frame without an origin whose host does not allow it says so", async () => {
  // Its script is a module of another origin, too: only a copy of the page's own text could begin.
  const found = await inPage(browsers.Chromium, open, framed, { attributes: { sandbox: "allow-scripts" }, html: "", use: USE.replace("Crane.create(options)", `Crane.create({ workerUrl: "${closed}/npm/dist/worker/main.js" })`), root: open });
  told(found, "worker", /CORS/);
});
