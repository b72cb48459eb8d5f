/** The page, driven as a person would. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { serveHub } from "../../npm/test/hub_server.mjs";
import { launch } from "./browser.mjs";
import { MODELS, serve } from "./serve.mjs";
import { lacksWeights, references, SMOLLM2 } from "./weights.mjs";

let server, browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

/** Keeps a picture where `CRANE_SCREENSHOTS` says. */
async function picture(page, name) {
  const folder = process.env.CRANE_SCREENSHOTS;
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` });
}

/** A page of a profile, whose faults are collected. */
async function visit(context, search) {
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  await page.goto(`${server.address}/${search}`);
  return { page, faults };
}

const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
const answers = (page) => page.getByRole("log").locator(".assistant");
const texts = (page) => answers(page).locator(".text").allTextContents().then((all) => all.map((text) => text.trim()));
const finished = (page, index) => answers(page).nth(index).getByText("tokens/s").waitFor({ timeout: 60_000 });

test("load, ask, stop, edit, regenerate, come back without a network", async (t) => {
  if (lacksWeights(t)) return;
  const context = await browser.newContext({ viewport: { width: 1100, height: 800 } });
  const { page, faults } = await visit(context, `?model=/models/${SMOLLM2}`);
  await page.getByRole("radio", { name: SMOLLM2 }).waitFor();
  await picture(page, "1-choose");

  await page.getByRole("button", { name: "Load" }).click();
  await page.getByRole("button", { name: /Pause|Cancel/ }).waitFor();
  await picture(page, "2-loading");
  const message = page.getByLabel("Message", { exact: true });
  await message.waitFor({ timeout: 60_000 });
  assert.match(await page.getByRole("status").textContent(), /smollm2.*135M parameters/);

  await page.getByRole("button", { name: "Settings" }).click();
  await picture(page, "3-settings");
  await page.getByLabel("Temperature").fill("0");
  await page.getByRole("button", { name: "Done" }).click();

  const [{ messages }] = references();
  await message.fill(messages[0].content);
  await message.press("Enter");
  await finished(page, 0);
  assert.deepEqual(await texts(page), ["The capital of France is Paris."]);
  assert.equal(await message.inputValue(), "");

  await message.fill("Tell me a long story about a heron.");
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForFunction(() => (document.querySelectorAll(".assistant .text")[1]?.textContent?.length ?? 0) > 60, undefined, { timeout: 60_000 });
  await picture(page, "4-answering");
  await page.getByRole("button", { name: "Stop" }).click();
  await answers(page).nth(1).getByText("Stopped.").waitFor();
  await picture(page, "5-stopped");

  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 780 });
  await picture(page, "6-phone-dark");
  assert.equal(await overflow(page), 0, "the page is wider than a phone");

  await page.getByRole("button", { name: "Edit" }).nth(1).click();
  assert.match(await message.inputValue(), /heron/);
  assert.equal((await texts(page)).length, 1);
  await page.getByRole("button", { name: "Regenerate" }).click();
  await finished(page, 0);
  assert.deepEqual(await texts(page), ["The capital of France is Paris."]);
  assert.deepEqual(faults, []);
  await page.close();

  await context.setOffline(true);
  const again = await visit(context, "");
  await again.page.locator(".state", { hasText: "in this browser" }).waitFor();
  await picture(again.page, "7-come-back");
  await again.page.getByRole("button", { name: "Start" }).click();
  await again.page.getByLabel("Message", { exact: true }).waitFor({ timeout: 60_000 });
  assert.deepEqual(await texts(again.page), ["The capital of France is Paris."]);
  await again.page.getByRole("button", { name: "New chat" }).click();
  assert.equal(await again.page.locator(".message").count(), 0);
  await again.page.getByLabel("Message", { exact: true }).fill(messages[0].content);
  await again.page.getByRole("button", { name: "Send" }).click();
  await finished(again.page, 0);
  assert.deepEqual(await texts(again.page), ["The capital of France is Paris."]);
  await context.close();
});

test("a model whose context is shorter than the page's is loaded with its own", async (t) => {
  if (lacksWeights(t)) return;
  const bytes = Buffer.from(readFileSync(join(MODELS, SMOLLM2)));
  const key = "llama.context_length";
  // The key's text is followed by its type and its value, four bytes each.
  bytes.writeUInt32LE(512, bytes.indexOf(key) + key.length + 4);
  const short = await serve({ answer: (path, response) => path === "/short.gguf" && (response.writeHead(200, { "content-length": bytes.length }).end(bytes), true) });
  const page = await browser.newPage();
  try {
    await page.goto(`${short.address}/?model=/short.gguf`);
    await page.getByRole("button", { name: "Load" }).click();
    await page.locator("#context-text", { hasText: "of 512 tokens" }).waitFor({ timeout: 60_000 });
  } finally {
    await page.close();
    await short.close();
  }
});

test("a download is paused, gone on with after a reload, and removed", async (t) => {
  if (lacksWeights(t)) return;
  const hub = await serveHub();
  const bytes = readFileSync(join(MODELS, SMOLLM2));
  hub.repos["org/smol"] = { commit: "1", files: { "m-q4_1.gguf": bytes } };
  hub.faults["m-q4_1.gguf"] = [`stall:${bytes.length / 2}`];
  const context = await browser.newContext({ viewport: { width: 390, height: 780 } });
  try {
    const { page, faults } = await visit(context, `?model=org/smol&hub=${hub.address}`);
    await page.getByRole("button", { name: "Load" }).click();
    await page.getByText(/Downloading: 4\d MB of \d\d MB/).waitFor();
    await picture(page, "8-phone-loading");
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText("paused").waitFor();
    await picture(page, "9-phone-paused");
    await page.reload();
    await page.getByText("paused").waitFor();
    await page.getByRole("button", { name: "Resume" }).click();
    await page.getByLabel("Message", { exact: true }).waitFor({ timeout: 60_000 });
    assert.match(hub.log.at(-1).range, /^bytes=[1-9]\d+-$/);
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("button", { name: "Change model" }).click();
    await page.getByRole("button", { name: "Remove org/smol from this browser" }).click();
    await page.getByRole("button", { name: "Load" }).waitFor();
    assert.equal(await page.locator(".state", { hasText: "in this browser" }).count(), 0);
    assert.equal(await overflow(page), 0);
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
    await hub.close();
  }
});

test("an answer's Markdown is shown, and cannot run or fetch anything", async (t) => {
  if (lacksWeights(t)) return;
  const context = await browser.newContext();
  const evil = '<img src="/x" onerror="alert(1)"><script>alert(1)</script><style>*{display:none}</style>[a](javascript:alert(1)) [b](https://host/)';
  const kept = [
    { role: "user", content: evil },
    { role: "assistant", content: `# Head\n\n**bold** \`code\`\n\n\`\`\`js\nlet a = 1;\n\`\`\`\n\n| x | y |\n| - | - |\n| 1 | 2 |\n\n${evil}` },
  ];
  await context.addInitScript((kept) => localStorage.setItem("crane:messages", kept), JSON.stringify(kept));
  const { page, faults } = await visit(context, `?model=/models/${SMOLLM2}`);
  await page.getByRole("button", { name: "Load" }).click();
  await answers(page).waitFor({ timeout: 60_000 });
  await picture(page, "11-markdown");
  assert.equal(await page.locator(".user .text").textContent(), evil);
  const found = await answers(page).locator(".text").evaluate((text) => ({
    tags: [...new Set([...text.querySelectorAll("*")].map(({ tagName }) => tagName.toLowerCase()))].sort(),
    links: [...text.querySelectorAll("a")].map((link) => link.getAttribute("href")),
  }));
  assert.deepEqual(found.tags, ["a", "button", "code", "div", "h1", "p", "pre", "span", "strong", "table", "tbody", "td", "th", "thead", "tr"]);
  assert.deepEqual(found.links, [null, "https://host/"]);
  assert.deepEqual(faults, []);
  await context.close();
});

test("an engine that dies is told, and the model is there again", async (t) => {
  if (lacksWeights(t)) return;
  const context = await browser.newContext();
  try {
    // The page's own workers, so that the test can end one as a browser does that has no memory left.
    await context.addInitScript(() => {
      globalThis.workers = [];
      globalThis.Worker = class extends Worker {
        constructor(...all) {
          super(...all);
          workers.push(this);
        }
      };
    });
    const { page, faults } = await visit(context, `?model=/models/${SMOLLM2}`);
    await page.getByRole("button", { name: "Load" }).click();
    const message = page.getByLabel("Message", { exact: true });
    await message.waitFor({ timeout: 60_000 });
    await message.fill("Tell me a long story about a heron.");
    await message.press("Enter");
    await page.waitForFunction(() => (document.querySelector(".assistant .text")?.textContent?.length ?? 0) > 20, undefined, { timeout: 60_000 });
    await page.evaluate(() => workers.forEach((worker) => worker.dispatchEvent(new ErrorEvent("error", { message: "out of memory" }))));
    const alert = page.getByRole("alert");
    await alert.waitFor();
    assert.match(await alert.textContent(), /the worker failed: out of memory/);
    await page.getByRole("button", { name: "Start" }).click();
    await message.waitFor({ timeout: 60_000 });
    await page.getByRole("button", { name: "New chat" }).click();
    const [{ messages }] = references();
    await message.fill(messages[0].content);
    await message.press("Enter");
    await finished(page, 0);
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
  }
});

test("a model that cannot be stored is loaded, and the page says so", async (t) => {
  if (lacksWeights(t)) return;
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const devtools = await context.newCDPSession(page);
    await devtools.send("Storage.overrideQuotaForOrigin", { origin: server.address, quotaSize: 5_000_000 });
    await page.goto(`${server.address}/?model=/models/${SMOLLM2}`);
    await page.getByRole("button", { name: "Load" }).click();
    await page.getByLabel("Message", { exact: true }).waitFor({ timeout: 60_000 });
    assert.match(await page.locator("#load-warning").textContent(), /is loaded without being stored: .*there is no room/);
    assert.ok(await page.locator("#load-warning").isVisible());
  } finally {
    await context.close();
  }
});

test("a missing model is told, and another address can be given", async () => {
  const page = await browser.newPage({ viewport: { width: 390, height: 780 } });
  await page.goto(server.address);
  await page.getByRole("radio", { name: "Another model…" }).check();
  await page.getByLabel("Hugging Face model or URL of a GGUF file").fill(`${server.address}/models/none.gguf`);
  await page.getByRole("button", { name: "Load" }).click();
  const alert = page.getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.textContent(), /none\.gguf: status 404/);
  assert.ok(await page.getByRole("button", { name: "Load" }).isEnabled());
  await picture(page, "10-missing");
  await page.close();
});

test("every control has a name", async () => {
  const page = await browser.newPage();
  await page.goto(server.address);
  await page.evaluate(() => document.querySelectorAll("[hidden]").forEach((part) => (part.hidden = false)));
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll("input, select, textarea, button, progress")]
      .filter((control) => !control.labels?.length && !control.textContent.trim() && !control.getAttribute("aria-label"))
      .map(({ id }) => id),
  );
  assert.deepEqual(nameless, []);
  await page.close();
});
