/** The policy of the built pages: what is written into them does not run, and they work. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { serveHub } from "../../npm/test/hub_server.mjs";
import { launch as launchChromium } from "./browser.mjs";
import { launch as launchFirefox } from "./firefox.mjs";
import { tryPolicy } from "./policy.mjs";
import { serve } from "./serve.mjs";

const FOLDER = new URL("../../crane-sdk/tests/fixtures/qwen2_tied/", import.meta.url);
const FILES = Object.fromEntries(readdirSync(FOLDER).filter((name) => !name.startsWith("golden")).map((name) => [name, readFileSync(new URL(name, FOLDER))]));

let server, elsewhere, hub;
before(async () => {
  [server, elsewhere, hub] = [await serve(), await serve({ headers: { "access-control-allow-origin": "*" } }), await serveHub()];
  hub.repos["org/tiny"] = { commit: "1", files: FILES };
});
after(async () => {
  await hub?.close();
  await server?.close();
  await elsewhere?.close();
});

const PAGES = ["index.html", "speech.html"];

test("each built page says its policy before anything that it could concern", () => {
  for (const name of PAGES) {
    const html = readFileSync(new URL(`../dist/${name}`, import.meta.url), "utf8");
    const [, content] = /<meta http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(html) ?? [];
    assert.ok(content, name);
    assert.match(content.replaceAll("&#39;", "'"), /^default-src 'none'; script-src 'self' 'wasm-unsafe-eval';/);
    assert.doesNotMatch(content, /;unsafe-|'unsafe-|\*|https?:/);
    assert.ok(html.indexOf("Content-Security-Policy") < html.search(/<(script|link|style)/), name);
    assert.doesNotMatch(html, /<script(?![^>]*\bsrc=)|<style|\son[a-z]+=|\sstyle=/);
  }
});

for (const [browserName, launch] of [["Chromium", launchChromium], ["Firefox", launchFirefox]]) {
  test(`${browserName} runs nothing that is written into a page`, async () => {
    const browser = await launch();
    try {
      for (const name of PAGES) {
        const page = await browser.newPage();
        await page.goto(`${server.address}/${name}`);
        const { happened, refused, policies } = await page.evaluate(tryPolicy, elsewhere.address);
        assert.deepEqual(happened, []);
        assert.equal(policies, 1);
        for (const directive of ["connect-src", "base-uri", "form-action"]) assert.ok(refused.includes(directive), `${directive} is not among ${refused.join(", ")}`);
        assert.ok(refused.some((directive) => directive.startsWith("script-src")), refused.join(", "));
        await page.close();
      }
      // The engine's worker fetches models from wherever the person says, on as many workers as there are.
      const page = await browser.newPage();
      await page.goto(`${server.address}/index.html`);
      const ids = await page.evaluate(async (hubUrl) => {
        const { Crane } = await import("/npm/dist/index.js");
        const crane = await Crane.create({ hubUrl });
        const llm = await crane.load("org/tiny", { context: 64 });
        const ids = await Array.fromAsync(llm.generate([5, 6, 7], { temperature: 0, max_tokens: 4, ignore_eos: true }));
        crane.dispose();
        return ids;
      }, hub.address);
      assert.equal(ids.length, 4);
    } finally {
      await browser.close();
    }
  });
}
