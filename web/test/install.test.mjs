/** The packed package in projects of its own, outside the repository: pasted, bundled, from another origin, in Node. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "vite";
import webpack from "webpack";
import { launch } from "./browser.mjs";
import { ISOLATION, MODELS, serve } from "./serve.mjs";
import { lacksWeights, SMOLLM2 } from "./weights.mjs";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const MODEL = `/models/${SMOLLM2}`;
const QUESTION = "What is the capital of France?";
const ANSWER = "The capital of France is Paris.";

/** What a page may do under a strict policy: no inline script, no `eval`, WebAssembly. */
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'; style-src 'self'; img-src data:";

let project, browser;
before(async () => {
  project = mkdtempSync(join(tmpdir(), "crane-project-"));
  const npm = (...words) => execFileSync("npm", words, { cwd: project, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] });
  const [{ filename }] = JSON.parse(npm("pack", "--json", join(ROOT, "npm")));
  writeFileSync(join(project, "package.json"), JSON.stringify({ name: "project", private: true, type: "module" }));
  npm("install", "--offline", "--no-audit", "--no-fund", `./${filename}`);
  for (const name of ["vanilla", "node"]) cpSync(join(ROOT, "npm/examples", name), project, { recursive: true });
  for (const name of ["react", "react-dom", "scheduler"]) symlinkSync(join(ROOT, "web/node_modules", name), join(project, "node_modules", name));
  browser = await launch();
});
after(async () => {
  await browser?.close();
  if (project) rmSync(project, { recursive: true });
});

/** README's example, as it stands there. */
function pasted() {
  const [, code] = /^## In a browser\n+```js\n(.*?)```/ms.exec(readFileSync(join(ROOT, "README.md"), "utf8"));
  assert.ok(code.trim().split("\n").length <= 12, "README's example has grown");
  return code;
}

/** Opens a page of a server; faults of the page are the test's. */
async function visit(root, { headers, path = "/" } = {}, use) {
  const server = await serve({ root, ...(headers ? { headers } : {}) });
  const page = await browser.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  try {
    await page.goto(server.address + path);
    await use(page, server).catch((error) => {
      throw new Error(`${error.message}\nin the page: ${faults.join("\n")}`, { cause: error });
    });
    assert.deepEqual(faults, []);
  } finally {
    await page.close();
    await server.close();
  }
}

/** README's example, which then says in the page's title which build ran. */
const titled = () => `${pasted()}\ndocument.title = crane.capabilities.tier.name;\n`;

/** It answers what its model answers, something about the sky: alone, and on all cores, which depends on whether the page may share memory. */
async function answersInBody(root, headers = {}) {
  for (const [isolation, tier] of [[{}, "shards"], [ISOLATION, "threads"]].map(([isolation, tier]) => [isolation, availableParallelism() > 1 ? tier : "relaxed-simd"])) {
    await visit(root, { headers: { ...headers, ...isolation } }, async (page) => {
      await page.waitForFunction(() => document.body.textContent.length > 60, undefined, { timeout: 60_000 });
      await page.waitForFunction((tier) => document.title === tier, tier, { timeout: 60_000 });
    });
  }
}

/** A folder with a page that runs one script. */
function pageOf(name, script) {
  const folder = join(project, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, "index.html"), `<!doctype html><title>${name}</title><link rel="icon" href="data:,"><body></body><script type="module" src="./main.js"></script>`);
  writeFileSync(join(folder, "main.js"), script);
  return folder;
}

test("README's lines, built with Vite", async (t) => {
  if (lacksWeights(t)) return;
  const root = pageOf("with-vite", titled());
  await build({ root, configFile: false, logLevel: "error", base: "./", build: { target: "es2022" }, worker: { format: "es" } });
  // Nor may a script that the package loads later, as the voice does, be written into an address, however small it is.
  for (const name of readdirSync(join(root, "dist/assets"))) {
    if (name.endsWith(".js")) assert.doesNotMatch(readFileSync(join(root, "dist/assets", name), "utf8"), /data:(text|application)\/javascript/, name);
  }
  await answersInBody(join(root, "dist"), { "content-security-policy": POLICY });
});

test("README's lines, built with webpack", async (t) => {
  if (lacksWeights(t)) return;
  const root = pageOf("with-webpack", titled());
  const output = { path: join(root, "out"), filename: "main.js", publicPath: "auto" };
  const stats = await new Promise((resolve, reject) => {
    webpack({ mode: "production", context: root, entry: "./main.js", output, performance: { hints: false } }, (error, stats) => (error ? reject(error) : resolve(stats)));
  });
  assert.deepEqual(stats.toJson({ all: false, errors: true, warnings: true }), { errors: [], warnings: [] });
  cpSync(join(root, "index.html"), join(root, "out/index.html"));
  await answersInBody(join(root, "out"), { "content-security-policy": POLICY });
});

test("without a bundler, under a policy that forbids eval", async (t) => {
  if (lacksWeights(t)) return;
  await visit(project, { headers: { "content-security-policy": POLICY }, path: `/?model=${MODEL}` }, async (page) => {
    await page.getByText("Ready.").waitFor({ timeout: 60_000 });
    await page.getByRole("button", { name: "Ask" }).click();
    await page.locator("output[data-done]").waitFor({ timeout: 60_000 });
    assert.equal(await page.locator("output").textContent(), ANSWER);
  });
});

test("from another origin, as a CDN serves it", async (t) => {
  if (lacksWeights(t)) return;
  const cdn = await serve({ root: join(project, "node_modules"), headers: { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" } });
  try {
    const script = titled().replace('"crane-wasm"', JSON.stringify(`${cdn.address}/crane-wasm/dist/index.js`));
    await answersInBody(pageOf("from-cdn", script));
  } finally {
    await cdn.close();
  }
});

test("the example with React", async (t) => {
  if (lacksWeights(t)) return;
  const root = join(project, "with-react");
  cpSync(join(ROOT, "npm/examples/react"), root, { recursive: true });
  await build({ root, configFile: false, logLevel: "error", base: "./", build: { target: "es2022" }, worker: { format: "es" } });
  await visit(join(root, "dist"), { path: `/?model=${MODEL}` }, async (page) => {
    await page.getByText("Ready.").waitFor({ timeout: 60_000 });
    await page.getByRole("button", { name: "Ask" }).click();
    await page.getByText("Answered.").waitFor({ timeout: 60_000 });
    assert.equal(await page.locator("li.assistant").textContent(), ANSWER);
  });
});

test("the example with Node", (t) => {
  if (lacksWeights(t)) return;
  const model = pathToFileURL(join(MODELS, SMOLLM2)).href;
  const output = execFileSync("node", ["chat.mjs", model, QUESTION], { cwd: project, encoding: "utf8" });
  assert.equal(output, `${ANSWER}\n`);
});
