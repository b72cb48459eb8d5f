/** What a person expects of a chat page: shortcuts, appearance, links, the context in use, a voice for each answer, and one command that serves it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { MODELS } from "./serve.mjs";
import { lacking, lacksWeights, SMOLLM2 } from "./weights.mjs";

let host, address, browser;
before(async () => {
  host = spawn("node", [fileURLToPath(new URL("../server/pages.mjs", import.meta.url)), "--port", "5300"], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  for await (const bytes of host.stdout) {
    said += bytes;
    address = /Chat: +(\S+)/.exec(said)?.[1];
    if (address && /speech\.html/.test(said)) break;
  }
  browser = await launch(["--autoplay-policy=no-user-gesture-required"]);
});
after(async () => {
  await browser?.close();
  host?.kill();
});

async function open(path = "", options = { viewport: { width: 1280, height: 800 } }) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  await page.goto(address + path);
  await page.getByRole("button", { name: "Load" }).waitFor();
  return { context, page, faults };
}

const picture = async (page, name) => {
  const folder = process.env.CRANE_SCREENSHOTS;
  if (folder) await page.screenshot({ path: `${folder}/${name}.png` });
};

async function loadModel(page) {
  await page.getByRole("radio", { name: SMOLLM2 }).check();
  await page.getByRole("button", { name: /Load|Start/ }).click();
  const message = page.getByLabel("Message", { exact: true });
  await message.waitFor({ timeout: 60_000 });
  return message;
}

const answered = (page, index) => page.getByRole("log").locator(".assistant").nth(index).getByText("tokens/s").waitFor({ timeout: 60_000 });

test("the host's models come first, with size and speed, and run on threads", async (t) => {
  if (lacksWeights(t)) return;
  const { context, page, faults } = await open();
  const first = page.locator(".model").first();
  assert.match(await first.textContent(), /smollm2.*98 MB · fast/);
  assert.ok((await page.locator(".model").count()) >= 10);
  if (availableParallelism() > 1) assert.equal(await page.evaluate(() => crossOriginIsolated), true);
  for (const missing of ["models/none.gguf", "models/%ff", "models/..%2f..%2fetc%2fpasswd", "none"]) assert.equal((await page.request.get(address + missing)).status(), 404, missing);
  const part = await page.request.get(`${address}models/${SMOLLM2}`, { headers: { range: "bytes=98000000-" } });
  assert.equal(part.status(), 206);
  assert.deepEqual(faults, []);
  await context.close();
});

test("an answer says what it cost, the context in use grows, and is counted again", async (t) => {
  if (lacksWeights(t)) return;
  const { context, page, faults } = await open();
  const message = await loadModel(page);
  const used = async () => Number(/^([\d,]+) of 4,096 tokens of context used/.exec(await page.locator("#context-text").textContent())?.[1].replace(",", ""));
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Temperature").fill("0");
  await page.getByRole("button", { name: "Done" }).click();
  assert.equal(await used(), 0);
  await message.fill("What is the capital of France?");
  await message.press("Enter");
  await answered(page, 0);
  assert.match(await page.locator(".assistant .figures").textContent(), /^8 tokens, [\d.]+ tokens\/s, first token after \d+\.\d s$/);
  const one = await used();
  assert.ok(one > 20, `${one}`);
  await message.fill("And of Italy?");
  await message.press("Enter");
  await answered(page, 1);
  assert.ok((await used()) > one);
  // The key goes back to the last question, whose answer leaves the context.
  await message.press("ArrowUp");
  assert.equal(await message.inputValue(), "And of Italy?");
  await page.waitForFunction((one) => Math.abs(Number(/^\d+/.exec(document.querySelector("#context-text").textContent)) - one) < 10, one);
  assert.equal(await page.locator("#history-list li").count(), 1);
  await page.keyboard.press("Control+Shift+O");
  assert.equal(await page.locator(".message").count(), 0);
  assert.equal(await used(), 0);
  // What an answer cost is kept with it.
  await page.locator("#history-list .open").first().click();
  assert.equal(await page.locator(".assistant .figures").count(), 1);
  assert.deepEqual(faults, []);
  await context.close();
});

test("each answer is read aloud and stopped by its own button", async (t) => {
  if (lacksWeights(t) || (!existsSync(join(MODELS, "hibari", "hibari.onnx")) && lacking(t, "hibari"))) return;
  const { context, page, faults } = await open();
  const kept = [{ role: "user", content: "a" }, { role: "assistant", content: "The birch canoe slid on the smooth planks. ".repeat(20) }, { role: "user", content: "b" }, { role: "assistant", content: "The birch canoe slid." }];
  await page.evaluate((kept) => localStorage.setItem("crane:messages", JSON.stringify(kept)), kept);
  await page.reload();
  await loadModel(page);
  const buttons = page.locator(".assistant .foot button:last-child");
  await buttons.nth(0).click();
  assert.deepEqual(await buttons.allTextContents(), ["Stop reading", "Read aloud"]);
  // One answer is read at a time.
  await buttons.nth(1).click();
  assert.deepEqual(await buttons.allTextContents(), ["Read aloud", "Stop reading"]);
  await page.waitForFunction(() => [...document.querySelectorAll(".reading")].length === 0, undefined, { timeout: 60_000 });
  await buttons.nth(0).click();
  await buttons.nth(0).click();
  assert.deepEqual(await buttons.allTextContents(), ["Read aloud", "Read aloud"]);
  await buttons.nth(0).click();
  await page.keyboard.press("Escape");
  assert.deepEqual(await buttons.allTextContents(), ["Read aloud", "Read aloud"]);

  // An answer that is being written has the voice's button, too, which does not stop the answer.
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Read answers aloud").check();
  await page.getByLabel("Maximum tokens").fill("60");
  await page.getByRole("button", { name: "Done" }).click();
  const message = page.getByLabel("Message", { exact: true });
  await message.fill("Tell me about herons.");
  await message.press("Enter");
  await page.getByRole("button", { name: "Stop reading" }).click();
  await answered(page, 2);
  assert.equal(await page.getByText("Stopped.").count(), 0);
  assert.deepEqual(faults, []);
  await context.close();
});

test("the appearance is chosen, kept, and there before the page is painted", async () => {
  const { context, page } = await open("", { viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper();
  await page.keyboard.press("Control+,");
  await page.getByRole("radio", { name: "Dark" }).check();
  const dark = await paper();
  assert.notEqual(dark, light);
  for (const path of ["speech.html", ""]) {
    await page.goto(address + path, { waitUntil: "commit" });
    await page.waitForFunction(() => document.body !== null);
    assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  }
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("radio", { name: "Auto" }).check();
  assert.equal(await paper(), light);
  await context.close();
});

test("an open page takes on at once what is chosen in another one", async () => {
  const { context, page } = await open("", { viewport: { width: 1280, height: 800 }, colorScheme: "light" });
  const [chat, speech] = [await context.newPage(), await context.newPage()];
  await chat.goto(address);
  await speech.goto(`${address}speech.html`);
  await page.getByRole("button", { name: "Settings" }).click();
  for (const [name, theme] of [["Dark", "dark"], ["Light", "light"], ["Auto", undefined]]) {
    await page.getByRole("radio", { name }).check();
    for (const other of [chat, speech]) await other.waitForFunction((theme) => document.documentElement.dataset.theme === theme, theme);
    assert.ok(await chat.locator(`#theme input[value=${theme ?? "auto"}]`).isChecked());
  }
  await context.close();
});

test("texts and colours of code stand out from what is behind them, light and dark", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const { context, page } = await open("", { colorScheme });
    const low = await page.evaluate(() => {
      const probe = document.createElement("i");
      document.body.append(probe);
      const channels = (name) => {
        probe.className = "";
        probe.style.color = `var(${name})`;
        return getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map((value) => Number(value) / 255);
      };
      const luminance = (name) => {
        const [red, green, blue] = channels(name).map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
      };
      const contrast = (one, other) => {
        const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
      };
      const code = ["comment", "string", "number", "keyword", "type", "function", "mark"].map((kind) => [`--code-${kind}`, "--bubble"]);
      const texts = ["--ink", "--soft", "--accent", "--failure"].flatMap((text) => ["--paper", "--surface"].map((back) => [text, back]));
      const pairs = [...code, ...texts, ["--ink", "--bubble"], ["--soft", "--bubble"], ["--on-accent", "--accent"]];
      return pairs.map(([text, back]) => [text, back, contrast(text, back)]).filter(([, , ratio]) => !(ratio >= 4.5));
    });
    assert.deepEqual(low, [], colorScheme);
    await context.close();
  }
});

test("shortcuts are listed, and do what they say", async () => {
  const { context, page, faults } = await open();
  await page.keyboard.press("Control+/");
  const dialog = page.getByRole("dialog", { name: "Keyboard shortcuts" });
  await dialog.waitFor();
  assert.match(await dialog.textContent(), /New line.*Stop the answer.*New chat.*Search conversations/s);
  await picture(page, "12-shortcuts");
  await page.keyboard.press("Escape");
  await dialog.waitFor({ state: "hidden" });
  await page.keyboard.press("Control+B");
  await page.getByRole("navigation").waitFor({ state: "hidden" });
  await page.keyboard.press("Control+K");
  await page.getByRole("navigation").waitFor();
  assert.equal(await page.evaluate(() => document.activeElement?.id), "history-search");
  await page.reload();
  await page.getByRole("navigation").waitFor();
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByRole("button", { name: "Keyboard shortcuts" }).click();
  await dialog.waitFor();
  assert.deepEqual(faults, []);
  await context.close();
});

test("a link's model and settings are shown, used for this visit, and given up", async () => {
  const { context, page, faults } = await open("#model=org%2Fsome-name&temperature=0.3&system=Talk+like+a+pirate.&seed=x");
  await page.getByText("This link sets: model, system, temperature. System prompt: “Talk like a pirate.” Left out, because it is not valid: seed.").waitFor();
  assert.ok(await page.getByRole("radio", { name: "org/some-name" }).isChecked());
  assert.equal(await page.getByLabel("Temperature").inputValue(), "0.3");
  assert.equal(await page.evaluate(() => localStorage.getItem("crane:settings")), null);
  await page.getByRole("button", { name: "Use my own settings" }).click();
  assert.equal(await page.getByLabel("Temperature").inputValue(), "");
  assert.equal(new URL(page.url()).hash, "");
  assert.equal(await page.getByRole("radio", { name: "org/some-name" }).count(), 0);
  assert.deepEqual(faults, []);
  await context.close();
});
