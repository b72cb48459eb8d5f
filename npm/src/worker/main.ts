/** The worker's entry: connects an engine to whoever started the worker. */
import type { ToPage, ToWorker } from "../protocol.js";
import { Engine } from "./engine.js";
import { hold, type Shard } from "./shards.js";
import { help, type Help } from "./team.js";

if (typeof self === "object" && typeof self.postMessage === "function") {
  const engine = new Engine((message: ToPage) => self.postMessage(message));
  let take: ((message: Uint32Array) => void) | undefined;
  // Attached before the first await: a message that comes earlier would be lost.
  self.addEventListener("message", ({ data }: MessageEvent<ToWorker | Help | Shard | Uint32Array>) => {
    if (data instanceof Uint32Array) take?.(data);
    else if ("shard" in data) take = hold(data.shard, (reply, transfer) => self.postMessage(reply, { transfer }));
    else if ("help" in data) void help(data.help, (reply) => self.postMessage(reply));
    else engine.receive(data);
  });
} else {
  const threads = "node:worker_threads";
  const { parentPort } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ threads)) as typeof import("node:worker_threads");
  const engine = new Engine((message: ToPage) => parentPort?.postMessage(message));
  parentPort?.on("message", (message: ToWorker | Help) => {
    if ("help" in message) void help(message.help, (reply) => parentPort?.postMessage(reply));
    else engine.receive(message);
  });
}
