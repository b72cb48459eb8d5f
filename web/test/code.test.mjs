/** Code in answers: its language, its colours, its copy button; a stranger's text stays text, in time. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { launch } from "./browser.mjs";
import { serve } from "./serve.mjs";

const SOURCE = fileURLToPath(new URL("../src", import.meta.url));

let folder, server, browser, page;
before(async () => {
  folder = mkdtempSync(join(tmpdir(), "crane-code-"));
  writeFileSync(
    join(folder, "main.js"),
    `import { renderMarkdown } from ${JSON.stringify(`${SOURCE}/markdown.ts`)};
import { completeCode } from ${JSON.stringify(`${SOURCE}/code_block.ts`)};
import { highlight } from ${JSON.stringify(`${SOURCE}/highlight.ts`)};
import { toMarkdown } from ${JSON.stringify(`${SOURCE}/transcript.ts`)};
import { readLink, makeLink } from ${JSON.stringify(`${SOURCE}/shared_link.ts`)};
import { sayable } from ${JSON.stringify(`${SOURCE}/sayable.ts`)};
Object.assign(globalThis, { renderMarkdown, completeCode, highlight, toMarkdown, readLink, makeLink, sayable });\n`,
  );
  writeFileSync(join(folder, "index.html"), '<!doctype html><title>code</title><link rel=icon href=data:,><body></body><script type="module" src="./main.js"></script>');
  await build({ root: folder, configFile: false, logLevel: "error", base: "./", build: { target: "es2022", modulePreload: { polyfill: false } } });
  server = await serve({ root: join(folder, "dist") });
  browser = await launch();
  const context = await browser.newContext({ permissions: ["clipboard-read", "clipboard-write"] });
  page = await context.newPage();
  await page.goto(server.address);
  await page.waitForFunction(() => typeof completeCode === "function");
});
after(async () => {
  await browser?.close();
  await server?.close();
  if (folder) rmSync(folder, { recursive: true });
});

/** The coloured parts of a text as `kind:text`, and whether the text is still the same. */
const colours = (text, language) =>
  page.evaluate(
    ([text, language]) => {
      const code = document.createElement("code");
      code.textContent = text;
      highlight(code, text, language);
      const parts = [...code.querySelectorAll("span")].map((span) => `${span.className.slice(5)}:${span.textContent}`);
      return { parts, same: code.textContent === text, elements: code.querySelectorAll(":not(span)").length };
    },
    [text, language],
  );

for (const [language, text, wanted] of [
  ["js", "// a\nconst a = f('b\\'c') + 1.5;", ["comment:// a", "keyword:const", "function:f", "string:'b\\'c'", "number:1.5"]],
  ["TypeScript", "let t: Map = `a\n${b}`;", ["keyword:let", "type:Map", "string:`a\n${b}`"]],
  ["python", '@a\ndef f(x):\n  """doc\n  """\n  return None # c', ["mark:@a", "keyword:def", "function:f", 'string:"""doc\n  """', "keyword:return", "constant:None", "comment:# c"]],
  ["rust", "fn f<'a>(c: &'a str) { 'x'; \"y\" }", ["keyword:fn", "keyword:str", "string:'x'", 'string:"y"']],
  ["c++", "#include <a>\nint x = 0x1F; /* b", ["mark:#include", "keyword:int", "number:0x1F", "comment:/* b"]],
  ["bash", "echo a#b \"$x\" $HOME # c", ["keyword:echo", 'string:"$x"', "mark:$HOME", "comment:# c"]],
  ["sql", "SELECT 'a' FROM b -- c", ["keyword:SELECT", "string:'a'", "keyword:FROM", "comment:-- c"]],
  ["json", '{"a": [1, "b", true]}', ['key:"a"', "number:1", 'string:"b"', "constant:true"]],
  ["yaml", "a-b: true # c", ["key:a-b", "constant:true", "comment:# c"]],
  ["html", '<!-- c --><a href="x">t</a>', ["comment:<!-- c -->", "keyword:<a", "key:href", 'string:"x"', "keyword:</a"]],
  ["css", ".a { color: #fff; }", ["mark:.a", "key:color", "mark:#fff"]],
  ["diff", "-a\n+b\n c", ["removed:-a", "added:+b"]],
  ["no-such-language", "let a = 1", []],
]) {
  test(`the parts of ${language}`, async () => {
    const { parts, same } = await colours(text, language);
    assert.ok(same);
    assert.deepEqual(parts, wanted);
  });
}

test("any text keeps its letters, makes spans alone, and takes time in proportion", async () => {
  const units = ['"', "'", "`", "/*", "//", "#", "<", "<!--", "<a ", "a(", "a:", "\\", '"""', "'''", "--[[", "[[", "a ", "1.", "\n", "é", "😀", "$", "@", "<img src=x onerror=hit()>", "+\n", "a" .repeat(500) + " :"];
  for (const language of ["js", "python", "rust", "bash", "html", "json", "lua", "diff", "css"]) {
    for (const unit of units) {
      const began = performance.now();
      const { same, elements } = await colours(unit.repeat(Math.ceil(40_000 / unit.length)), language);
      assert.ok(same && elements === 0, `${language} ${JSON.stringify(unit)}`);
      assert.ok(performance.now() - began < 5000, `${language} ${JSON.stringify(unit)}`);
    }
  }
});

test("code has its language and a button that copies it, whole or while it grows", async () => {
  const text = "```rust\nfn main() {}\n```\n\nthen\n\n```\nplain <b>\n```";
  await page.evaluate((text) => {
    const target = document.createElement("div");
    document.body.replaceChildren(target);
    for (let length = 0; length <= text.length; length += 3) {
      renderMarkdown(target, text.slice(0, length));
      completeCode(target);
    }
    renderMarkdown(target, text);
    completeCode(target);
    completeCode(target);
  }, text);
  assert.deepEqual(await page.locator(".code-bar > span").allTextContents(), ["rust", "text"]);
  await page.locator(".code-keyword", { hasText: "fn" }).waitFor();
  assert.equal(await page.locator("pre").first().locator("code").textContent(), "fn main() {}\n");
  for (const [index, copied] of ["fn main() {}", "plain <b>"].entries()) {
    await page.getByRole("button", { name: "Copy code" }).nth(index).click();
    await page.getByText("Copied").first().waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), copied);
  }
});

test("a link holds model and settings, and nothing else", async () => {
  const shared = { model: "org/name:Q4_K_M", system: "Be short & kind. #1", temperature: "0.5", "top-p": "0.9", "max-tokens": "64", seed: "7" };
  const made = await page.evaluate((shared) => makeLink("https://host/page/?model=x#old", shared), shared);
  assert.ok(made.startsWith("https://host/page/#model="), made);
  assert.deepEqual(await page.evaluate((hash) => readLink(hash), new URL(made).hash), { shared, refused: [] });
  const local = await page.evaluate(() => makeLink("https://host/", { model: "local:mine", seed: "" }));
  assert.equal(local, "https://host/");
  for (const [hash, refused] of [
    ["#temperature=3", ["temperature"]],
    ["#temperature=-1", ["temperature"]],
    ["#temperature=1e9", ["temperature"]],
    ["#max-tokens=1.5", ["max-tokens"]],
    ["#max-tokens=0", ["max-tokens"]],
    ["#seed=99999999999999999999", ["seed"]],
    ["#model=javascript:alert(1)", ["model"]],
    ["#model=data:text/html,x", ["model"]],
    ["#model=//evil.example/a.gguf", ["model"]],
    ["#model=/\\evil.example/a.gguf", ["model"]],
    ["#model=https://", ["model"]],
    ["#model=a", ["model"]],
    [`#model=a/${"b".repeat(400)}`, ["model"]],
    [`#system=${"a".repeat(4001)}`, ["system"]],
    [`#system=${"a".repeat(20_000)}`, ["everything: it is too long"]],
    ["#%%%=&&==", []],
    ["#other=1", []],
  ]) {
    assert.deepEqual(await page.evaluate((hash) => readLink(hash), hash), { shared: {}, refused }, hash.slice(0, 60));
  }
  for (const model of ["org/name@main", "https://host/a.gguf?x=1", "/models/a.gguf", "./a.gguf"]) {
    assert.deepEqual((await page.evaluate((hash) => readLink(hash), `#${new URLSearchParams({ model })}`)).shared, { model });
  }
});

test("what is read aloud has no marks and no code, however it arrives", async () => {
  const text = "# Head\n\nIt is **bold**, see [the page](https://host/a_b). Then:\n\n```js\nlet a = 1;\n```\n\n- one `x`\n- two\nEnd";
  const said = await page.evaluate(async (text) => {
    const all = [];
    for (const size of [1, 2, 7, 1000]) {
      async function* bits() {
        for (let at = 0; at < text.length; at += size) yield text.slice(at, at + size);
      }
      let said = "";
      for await (const bit of sayable(bits())) said += bit;
      all.push(said.replace(/\s+/g, " ").trim());
    }
    return all;
  }, text);
  assert.deepEqual([...new Set(said)], ["Head It is bold, see the page. Then: one x two End"]);
});
