/** The engine's module: where it comes from, and how it is compiled for several instances. */
import { CraneError } from "../errors.js";
import { readBytes } from "./read_bytes.js";

/** The module as a response to compile while it streams in, or its bytes where `fetch` cannot read files. */
export async function moduleSource(wasmUrl: string): Promise<Response | Uint8Array<ArrayBuffer>> {
  if (wasmUrl.startsWith("file:")) return readBytes(wasmUrl);
  let response: Response;
  try {
    response = await fetch(wasmUrl);
  } catch (cause) {
    throw new CraneError("worker", `the engine ${wasmUrl} could not be fetched: ${String(cause)}`, { hint: "check wasmUrl", cause });
  }
  if (!response.ok) {
    throw new CraneError("worker", `the engine ${wasmUrl} could not be fetched: status ${response.status}`, { hint: "check wasmUrl" });
  }
  return response;
}

/** Compiles a module that several workers make instances of. */
export function compile(source: Response | Uint8Array<ArrayBuffer>): Promise<WebAssembly.Module> {
  return source instanceof Uint8Array ? WebAssembly.compile(source) : WebAssembly.compileStreaming(source);
}
