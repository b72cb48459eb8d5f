/** The pages' build, and servers that also have the model files of this machine. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";
import { hostModels, ISOLATION, MODELS } from "./server/host_models.js";

/** The voice of the speech page lies beside it, so that a static host is enough; `cargo xtask setup` fetches it. */
function voice(): Plugin {
  const folder = join(MODELS, "hibari");
  return {
    name: "crane-voice",
    generateBundle() {
      if (!existsSync(folder)) {
        this.warn(`${folder} is missing, so the speech page will have no voice; run \`cargo xtask setup\``);
        return;
      }
      for (const name of readdirSync(folder)) {
        this.emitFile({ type: "asset", fileName: `hibari/${name}`, source: readFileSync(join(folder, name)) });
      }
    },
  };
}

/**
 * What the built pages may do: their own scripts, styles and files, WebAssembly, and nothing that is written into a page. Models
 * are fetched by the engine's worker, which has the policy of its own file's answer: the pages themselves ask their own host alone.
 */
const POLICY = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

/** Headers that a host should add: the first of them cannot be said inside a page. */
const HEADERS = { "Content-Security-Policy": "frame-ancestors 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer" };

/** Puts the policy into the built pages; the development server's own scripts are written into its pages. */
function policy(): Plugin {
  return {
    name: "crane-policy",
    apply: "build",
    transformIndexHtml: () => [
      { tag: "meta", attrs: { "http-equiv": "Content-Security-Policy", content: POLICY }, injectTo: "head-prepend" },
      { tag: "meta", attrs: { name: "referrer", content: "no-referrer" }, injectTo: "head-prepend" },
    ],
  };
}

export default defineConfig({
  // Relative addresses: the built page works under any path.
  base: "./",
  plugins: [hostModels(), voice(), policy()],
  // What is not there is not found, instead of being the chat page.
  appType: "mpa",
  preview: { headers: { ...HEADERS, ...ISOLATION } },
  build: { target: "es2022", modulePreload: { polyfill: false }, rolldownOptions: { input: ["index.html", "speech.html"] } },
  worker: { format: "es" },
  server: { fs: { allow: [".."] } },
  optimizeDeps: { exclude: ["crane-wasm"] },
});
