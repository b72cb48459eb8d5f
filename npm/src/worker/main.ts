/** The worker's entry: connects an engine to the page, or makes the worker one that helps an engine. */
import type { ToPage, ToWorker } from "../protocol.js";
import { Engine } from "./engine.js";
import type { Role } from "./helper.js";
import { hold, type Shard } from "./shards.js";
import { help, type Help } from "./team.js";

if (typeof self === "object" && typeof self.postMessage === "function") {
  const receive = receiver((message) => self.postMessage(message));
  // Attached before the first await: a message that comes earlier would be lost.
  self.addEventListener("message", ({ data }: MessageEvent<ToWorker | Role>) => receive(data));
} else {
  const threads = "node:worker_threads";
  const { parentPort } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ threads)) as typeof import("node:worker_threads");
  parentPort?.on("message", receiver((message) => parentPort.postMessage(message)));
}

/** What takes the page's messages. */
function receiver(send: (message: ToPage) => void): (message: ToWorker | Role) => void {
  const engine = new Engine(send);
  return (message) => {
    if ("serve" in message) serve(message.serve);
    else if ("helpers" in message) engine.helpers = message.helpers;
    else engine.receive(message);
  };
}

/** Helps the engine at the other end, which says how first. */
function serve(port: MessagePort): void {
  let take: ((message: Uint32Array) => void) | undefined;
  port.onmessageerror = () => port.postMessage({ failed: "a message to it could not be read" });
  port.onmessage = ({ data }: MessageEvent<Help | Shard | Uint32Array>) => {
    if (data instanceof Uint32Array) take?.(data);
    else if ("shard" in data) take = hold(data.shard, (reply, transfer) => port.postMessage(reply, transfer));
    else void help(data.help, (reply) => port.postMessage(reply));
  };
}
