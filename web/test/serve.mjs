/** A static server as a plain host has it: no special headers. */
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { homedir } from "node:os";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL("..", import.meta.url));

/** Where the test weights are. */
export const MODELS = process.env.CRANE_TEST_MODELS ?? join(homedir(), ".cache", "crane-test-models");

/** The headers with which a page may share memory between its workers. */
export const ISOLATION = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

const FOLDERS = { "/npm/": join(HERE, "../npm"), "/models/": MODELS, "/fixture/": join(HERE, "../crane-sdk/tests/fixtures/qwen2_tied"), "/": join(HERE, "dist") };

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".mjs": "text/javascript",
  ".css": "text/css",
  ".wasm": "application/wasm",
};

/**
 * Serves the built page (or another folder, `root`) at `/`, the npm package at `/npm/`, the weights at `/models/`, a tiny checkpoint at `/fixture/` and
 * an empty page at `/blank`. `headers` go with every answer; the path `missing` is not there; what `answer` takes a request for, by its path and the response, it
 * returns true for.
 */
export async function serve({ root = FOLDERS["/"], headers = {}, missing, answer = () => false } = {}) {
  const folders = { ...FOLDERS, "/": root };
  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    if (answer(path, response, request)) return;
    if (path === "/blank") {
      response.writeHead(200, { "content-type": TYPES[".html"] }).end("<!doctype html><title>blank</title><link rel=icon href=data:,>");
      return;
    }
    const [prefix, folder] = Object.entries(folders).find(([start]) => path.startsWith(start));
    const inside = normalize(path.slice(prefix.length) || "index.html");
    const name = join(folder, inside);
    const file = inside.startsWith("..") ? undefined : statSync(name, { throwIfNoEntry: false });
    if (!file?.isFile() || path === missing) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": TYPES[extname(name)] ?? "application/octet-stream", "content-length": file.size });
    createReadStream(name).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
