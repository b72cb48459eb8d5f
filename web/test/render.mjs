/** The page's Markdown alone, on a page of its own: `render(text)` puts a text into the body, `growing(texts)` one after the other into the same place. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { serve } from "./serve.mjs";

const MARKDOWN = fileURLToPath(new URL("../src/markdown.ts", import.meta.url));

/** Builds and serves the page; `close` ends the server and removes the build. */
export async function serveMarkdown() {
  const folder = mkdtempSync(join(tmpdir(), "crane-markdown-"));
  writeFileSync(join(folder, "main.js"), `import { renderMarkdown } from ${JSON.stringify(MARKDOWN)};\nglobalThis.renderMarkdown = renderMarkdown;\n`);
  writeFileSync(join(folder, "index.html"), '<!doctype html><title>markdown</title><link rel=icon href=data:,><body></body><script type="module" src="./main.js"></script>');
  await build({ root: folder, configFile: false, logLevel: "error", base: "./", build: { target: "es2022", modulePreload: { polyfill: false } } });
  const server = await serve({ root: join(folder, "dist") });
  return {
    address: server.address,
    close: async () => {
      await server.close();
      rmSync(folder, { recursive: true });
    },
  };
}
