/** Starts the workers: module `Worker`s in a page, `worker_threads` workers in Node. */
import { CraneError } from "./errors.js";
import type { ToPage, ToWorker } from "./protocol.js";
import type { Role } from "./worker/helper.js";

/** The page's end of a worker. */
export interface WorkerPort {
  post(message: ToWorker): void;
  onMessage(listener: (message: ToPage) => void): void;
  /** Called if a worker cannot start or dies. */
  onFailure(listener: (error: CraneError) => void): void;
  terminate(): void;
}

/** A worker as both worlds have it. */
interface Spawned {
  post(message: ToWorker | Role, transfer?: MessagePort[]): void;
  onMessage(listener: (message: ToPage) => void): void;
  onError(listener: (message: string, cause?: unknown) => void): void;
  terminate(): void;
}

const HINT = "if it had run before, memory ran out: call Crane.create() again and load a smaller model; if it never ran, workerUrl must point at dist/worker/main.js of the package; another origin must allow this page (CORS), and a CSP must allow worker-src blob:";

/** Starts the worker whose module is at `url`, the package's own by default, and so many further ones of it that help it. */
export async function spawn(url: string | URL | undefined, helpers: number): Promise<WorkerPort> {
  const start = await starter(url);
  const engine = start();
  const others = Array.from({ length: helpers }, start);
  const ports = others.map((helper) => {
    const { port1, port2 } = new MessageChannel();
    helper.post({ serve: port2 }, [port2]);
    return port1;
  });
  if (helpers > 0) engine.post({ helpers: ports }, ports);
  const all = [engine, ...others];
  return {
    post: (message) => engine.post(message),
    onMessage: (listener) => engine.onMessage(listener),
    onFailure: (listener) => {
      for (const worker of all) {
        worker.onError((message, cause) => listener(new CraneError("worker", `the worker failed: ${message}`, { hint: HINT, cause })));
      }
    },
    terminate: () => {
      for (const worker of all) worker.terminate();
    },
  };
}

/** What starts workers of a module here. */
async function starter(url: string | URL | undefined): Promise<() => Spawned> {
  if (typeof Worker === "function") return () => spawnInPage(url);
  const name = "node:worker_threads";
  const threads = (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as typeof import("node:worker_threads");
  return () => spawnInNode(threads, url);
}

/** Where the worker's module is, said so that no bundler takes it for a file of its own: they know the expression below. */
function own(url: string | URL | undefined): URL {
  const [base, module] = [import.meta.url, "./worker/main.js"];
  return new URL(url ?? module, base);
}

function spawnInPage(url: string | URL | undefined): Spawned {
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
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    onMessage: (listener) => worker.addEventListener("message", (event) => listener(event.data as ToPage)),
    onError: (listener) => {
      worker.addEventListener("error", (event) => listener(event.message || "its module could not be loaded"));
      // An answer that cannot be read would be waited for without end.
      worker.addEventListener("messageerror", () => listener("a message of it could not be read"));
    },
    terminate: () => worker.terminate(),
  };
}

function spawnInNode({ Worker }: typeof import("node:worker_threads"), url: string | URL | undefined): Spawned {
  const worker = new Worker(own(url));
  // An idle engine must not keep the process alive; a call under way holds a reference (see `post`).
  const waiting = new Set<number>();
  worker.unref();
  return {
    post: (message, transfer = []) => {
      if ("call" in message) {
        waiting.add(message.id);
        worker.ref();
      }
      worker.postMessage(message, transfer as never);
    },
    onMessage: (listener) =>
      worker.on("message", (message: ToPage) => {
        if (!("event" in message) && waiting.delete(message.id) && waiting.size === 0) worker.unref();
        listener(message);
      }),
    onError: (listener) => {
      worker.on("error", (error: Error) => listener(error.message, error));
      worker.on("messageerror", (error: Error) => listener(`a message of it could not be read: ${error.message}`, error));
      worker.on("exit", (code) => listener(`it ended with code ${code}`));
    },
    terminate: () => void worker.terminate(),
  };
}
