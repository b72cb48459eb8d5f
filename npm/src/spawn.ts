/** Starts the workers: module `Worker`s in a page, `worker_threads` workers in Node. */
import { CraneError, shown } from "./errors.js";
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

/** Whether this is Node, or what does as if. */
const inNode = (): boolean => typeof process === "object" && typeof process.versions?.node === "string";

/** Refuses a place where no engine can run. */
export function checkPlace(): void {
  if (typeof WebAssembly !== "object") {
    throw new CraneError("unsupported", "there is no WebAssembly here", { hint: "browsers in lockdown or with WebAssembly switched off cannot run the engine" });
  }
  if (typeof Worker === "function" || inNode()) return;
  const serviceWorker = "ServiceWorkerGlobalScope" in globalThis;
  throw new CraneError("unsupported", `the engine needs a worker of its own, and ${serviceWorker ? "a service worker" : "this context"} cannot start one`, {
    hint: serviceWorker
      ? "call Crane.create() in a page; an extension in an offscreen document (chrome.offscreen, reason WORKERS) or a page of its own"
      : "call Crane.create() in a page or in a dedicated worker: few browsers let shared workers start workers",
  });
}

const HINT = "if it had run before, memory ran out: call Crane.create() again and load a smaller model; if it never ran, workerUrl must point at dist/worker/main.js of the package; another origin must allow this page (CORS), and a CSP must allow worker-src blob:";

/** Starts the worker whose module is at `url`, the package's own by default, and so many further ones of it that help it. */
export async function spawn(url: string | URL | undefined, helpers: number): Promise<WorkerPort> {
  const start = await starter(url);
  let all: Spawned[] = [];
  try {
    all = Array.from({ length: 1 + helpers }, start);
  } catch (cause) {
    throw new CraneError("worker", `the worker could not be started: ${shown(cause)}`, { hint: HINT, cause });
  }
  const [engine, ...others] = all as [Spawned, ...Spawned[]];
  const ports = others.map((helper) => {
    const { port1, port2 } = new MessageChannel();
    helper.post({ serve: port2 }, [port2]);
    return port1;
  });
  if (helpers > 0) engine.post({ helpers: ports }, ports);
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

/**
 * The address of a script that imports a module. Chromium starts no module from a blob of a frame that has no origin, and gives each worker of
 * a `data:` address an origin of its own, so that none takes a module from another: there a plain script does it, which keeps what comes
 * too early.
 */
function importing({ href }: URL, plain: boolean): string {
  const name = JSON.stringify(href);
  const late = `const early = []; const keep = ({ data }) => early.push(data); addEventListener("message", keep);
    import(${name}).then(
      () => { removeEventListener("message", keep); for (const data of early) dispatchEvent(new MessageEvent("message", { data })); },
      (error) => setTimeout(() => { throw error; }),
    );`;
  return URL.createObjectURL(new Blob([plain ? late : `import ${name};`], { type: "text/javascript" }));
}

function spawnInPage(url: string | URL | undefined): Spawned {
  const plain = globalThis.origin === "null";
  const options = { type: plain ? "classic" : "module", name: "crane" } as const;
  const there = own(url);
  // A worker's module must be of the page's origin; of another one it can be imported where that allows it (CORS). A sandboxed
  // frame has no origin, and its location says otherwise.
  const foreign = /^http|-extension:$/.test(there.protocol) && globalThis.origin !== undefined && !there.href.startsWith(`${globalThis.origin}/`);
  const bootstrap = foreign ? importing(there, plain) : undefined;
  const worker =
    bootstrap !== undefined
      ? new Worker(/* @vite-ignore */ bootstrap, options)
      : url !== undefined
        ? new Worker(/* @vite-ignore */ url, { type: "module", name: "crane" })
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
