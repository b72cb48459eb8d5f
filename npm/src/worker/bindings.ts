/** The JavaScript side of the build of the engine that runs in this worker. */
import * as single from "../../wasm/crane_wasm.js";
import * as threaded from "../../wasm/crane_wasm_threads.js";

/** What a build exports; they differ in their start alone. */
export type Bindings = Pick<typeof single, "Checksum" | "FileSet" | "Model" | "Speaker" | "reportPanics">;

let chosen: Bindings = single;

/** The build's exports, for use after `startAlone` or `startTeam`. */
export function bindings(): Bindings {
  return chosen;
}

/** Starts a build whose memory is its own. */
export async function startAlone(source: Response | Uint8Array<ArrayBuffer>): Promise<WebAssembly.Memory> {
  chosen = single;
  return (await single.default({ module_or_path: source })).memory;
}

/** Starts the build whose memory is shared, as its first instance or, with `memory`, as a further one. */
export async function startShared(module: WebAssembly.Module, memory?: WebAssembly.Memory): Promise<WebAssembly.Memory> {
  chosen = threaded;
  const wasm = await threaded.default({ module_or_path: module, thread_stack_size: STACK, ...(memory === undefined ? {} : { memory }) });
  return wasm.memory;
}

/** Bytes of a further instance's stack: loops keep their sums there and nothing large. */
const STACK = 256 * 1024;

export const { abandonLoop, serveLoops, shareLoops } = threaded;
