/** The list of conversations: kept, found, renamed, deleted, saved as files, in several tabs, and without a storage. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

let server, browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await server?.close();
});

const talk = (question, answer) => [
  { role: "user", content: question },
  { role: "assistant", content: answer },
];

const conversation = (id, title, updated, messages) => ({ id, title, named: false, created: updated, updated, model: "m.gguf", messages });

const SEEDS = [
  conversation("a1", "Rivers of France", 1000, talk("Rivers of France", "The Loire is **long**.\n\n```python\nprint('Loire')")),
  conversation("b2", "How to boil an egg", 2000, talk("How to boil an egg", "Ten minutes, in water.")),
  conversation("c3", "<img src=x onerror=alert(1)>", 3000, talk("<img src=x onerror=alert(1)>", "No.")),
  { id: "broken", title: 7 },
];

/** A page whose browser has these conversations; its faults are collected. */
async function open(context, { script, seeds = SEEDS } = {}) {
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(String(error)));
  page.on("console", (message) => message.type() === "error" && faults.push(message.text()));
  if (seeds) {
    await page.goto(`${server.address}/blank`);
    await page.evaluate(
      (seeds) =>
        new Promise((resolve, reject) => {
          const opening = indexedDB.open("crane", 1);
          opening.onupgradeneeded = () => opening.result.createObjectStore("conversations", { keyPath: "id" });
          opening.onerror = () => reject(opening.error);
          opening.onsuccess = () => {
            const transaction = opening.result.transaction("conversations", "readwrite");
            for (const seed of seeds) transaction.objectStore("conversations").put(seed);
            transaction.oncomplete = () => (opening.result.close(), resolve());
          };
        }),
      seeds,
    );
  }
  if (script) await page.addInitScript(script);
  await page.goto(server.address);
  await page.getByRole("button", { name: "Load" }).waitFor();
  return { page, faults };
}

const list = (page) => page.getByRole("navigation", { name: "Conversations" });
const titles = (page) => list(page).locator("li .title").allTextContents();
const entries = (page, count) => page.waitForFunction((count) => document.querySelectorAll("#history-list li").length === count, count);

/** A test in a profile of its own. */
function inProfile(name, body, options = { viewport: { width: 1280, height: 800 } }) {
  test(name, async () => {
    const context = await browser.newContext(options);
    try {
      await body(context);
    } finally {
      await context.close();
    }
  });
}

inProfile("conversations are found by all words of what was said, and read without a model", async (context) => {
  const { page, faults } = await open(context);
  await entries(page, 3);
  assert.deepEqual(await titles(page), ["<img src=x onerror=alert(1)>", "How to boil an egg", "Rivers of France"]);
  const search = page.getByLabel("Search conversations");
  for (const [query, found] of [["LOIRE", ["Rivers of France"]], ["water egg", ["How to boil an egg"]], ["egg loire", []], ["", SEEDS.slice(0, 3).map(({ title }) => title).reverse()]]) {
    await search.fill(query);
    assert.deepEqual(await titles(page), found, query);
  }
  await search.fill("zebra");
  await page.getByText("No conversation has these words.").waitFor();
  await search.fill("");
  await list(page).getByRole("button", { name: "Rivers of France", exact: false }).first().click();
  const answer = page.getByRole("log").locator(".assistant .text");
  await answer.getByText("long").waitFor();
  assert.equal(await list(page).locator("[aria-current] .title").textContent(), "Rivers of France");
  await page.reload();
  await entries(page, 3);
  assert.equal(await list(page).locator("[aria-current] .title").textContent(), "Rivers of France");
  assert.deepEqual(faults, []);
});

inProfile("a conversation is renamed, deleted, brought back, and saved as JSON and Markdown", async (context) => {
  const { page, faults } = await open(context);
  const actions = (title) => list(page).getByRole("button", { name: `Actions for ${title}` });
  await actions("Rivers of France").click();
  await list(page).getByRole("button", { name: "Rename" }).click();
  await page.getByLabel("Title").fill("  Water\n ways ");
  await page.getByLabel("Title").press("Enter");
  await actions("Water ways").waitFor();
  await actions("Water ways").click();
  await list(page).getByRole("button", { name: "Rename" }).click();
  await page.getByLabel("Title").fill("something else");
  await page.getByLabel("Title").press("Escape");
  await actions("Water ways").waitFor();

  await actions("Water ways").click();
  const saved = async (name) => {
    const [download] = await Promise.all([page.waitForEvent("download"), list(page).getByRole("button", { name }).click()]);
    return [download.suggestedFilename(), readFileSync(await download.path(), "utf8")];
  };
  const [jsonName, json] = await saved("Export JSON");
  assert.equal(jsonName, "Water-ways.json");
  assert.deepEqual(JSON.parse(json), SEEDS[0].messages);
  const [markdownName, markdown] = await saved("Export Markdown");
  assert.equal(markdownName, "Water-ways.md");
  // Code that the answer did not end is ended.
  assert.match(markdown, /^# Water ways\n\n1970-01-01, m\.gguf\n\n## You\n\nRivers of France\n\n## Crane\n\nThe Loire is \*\*long\*\*\.\n\n```python\nprint\('Loire'\)\n```\n$/);

  await list(page).getByRole("button", { name: "Delete" }).click();
  await entries(page, 2);
  await page.getByText("Deleted “Water ways”.").waitFor();
  await page.getByRole("button", { name: "Undo" }).click();
  await entries(page, 3);
  await page.reload();
  await entries(page, 3);
  assert.equal((await titles(page))[0], "Water ways");
  await actions("Water ways").click();
  await list(page).getByRole("button", { name: "Delete" }).click();
  await entries(page, 2);
  await page.reload();
  await entries(page, 2);
  assert.deepEqual(faults, []);
});

inProfile("two tabs see each other's changes", async (context) => {
  const one = await open(context);
  const two = await open(context, { seeds: null });
  await entries(two.page, 3);
  await list(one.page).getByRole("button", { name: "Actions for How to boil an egg" }).click();
  await list(one.page).getByRole("button", { name: "Delete" }).click();
  await entries(two.page, 2);
});

inProfile("the conversation of an earlier version of the page is the first of the list", async (context) => {
  await context.addInitScript((kept) => sessionStorage.seeded || (localStorage.setItem("crane:messages", kept), (sessionStorage.seeded = "1")), JSON.stringify(talk("From before", "Yes.")));
  const { page, faults } = await open(context, { seeds: null });
  await entries(page, 1);
  assert.deepEqual(await titles(page), ["From before"]);
  await page.reload();
  await entries(page, 1);
  assert.equal(await page.evaluate(() => localStorage.getItem("crane:messages")), null);
  assert.deepEqual(faults, []);
});

for (const [what, script, told] of [
  ["no database", () => Object.defineProperty(globalThis, "indexedDB", { value: undefined }), /does not store conversations/],
  ["a database that is refused", () => (IDBFactory.prototype.open = () => { throw new DOMException("no", "SecurityError"); }), /does not store conversations/],
  ["a full storage", () => (IDBObjectStore.prototype.put = () => { throw new DOMException("full", "QuotaExceededError"); }), /storage is full/],
  ["no local storage", () => Object.defineProperty(globalThis, "localStorage", { get() { throw new DOMException("no", "SecurityError"); } }), undefined],
]) {
  inProfile(`with ${what} the page works, and says what is not kept`, async (context) => {
    const local = what !== "no local storage";
    if (local) await context.addInitScript((kept) => localStorage.setItem("crane:messages", kept), JSON.stringify(talk("Held in memory", "Yes.")));
    const { page, faults } = await open(context, { script, seeds: local ? null : SEEDS });
    await entries(page, local ? 1 : 3);
    if (told) assert.match(await page.locator("#history-trouble").textContent(), told);
    else assert.equal(await page.locator("#history-trouble").isVisible(), false);
    const more = list(page).getByRole("button", { name: /Actions for (Held|How)/ });
    await more.click();
    await list(page).getByRole("button", { name: "Rename" }).click();
    await page.getByLabel("Title").fill("Another title");
    await page.getByLabel("Title").press("Enter");
    await list(page).getByRole("button", { name: "Actions for Another title" }).waitFor();
    assert.deepEqual(faults, []);
  });
}

inProfile(
  "on a phone the list lies over the chat, holds the keyboard and closes",
  async (context) => {
    const { page } = await open(context);
    assert.equal(await list(page).isVisible(), false);
    const overflow = () => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    // The buttons of the header stand in one line.
    const tops = await page.locator("header > .icon").evaluateAll((buttons) => [...new Set(buttons.map((button) => Math.round(button.getBoundingClientRect().top)))]);
    assert.equal(tops.length, 1);
    await page.getByRole("button", { name: "Conversations" }).click();
    await entries(page, 3);
    assert.equal(await overflow(), 0);
    assert.equal(await page.locator("main").getAttribute("inert"), "");
    await page.keyboard.press("Escape");
    assert.equal(await list(page).isVisible(), false);
    assert.equal(await page.evaluate(() => document.activeElement?.id), "toggle-history");
    await page.getByRole("button", { name: "Conversations" }).click();
    await list(page).getByRole("button", { name: "How to boil an egg", exact: false }).first().click();
    assert.equal(await list(page).isVisible(), false);
    await page.getByRole("log").getByText("Ten minutes").waitFor();
    assert.equal(await page.locator("main").getAttribute("inert"), null);
  },
  { viewport: { width: 390, height: 844 } },
);

inProfile(
  "on a small phone words of a wide table stay whole, and what is needed is in sight",
  async (context) => {
    const table = "| Algorithm | Average | Worst | Memory | Notes |\n|---|:-:|--:|---|---|\n| Quicksort | n log n | n² | log n | in place |";
    const { page } = await open(context, { seeds: [conversation("t", "Sorting", 1000, talk("Sorting", `# Of **two** words\n\n${table}\n\n- [x] done`))] });
    // The button that loads a model, without scrolling; the header's buttons, in one line.
    assert.ok((await page.getByRole("button", { name: "Load" }).boundingBox()).y < 660);
    await page.setViewportSize({ width: 320, height: 568 });
    const tops = await page.locator("header > .icon").evaluateAll((buttons) => [...new Set(buttons.map((button) => Math.round(button.getBoundingClientRect().top)))]);
    assert.equal(tops.length, 1);
    await page.getByRole("button", { name: "Conversations" }).click();
    await list(page).getByRole("button", { name: "Sorting", exact: false }).first().click();
    await page.getByRole("log").getByText("Quicksort").waitFor();
    const found = await page.evaluate(() => {
      const rows = (text) => {
        const range = document.createRange();
        range.selectNodeContents([...document.querySelectorAll("th, td")].find(({ textContent }) => textContent === text));
        return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size;
      };
      const page = document.documentElement;
      return { header: rows("Algorithm"), cell: rows("Quicksort"), wide: page.scrollWidth - page.clientWidth, title: document.querySelector(".text h1").innerText };
    });
    assert.deepEqual(found, { header: 1, cell: 1, wide: 0, title: "Of two words" });
  },
  { viewport: { width: 390, height: 664 } },
);
