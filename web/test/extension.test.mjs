/** The package in an extension: its service worker, its offscreen document, its pages, and its scripts in other pages. */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launchExtension } from "./browser.mjs";
import { launch as launchFirefox } from "./firefox.mjs";
import { serve } from "./serve.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const FIXTURE = join(ROOT, "crane-sdk/tests/fixtures/qwen2_tied");
const FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"];

/** What runs everywhere: loads the model whose files are at an address, and asks it; or says how that failed. */
const USE = `
  const FILES = ${JSON.stringify(FILES)};
  globalThis.use = async (files, options = {}) => {
    try {
      const { Crane } = globalThis.crane ?? await import(chrome.runtime.getURL("crane-wasm/dist/index.js"));
      const crane = await Crane.create(options);
      const llm = await crane.load(Object.fromEntries(FILES.map((name) => [name, new URL(name, files).href])), { context: 64 });
      const answer = await llm.chat("Hello", { temperature: 0, max_tokens: 4 });
      const { tier, storage } = crane.capabilities;
      crane.dispose();
      return { answer, tier: tier.name, storage: storage.kind };
    } catch (error) {
      return { name: error?.name, code: error?.code, message: String(error?.message ?? error), hint: error?.hint };
    }
  };`;

/** The example of the package, with a model of its own, and what the tests need besides. */
function made(folder, change = () => {}) {
  cpSync(join(ROOT, "npm/examples/extension"), folder, { recursive: true });
  for (const part of ["dist", "wasm"]) cpSync(join(ROOT, "npm", part), join(folder, "crane-wasm", part), { recursive: true });
  mkdirSync(join(folder, "model"));
  for (const name of FILES) cpSync(join(FIXTURE, name), join(folder, "model", name));
  writeFileSync(join(folder, "model.js"), `export const MODEL = ${JSON.stringify(Object.fromEntries(FILES.map((name) => [name, `model/${name}`])))};\n`);
  writeFileSync(join(folder, "use.js"), USE);
  writeFileSync(join(folder, "options.html"), '<!doctype html><title>Options</title><script src="use.js"></script>');
  writeFileSync(join(folder, "content.js"), 'use(chrome.runtime.getURL("model/")).then((found) => (document.title = JSON.stringify(found)));\n');
  // A service worker may not import later.
  const background = readFileSync(join(folder, "background.js"), "utf8");
  writeFileSync(join(folder, "background.js"), `import * as crane from "./crane-wasm/dist/index.js";\nglobalThis.crane = crane;\nimport "./use.js";\n${background}`);
  const manifest = JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8"));
  change(manifest);
  writeFileSync(join(folder, "manifest.json"), JSON.stringify(manifest));
  return folder;
}

const folders = mkdtempSync(join(tmpdir(), "crane-extension-"));
let usual, server;
before(async () => {
  server = await serve();
  usual = await launchExtension(made(join(folders, "usual"), (manifest) => {
    manifest.host_permissions = ["http://127.0.0.1/*"];
  }));
});
after(async () => {
  await usual?.close();
  await server?.close();
  rmSync(folders, { recursive: true });
});

/** Opens a page of an extension; faults of the page are the test's. */
async function visit({ context, address }, path, use) {
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  try {
    await page.goto(address + path);
    const found = await use(page);
    assert.deepEqual(faults, []);
    return found;
  } finally {
    await page.close();
  }
}

const used = (page, files, options) => page.evaluate(([files, options]) => use(new URL(files, location.href).href, options), [files, options]);

function told(found, code, pattern) {
  assert.equal(found.name, "CraneError", JSON.stringify(found));
  assert.equal(found.code, code, found.message);
  assert.match(`${found.message} ${found.hint}`, pattern);
}

test("the service worker is told to use an offscreen document or a page", async () => {
  const found = await usual.background.evaluate(() => use("https://localhost/"));
  told(found, "unsupported", /service worker.*offscreen document \(chrome\.offscreen, reason WORKERS\) or a page/);
});

test("the example: a popup asks the model in the offscreen document", async () => {
  await visit(usual, "/popup.html", async (page) => {
    for (const [question, answer] of [["Hello", /^9999/], ["Hello again", /^!!!/], ["Hello", /^9999/]]) {
      await page.getByLabel("Question").fill(question);
      await page.getByRole("button", { name: "Ask" }).click();
      await page.locator("output[data-done]").waitFor({ timeout: 60_000 });
      assert.match(await page.locator("output").textContent(), answer);
    }
    assert.equal(await page.evaluate(() => chrome.offscreen.hasDocument()), true);
  });
});

test("a page of the extension has an engine on all cores, and keeps what comes from a server", async () => {
  const packed = await visit(usual, "/options.html", (page) => used(page, "model/"));
  assert.equal(packed.tier, availableParallelism() > 1 ? "threads" : "relaxed-simd", JSON.stringify(packed));
  assert.equal(packed.answer, "9999");
  assert.equal(packed.storage, "opfs");
  const fetched = await visit(usual, "/options.html", (page) => used(page, `${server.address}/fixture/`));
  assert.equal(fetched.answer, packed.answer, JSON.stringify(fetched));
});

test("an extension whose policy forbids WebAssembly is told what to allow", async () => {
  const strict = await launchExtension(made(join(folders, "strict"), (manifest) => {
    manifest.content_security_policy = { extension_pages: "script-src 'self'; object-src 'self'" };
  }));
  try {
    told(await visit(strict, "/options.html", (page) => used(page, "model/")), "worker", /wasm-unsafe-eval/);
  } finally {
    await strict.close();
  }
});

test("a script of the extension in a page of the web", async () => {
  const scripted = await launchExtension(made(join(folders, "scripted"), (manifest) => {
    manifest.content_scripts = [{ matches: ["http://127.0.0.1/*"], js: ["use.js", "content.js"] }];
    manifest.web_accessible_resources = [{ resources: ["crane-wasm/*", "model/*"], matches: ["http://127.0.0.1/*"] }];
  }));
  const page = await scripted.context.newPage();
  try {
    await page.goto(`${server.address}/blank`);
    await page.waitForFunction(() => document.title !== "blank", undefined, { timeout: 60_000 });
    const found = JSON.parse(await page.title());
    assert.equal(found.answer, "9999", JSON.stringify(found));
  } finally {
    await page.close();
    await scripted.close();
  }
});

test("in Firefox, whose extensions have a page in the background, that page has an engine", async () => {
  let tell;
  const answer = new Promise((resolve) => (tell = resolve));
  const listener = await serve({
    answer: (path, response) => path.startsWith("/found/") && (tell(JSON.parse(path.slice("/found/".length))), response.writeHead(204).end(), true),
  });
  const folder = made(join(folders, "firefox"), (manifest) => {
    manifest.background = { scripts: ["background.js"], type: "module" };
    manifest.host_permissions = ["http://127.0.0.1/*"];
    manifest.browser_specific_settings = { gecko: { id: "extension@crane.test" } };
    delete manifest.permissions;
  });
  const report = `use(chrome.runtime.getURL("model/")).then((found) => fetch("${listener.address}/found/" + encodeURIComponent(JSON.stringify(found))));\n`;
  writeFileSync(join(folder, "background.js"), `import "./use.js";\n${report}`);
  writeFileSync(join(folder, "use.js"), `import * as crane from "./crane-wasm/dist/index.js";\nglobalThis.crane = crane;\n${USE}`);
  const browser = await launchFirefox();
  try {
    await browser.installExtension(folder);
    const found = await answer;
    assert.equal(found.answer, "9999", JSON.stringify(found));
    assert.equal(found.storage, "opfs");
  } finally {
    await browser.close();
    await listener.close();
  }
});
