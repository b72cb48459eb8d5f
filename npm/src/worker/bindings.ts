/** The JavaScript side of the build of the engine that runs in this worker. */
import * as single from "../../wasm/crane_wasm.js";
import * as threaded from "../../wasm/crane_wasm_threads.js";
import { suspendable } from "./suspension.js";

/** What a build exports; they differ in their start alone. */
export type Bindings = Pick<typeof single, "Checksum" | "Embedder" | "FileSet" | "Model" | "Speaker" | "reportPanics" | "taskResult">;

let chosen: Bindings = single;

/** The build's export that makes the call which was prepared. */
let run: () => void | Promise<void> = () => {};

/** The build's exports, for use after `startAlone` or `startTeam`. */
export function bindings(): Bindings {
  return chosen;
}

/**
 * Makes the call that was prepared and returns its result. It may wait for other workers; until it returns, the instance takes
 * other calls, but no second one of these.
 */
export async function runTask<T>(): Promise<T> {
  await run();
  return chosen.taskResult() as T;
}

/** Starts a build whose memory is its own; with `waits` so that its tasks can wait for other workers. */
export async function startAlone(module: WebAssembly.Module, waits = false): Promise<WebAssembly.Memory> {
  chosen = single;
  const wasm = await single.default({ module_or_path: module });
  run = waits ? suspendable(wasm.runTask) : wasm.runTask;
  return wasm.memory;
}

/** Starts the build whose memory is shared, as its first instance or, with `memory`, as a further one. */
export async function startShared(module: WebAssembly.Module, memory?: WebAssembly.Memory): Promise<WebAssembly.Memory> {
  chosen = threaded;
  const wasm = await threaded.default({ module_or_path: module, thread_stack_size: STACK, ...(memory === undefined ? {} : { memory }) });
  run = wasm.runTask;
  return wasm.memory;
}

/** Bytes of a further instance's stack: loops keep their sums there and nothing large. */
const STACK = 256 * 1024;

export const { keepShard } = single;

export const { abandonLoop, serveLoops, shareLoops } = threaded;
