/** The page's build, and a development server that also serves the model files of this machine. */
import { createReadStream, statSync } from "node:fs";
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

export default defineConfig({
  // Relative addresses: the built page works under any path.
  base: "./",
  plugins: [models()],
  build: { target: "es2022", modulePreload: { polyfill: false } },
  worker: { format: "es" },
  server: { fs: { allow: [".."] } },
  optimizeDeps: { exclude: ["crane-wasm"] },
});
