/** Further workers of the same module as the engine's. */
import { inNode } from "./read_bytes.js";

/** What every helper says when it cannot go on. */
export type Failed = { failed: string };

/** A worker as both worlds have it. */
export interface Helper<Message, Reply> {
  postMessage(message: Message, transfer?: ArrayBuffer[]): void;
  onReply(listener: (reply: Reply | Failed) => void): void;
}

/** Starts a worker of the same module as this one. */
export async function spawn<Message, Reply extends object>(): Promise<Helper<Message, Reply>> {
  if (inNode()) {
    const threads = "node:worker_threads";
    const { Worker } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ threads)) as typeof import("node:worker_threads");
    // In two steps, so that no bundler takes the module for a file of its own.
    const [base, main] = [import.meta.url, "./main.js"];
    const worker = new Worker(new URL(main, base));
    return {
      postMessage: (message, transfer = []) => worker.postMessage(message, transfer),
      onReply: (listener) => {
        worker.on("message", (reply: Reply | Failed) => {
          if ("ready" in reply) worker.unref();
          listener(reply);
        });
        worker.on("error", (error: Error) => listener({ failed: error.message }));
      },
    };
  }
  // Wherever a bundler or a blob has put it, this worker knows its own address.
  const worker = new Worker(/* @vite-ignore */ self.location.href, { type: "module", name: "crane thread" });
  return {
    postMessage: (message, transfer = []) => worker.postMessage(message, transfer),
    onReply: (listener) => {
      worker.addEventListener("message", (event: MessageEvent<Reply | Failed>) => listener(event.data));
      worker.addEventListener("error", (event) => listener({ failed: event.message || "its module could not be loaded" }));
    },
  };
}
