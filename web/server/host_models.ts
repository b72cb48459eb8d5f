/** Serves the models of this machine beside the pages, and tells the chat page which there are. */
import { createReadStream, readdirSync, readFileSync, statSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { homedir } from "node:os";
import { basename, join } from "node:path";
import type { Connect, Plugin } from "vite";

/** The folder of models. */
export const MODELS = process.env["CRANE_TEST_MODELS"] ?? join(homedir(), ".cache", "crane-test-models");

/** Headers of an isolated page, in which the engine runs on several threads. */
export const ISOLATION = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

/** Serves `/models/NAME` and `/hibari/NAME` out of the folder; the built chat page names the models that are there. */
export function hostModels(): Plugin {
  const folders = (middlewares: Connect.Server): void => {
    middlewares.use("/models", (request, response) => serve(join(MODELS, nameOf(request)), request, response));
    middlewares.use("/hibari", (request, response) => serve(join(MODELS, "hibari", nameOf(request)), request, response));
  };
  return {
    name: "crane-host-models",
    configureServer: ({ middlewares }) => folders(middlewares),
    configurePreviewServer: ({ middlewares, config }) => {
      folders(middlewares);
      middlewares.use((request, response, next) => {
        const path = request.url?.split("?")[0];
        if (path !== "/" && path !== "/index.html") return next();
        const page = readFileSync(join(config.root, config.build.outDir, "index.html"), "utf8");
        const list = JSON.stringify(models()).replaceAll("&", "&amp;").replaceAll("'", "&#39;").replaceAll("<", "&lt;");
        response.writeHead(200, { ...ISOLATION, "content-type": "text/html; charset=utf-8", "cache-control": "no-cache" });
        response.end(page.replace("</title>", () => `</title>\n    <meta name="crane-models" content='${list}' />`));
      });
    },
  };
}

/** The models of one file, the smallest first. */
function models(): { source: string; bytes: number }[] {
  const names = statSync(MODELS, { throwIfNoEntry: false })?.isDirectory() ? readdirSync(MODELS) : [];
  const files = names.filter((name) => name.endsWith(".gguf")).map((name) => ({ source: `/models/${encodeURIComponent(name)}`, bytes: statSync(join(MODELS, name)).size }));
  return files.sort((one, other) => one.bytes - other.bytes);
}

function nameOf(request: IncomingMessage): string {
  try {
    return basename(decodeURIComponent(request.url?.split("?")[0] ?? ""));
  } catch {
    return "";
  }
}

/** A file, or the rest of it from where an interrupted download ended. */
function serve(path: string, request: IncomingMessage, response: ServerResponse): void {
  const file = statSync(path, { throwIfNoEntry: false });
  if (!file?.isFile()) {
    response.writeHead(404).end("no such file; run `cargo xtask setup`\n");
    return;
  }
  const stamp = `"${file.size}-${Math.floor(file.mtimeMs)}"`;
  const from = request.headers["if-range"] === undefined || request.headers["if-range"] === stamp ? /^bytes=(\d{1,15})-$/.exec(request.headers.range ?? "")?.[1] : undefined;
  const start = from === undefined ? 0 : Number(from);
  const common = { ...ISOLATION, "content-type": "application/octet-stream", "accept-ranges": "bytes", etag: stamp };
  if (start >= file.size && start > 0) {
    response.writeHead(416, { "content-range": `bytes */${file.size}` }).end();
    return;
  }
  const part = from === undefined ? {} : { "content-range": `bytes ${start}-${file.size - 1}/${file.size}` };
  response.writeHead(from === undefined ? 200 : 206, { ...common, ...part, "content-length": file.size - start });
  if (request.method === "HEAD") response.end();
  else createReadStream(path, { start }).on("error", () => response.destroy()).pipe(response);
}
