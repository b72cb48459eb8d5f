/** Serves the built pages on this machine: `node server/pages.mjs [--port PORT]`; what `cargo xtask pages` ends with. */
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { preview } from "vite";

const { values } = parseArgs({ options: { port: { type: "string", default: "5173" } } });
const server = await preview({
  root: fileURLToPath(new URL("..", import.meta.url)),
  logLevel: "warn",
  // Another port, where this one is taken.
  preview: { host: "127.0.0.1", port: Number(values.port), strictPort: false },
});
const { port } = server.httpServer.address();
console.log(`\n  Chat:            http://localhost:${port}/\n  Text to speech:  http://localhost:${port}/speech.html\n\nCtrl-C ends it.`);
