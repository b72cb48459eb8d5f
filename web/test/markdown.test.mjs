/** An answer is a stranger's text: whatever it is, it is shown, in time, and nothing of it runs. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch } from "./browser.mjs";
import { serveMarkdown } from "./render.mjs";

/** Characters of a hostile text. */
const LENGTH = 20_000;
/** A machine that is busy with everything else is slow; what is quadratic is slower by far. */
const SECONDS = 5;

/** What is repeated, which a parser may read again for each time. */
const UNITS = [
  ">", "> ", "_a", "*a", "**a", "***a", "_*a ", "*_", "a_", "a*", "a**b ", "_a__", "~~a", "[", "]", "[a", "[a](", "[a](b", "[a](<", "[]", "[][", "[a]: b\n",
  "![", "![a](", "!", "`", "`a ", "``a`", "- ", "* ", "+ ", "1. ", "1) ", "- [ ] ", "- a\n", "> - ", "- > ", "1. > - ", "<", "<a", "<a ", "<!--", "<?",
  "<b>", "</b>", "<div>", "<br>", "<a href='", "(", ")", "\\", "\\*", "&", "&amp;", "|", "|a\n", "|-|-\n", "a|a\n-|-\n", "=\n|-|-\n", "#", "# a\n", "=\n", "~~~\n", "```\n",
  "a", "a ", "a\n", "\n", " ", "\t", "    a\n", "'", '"', "http://", "http://a.", "www.", "a@", "a@a.", "é*", "😀_",
];

let place, browser, page;
before(async () => {
  place = await serveMarkdown();
  browser = await launch();
  page = await browser.newPage();
  await page.goto(place.address);
  await page.waitForFunction(() => typeof renderMarkdown === "function");
});
after(async () => {
  await browser?.close();
  await place?.close();
});

/** Shows texts one after the other in one place; returns what stands there then, the seconds that it took and how deep its elements are. */
const show = (...texts) =>
  page.evaluate((texts) => {
    const target = document.createElement("div");
    document.body.replaceChildren(target);
    const began = performance.now();
    for (const text of texts) renderMarkdown(target, text);
    const seconds = (performance.now() - began) / 1000;
    let depth = 0;
    for (const element of target.querySelectorAll("*")) {
      let levels = 0;
      for (let node = element; node !== target; node = node.parentElement) levels += 1;
      depth = Math.max(depth, levels);
    }
    return { html: target.innerHTML.slice(0, 2000), text: target.textContent, seconds, depth };
  }, texts);

const repeated = (unit, length = LENGTH) => unit.repeat(Math.ceil(length / unit.length));

test("no text throws or blocks, whatever is repeated in it", async (t) => {
  let slowest = [0, ""];
  for (const unit of UNITS) {
    const { seconds, depth } = await show(repeated(unit));
    assert.ok(seconds < SECONDS, `${JSON.stringify(unit)} took ${seconds} s`);
    assert.ok(depth < 100, `${JSON.stringify(unit)} made elements ${depth} deep`);
    if (seconds > slowest[0]) slowest = [seconds, unit];
  }
  t.diagnostic(`the slowest, ${JSON.stringify(slowest[1])}, took ${slowest[0].toFixed(3)} s`);
});

test("lists in lists by their indentation, and mixtures of all signs", async () => {
  const nested = Array.from({ length: 180 }, (_, depth) => `${"  ".repeat(depth)}- a`).join("\n");
  let seed = 1;
  const draw = (count) => (seed = (seed * 48_271) % 0x7fff_ffff) % count;
  const mixed = Array.from({ length: 60 }, () => repeated(Array.from({ length: 2 + draw(4) }, () => UNITS[draw(UNITS.length)]).join("")));
  for (const text of [nested, ...mixed]) {
    const { seconds, depth } = await show(text);
    assert.ok(seconds < SECONDS && depth < 100, `${JSON.stringify(text.slice(0, 40))} took ${seconds} s, ${depth} deep`);
  }
});

test("what is beyond a limit is shown as it was written", async () => {
  for (const text of [">".repeat(5000), "_*a ".repeat(4000), "a".repeat(150_000), `**b** ${"x ".repeat(60_000)}`]) {
    const { text: shown } = await show(text);
    const letters = (from) => from.replaceAll(/[>\s]/g, "");
    assert.equal(letters(shown).length, letters(text).length, text.slice(0, 20));
  }
});

test("ordinary Markdown is not touched by the limits", async () => {
  const table = `| a | b |\n|---|---|\n${"| **1** | `x_y` |\n".repeat(60)}`;
  const list = Array.from({ length: 200 }, (_, index) => `${index + 1}. item with **bold**, _emphasis_ and a [link](https://host/${index})`).join("\n");
  const quotes = "> one\n> > two\n> > > three **deep**\n";
  const code = `\`\`\`rust\n${"fn main() { let a = b * c; }\n".repeat(2000)}\`\`\``;
  const { html } = await show(`${table}\n${list}\n\n${quotes}\n# Head\n`);
  assert.match(html, /<td><strong>1<\/strong><\/td>\s*<td><code>x_y<\/code><\/td>/);
  const counted = (text, selector) =>
    page.evaluate(([text, selector]) => {
      const target = document.createElement("div");
      renderMarkdown(target, text);
      return target.querySelectorAll(selector).length;
    }, [text, selector]);
  const whole = `${table}\n${list}\n\n${quotes}\n# Head\n\n${code}\n`;
  assert.equal(await counted(whole, "tbody tr"), 60);
  assert.equal(await counted(whole, "li > a"), 200);
  assert.equal(await counted(whole, "blockquote blockquote blockquote strong"), 1);
  assert.equal(await counted(whole, "pre > code"), 1);
  const { html: aligned } = await show("| a | b | c |\n|:--|:-:|---|\n| 1 | 2 | 3 |\n");
  assert.match(aligned, /<th align="left">a<\/th>\s*<th align="center">b<\/th>\s*<th>c<\/th>/);
  assert.match((await show("3. three\n4. four\n")).html, /<ol start="3">/);
  const { text: tasks } = await show("- [ ] wash\n- [x] dry **well**\n");
  assert.match(tasks, /☐ wash\s+☑ dry well/);
  assert.equal(await counted("a<br>b <BR/> c", "br"), 2);
});

test("a text that grows keeps what is there, and ends as if it had come at once", async () => {
  const paragraphs = Array.from({ length: 40 }, (_, index) => `Paragraph ${index} **bold** [one][ref] ${"with some more words ".repeat(12)}`);
  const fenced = "```js\nlet a = 1;\n\nlet b = 2;\n```";
  const text = [...paragraphs, "1. a\n\n2. b\n\n   c", fenced, ...paragraphs, "[ref]: https://host/ref", "> quoted\n> **more**", ...paragraphs].join("\n\n");
  const { same, once, kept, links } = await page.evaluate((text) => {
    const [grown, whole] = [document.createElement("div"), document.createElement("div")];
    let [first, kept, steps] = [undefined, 0, 0];
    for (let length = 0; length < text.length + 37; length += 37) {
      renderMarkdown(grown, text.slice(0, length));
      if (length > 8000) {
        steps += 1;
        if (grown.firstChild === first) kept += 1;
        first = grown.firstChild;
      }
    }
    renderMarkdown(whole, text);
    return { same: grown.innerHTML === whole.innerHTML, once: whole.querySelectorAll("pre").length, kept: steps - kept, links: whole.querySelectorAll("a[href='https://host/ref']").length };
  }, text);
  assert.ok(same);
  assert.equal(once, 1);
  assert.equal(links, 120);
  // The first step has none before it; the definition of a link, while it is written, changes those that name it.
  assert.ok(kept < 20, `the beginning was made anew ${kept} times`);
});

/** Each wants to run `globalThis.hit()`, to fetch, or to change the page. */
const INJECTIONS = [
  "<script>hit()</script>",
  "<img src=x onerror=hit()>",
  "<svg onload=hit()>",
  "<svg><script>hit()</script></svg>",
  "<iframe srcdoc='<script>parent.hit()</script>'></iframe>",
  "<object data='javascript:hit()'></object>",
  "<embed src='javascript:hit()'>",
  "<base href='https://evil.example/'>",
  "<meta http-equiv=refresh content='0;url=javascript:hit()'>",
  "<link rel=stylesheet href='https://evil.example/a.css'>",
  "<style>*{background:url(https://evil.example/)}</style>",
  "<form action='https://evil.example/'><button>x</button></form>",
  "<input autofocus onfocus=hit()>",
  "<details open ontoggle=hit()>",
  "<math><mtext><table><mglyph><style><img src=x onerror=hit()></style></mglyph></table></mtext></math>",
  "<noscript><p title='</noscript><img src=x onerror=hit()>'></noscript>",
  "<a href='javascript:hit()'>x</a>",
  "[x](javascript:hit())",
  "[x](JaVaScRiPt:hit())",
  "[x](java&#115;cript:hit())",
  "[x](\tjavascript:hit())",
  "[x](data:text/html,<script>hit()</script>)",
  "[x](vbscript:hit())",
  "[x](blob:https://host/1)",
  "[x][r]\n\n[r]: javascript:hit()",
  "<javascript:hit()>",
  "![x](https://evil.example/a.png)",
  "![x](x\"onerror=\"hit())",
  '[x](https://host/ "\\" onclick=hit() \\"")',
  '[x](https://host/"onclick="hit())',
  "`<img src=x onerror=hit()>`",
  "```\n</code></pre><img src=x onerror=hit()>\n```",
  '```"><img src=x onerror=hit()>\nx\n```',
  "| a |\n|---|\n| <img src=x onerror=hit()> |",
  "# <img src=x onerror=hit()>",
  "> <script>hit()</script>\n> <pre><script>hit()</script>",
  "<pre><code><img src=x onerror=hit()></code></pre>",
  "<br/onclick=hit()>",
  "&lt;img src=x onerror=hit()&gt; &#60;script&#62;hit()",
  "<!--><img src=x onerror=hit()>-->",
  "<![CDATA[<img src=x onerror=hit()>]]>",
];

test("no injection runs, fetches or leaves an attribute", async () => {
  const asked = [];
  const note = (request) => asked.push(request.url());
  page.on("request", note);
  const found = await page.evaluate(async (texts) => {
    let hits = 0;
    globalThis.hit = () => (hits += 1);
    const attributes = new Set();
    const elements = new Set();
    const addresses = new Set();
    for (const text of texts) {
      const target = document.createElement("div");
      document.body.replaceChildren(target);
      for (const shown of [text, `before\n\n${text}\n\nafter`, `- ${text}`, `**${text}**`]) {
        renderMarkdown(target, shown);
        for (const element of target.querySelectorAll("*")) {
          elements.add(element.tagName.toLowerCase());
          for (const { name, value } of element.attributes) {
            attributes.add(name);
            if (name === "href") addresses.add(value);
          }
          if (!/^https:/.test(element.getAttribute("href") ?? "")) element.click();
        }
      }
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    return { hits, attributes: [...attributes].sort(), elements: [...elements], addresses: [...addresses] };
  }, INJECTIONS);
  page.off("request", note);
  assert.equal(found.hits, 0);
  assert.deepEqual(found.attributes, ["href", "rel", "target"]);
  const known = "a blockquote br code em h1 h2 hr li ol p pre strong table tbody td th thead tr ul".split(" ");
  assert.deepEqual(found.elements.filter((name) => !known.includes(name)), []);
  assert.ok(found.addresses.every((address) => address.startsWith("https://")), found.addresses.join(" "));
  assert.deepEqual(asked, []);
});
