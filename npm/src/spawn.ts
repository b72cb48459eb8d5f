/** Starts the worker: a module `Worker` in a page, a `worker_threads` worker in Node. */
import { CraneError } from "./errors.js";
import type { ToPage, ToWorker } from "./protocol.js";

/** The page's end of a worker. */
export interface WorkerPort {
  post(message: ToWorker): void;
  onMessage(listener: (message: ToPage) => void): void;
  /** Called once if the worker cannot start or dies. */
  onFailure(listener: (error: CraneError) => void): void;
  terminate(): void;
}

const HINT = "workerUrl must point at dist/worker/main.js of the package; another origin must allow this page (CORS), and a CSP must allow worker-src blob:";

/** Starts the worker whose module is at `url`; the package's own by default. */
export async function spawn(url: string | URL | undefined): Promise<WorkerPort> {
  if (typeof Worker === "function") return spawnInPage(url);
  return spawnInNode(url);
}

/** Where the worker's module is, said so that no bundler takes it for a file of its own: they know the expression below. */
function own(url: string | URL | undefined): URL {
  const [base, module] = [import.meta.url, "./worker/main.js"];
  return new URL(url ?? module, base);
}

function spawnInPage(url: string | URL | undefined): WorkerPort {
  const options = { type: "module", name: "crane" } as const;
  const there = own(url);
  // A worker's module must be of the page's origin; of another one it can be imported where that allows it (CORS).
  const foreign = there.protocol.startsWith("http") && there.origin !== globalThis.location.origin;
  const bootstrap = foreign ? URL.createObjectURL(new Blob([`import ${JSON.stringify(there.href)};`], { type: "text/javascript" })) : undefined;
  const worker =
    bootstrap !== undefined
      ? new Worker(/* @vite-ignore */ bootstrap, options)
      : url !== undefined
        ? new Worker(/* @vite-ignore */ url, options)
        : // Bundlers find the worker by this very expression.
          new Worker(new URL("./worker/main.js", import.meta.url), { type: "module", name: "crane" });
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (listener) => worker.addEventListener("message", (event) => listener(event.data as ToPage)),
    onFailure: (listener) =>
      worker.addEventListener("error", (event) => {
        listener(new CraneError("worker", `the worker failed: ${event.message || "its module could not be loaded"}`, { hint: HINT }));
      }),
    terminate: () => worker.terminate(),
  };
}

async function spawnInNode(url: string | URL | undefined): Promise<WorkerPort> {
  const threads = "node:worker_threads";
  const { Worker } = (await import(/* @vite-ignore */ /* webpackIgnore: true */ threads)) as typeof import("node:worker_threads");
  const worker = new Worker(own(url));
  // An idle engine must not keep the process alive; a call under way holds a reference (see `post`).
  const waiting = new Set<number>();
  worker.unref();
  return {
    post: (message) => {
      if ("call" in message) {
        waiting.add(message.id);
        worker.ref();
      }
      worker.postMessage(message);
    },
    onMessage: (listener) =>
      worker.on("message", (message: ToPage) => {
        if (!("event" in message) && waiting.delete(message.id) && waiting.size === 0) worker.unref();
        listener(message);
      }),
    onFailure: (listener) =>
      worker.on("error", (error: Error) => {
        listener(new CraneError("worker", `the worker failed: ${error.message}`, { hint: HINT, cause: error }));
      }),
    terminate: () => void worker.terminate(),
  };
}
