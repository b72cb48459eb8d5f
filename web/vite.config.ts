/** The page's build, and a development server that also serves the model files of this machine. */
import { createReadStream, existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import { defineConfig, type Plugin } from "vite";

const MODELS = process.env["CRANE_TEST_MODELS"] ?? join(homedir(), ".cache", "crane-test-models");

/** Serves `/models/NAME` out of the folder of test weights. */
function models(): Plugin {
  return {
    name: "crane-models",
    configureServer(server) {
      server.middlewares.use("/models", (request, response) => {
        const path = join(MODELS, basename(decodeURIComponent(request.url?.split("?")[0] ?? "")));
        const file = statSync(path, { throwIfNoEntry: false });
        if (!file?.isFile()) {
          response.writeHead(404).end(`no such model; run \`cargo xtask setup\`\n`);
          return;
        }
        response.writeHead(200, { "content-type": "application/octet-stream", "content-length": file.size });
        createReadStream(path).pipe(response);
      });
    },
  };
}

/** The voice of the speech page lies beside it, so that a static host is enough; `cargo xtask setup` fetches it. */
function voice(): Plugin {
  const folder = join(MODELS, "hibari");
  return {
    name: "crane-voice",
    configureServer(server) {
      server.middlewares.use("/hibari", (request, response) => {
        const path = join(folder, basename(decodeURIComponent(request.url?.split("?")[0] ?? "")));
        if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
          response.writeHead(404).end("no such file; run `cargo xtask setup`\n");
          return;
        }
        createReadStream(path).pipe(response);
      });
    },
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
  plugins: [models(), voice(), policy()],
  preview: { headers: HEADERS },
  build: { target: "es2022", modulePreload: { polyfill: false }, rolldownOptions: { input: ["index.html", "speech.html"] } },
  worker: { format: "es" },
  server: { fs: { allow: [".."] } },
  optimizeDeps: { exclude: ["crane-wasm"] },
});
