/** The page, driven as a person would. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { serve } from "./serve.mjs";
import { lacksWeights, references } from "./weights.mjs";

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

test("load, ask, stop, start over", async (t) => {
  if (lacksWeights(t)) return;
  const page = await browser.newPage({ viewport: { width: 1100, height: 800 } });
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  await page.goto(server.address);
  await picture(page, "1-choose");

  await page.getByLabel("Model", { exact: true }).selectOption({ index: 0 });
  await page.getByRole("button", { name: "Load" }).click();
  await page.getByRole("button", { name: "Cancel" }).waitFor();
  await picture(page, "2-loading");
  const message = page.getByLabel("Message", { exact: true });
  await message.waitFor({ timeout: 120_000 });
  assert.match(await page.getByRole("status").textContent(), /smollm2.*135 million weights/);

  await page.getByText("Settings").click();
  await page.getByLabel("Temperature").fill("0");
  await picture(page, "3-settings");
  await page.getByText("Settings").click();

  const [{ messages }] = references();
  await message.fill(messages[0].content);
  await message.press("Enter");
  const answers = page.getByRole("log").locator(".assistant");
  await answers.nth(0).getByText("a second").waitFor({ timeout: 120_000 });
  assert.equal(await answers.nth(0).locator(".text").textContent(), "The capital of France is Paris.");
  assert.equal(await message.inputValue(), "");

  await message.fill("Tell me a long story about a heron.");
  await page.getByRole("button", { name: "Send" }).click();
  await page.waitForFunction(() => (document.querySelectorAll(".assistant .text")[1]?.textContent?.length ?? 0) > 40, undefined, { timeout: 120_000 });
  await picture(page, "4-answering");
  await page.getByRole("button", { name: "Stop" }).click();
  await answers.nth(1).getByText("Stopped.").waitFor();
  await picture(page, "5-stopped");

  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 390, height: 780 });
  await picture(page, "6-phone-dark");
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.equal(overflow, 0, "the page is wider than a phone");

  await page.getByRole("button", { name: "New chat" }).click();
  assert.equal(await page.locator(".message").count(), 0);
  await message.fill(messages[0].content);
  await page.getByRole("button", { name: "Send" }).click();
  await answers.nth(0).getByText("a second").waitFor({ timeout: 120_000 });
  assert.equal(await answers.nth(0).locator(".text").textContent(), "The capital of France is Paris.");
  assert.deepEqual(faults, []);
  await page.close();
});

test("a missing model is told, and another address can be given", async () => {
  const page = await browser.newPage({ viewport: { width: 390, height: 780 } });
  await page.goto(server.address);
  await page.getByLabel("Model", { exact: true }).selectOption("From an address…");
  await page.getByLabel("Address of a GGUF file").fill(`${server.address}/models/none.gguf`);
  await page.getByRole("button", { name: "Load" }).click();
  const alert = page.getByRole("alert");
  await alert.waitFor();
  assert.match(await alert.textContent(), /none\.gguf: status 404/);
  assert.ok(await page.getByRole("button", { name: "Load" }).isEnabled());
  await picture(page, "7-missing");
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
