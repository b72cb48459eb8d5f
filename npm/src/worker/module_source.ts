/** The engine's module: fetched and compiled once, however many workers make instances of it. */
import { CraneError, shown } from "../errors.js";
import { readBytes } from "./read_bytes.js";
import { answered, bytesOf, chunksOf, lost, Transient } from "./request.js";

/** Every module begins so: "\0asm". */
const MAGIC = [0x00, 0x61, 0x73, 0x6d];

/** Fetches and compiles the engine: while it streams in where the server calls it by its type, else as a whole. */
export async function compiled(wasmUrl: string, signal: AbortSignal): Promise<WebAssembly.Module> {
  const source = await fetched(wasmUrl, signal);
  const type = source instanceof Uint8Array ? undefined : source.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase();
  try {
    if (!(source instanceof Uint8Array) && type === "application/wasm" && typeof WebAssembly.compileStreaming === "function") return await streamed(source, signal);
    const bytes = source instanceof Uint8Array ? source : await bytesOf(source, signal);
    if (!MAGIC.every((byte, index) => bytes[index] === byte)) throw notTheEngine(wasmUrl, type);
    return await WebAssembly.compile(bytes);
  } catch (cause) {
    if (cause instanceof CraneError) throw cause;
    if (cause instanceof Transient) throw stalled(wasmUrl, cause);
    throw new CraneError("worker", `the engine ${wasmUrl} could not be compiled: ${shown(cause)}`, { hint: adviceOn(cause), cause });
  }
}

/** Compiles the engine while it comes in. What comes is watched in a copy: the browser keeps what it has compiled of the answer itself, and of no other. */
async function streamed(response: Response, signal: AbortSignal): Promise<WebAssembly.Module> {
  const watched = response.clone();
  const module = WebAssembly.compileStreaming(response);
  // Until it is waited for.
  module.catch(() => {});
  for await (const _ of chunksOf(watched, signal));
  return module;
}

const stalled = (wasmUrl: string, cause: Transient): CraneError => lost(`the engine ${wasmUrl}`, cause, "call Crane.create() again");

/** The module as a response, or its bytes where `fetch` cannot read files. */
async function fetched(wasmUrl: string, signal: AbortSignal): Promise<Response | Uint8Array<ArrayBuffer>> {
  const missing = (why: string, cause?: unknown): CraneError =>
    new CraneError("worker", `the engine ${wasmUrl} could not be fetched: ${why}`, {
      hint: "the wasm folder of the package must lie beside its dist folder, or wasmUrl must name the file; another origin must allow this page (CORS), and a CSP must allow connect-src",
      cause,
    });
  if (wasmUrl.startsWith("file:")) {
    return readBytes(wasmUrl).catch((cause: unknown) => {
      throw missing(shown(cause), cause);
    });
  }
  let response: Response;
  try {
    response = await answered(wasmUrl, {}, signal);
  } catch (cause) {
    throw cause instanceof Transient ? stalled(wasmUrl, cause) : missing(shown(cause), cause);
  }
  if (!response.ok) throw missing(`status ${response.status}`);
  return response;
}

function notTheEngine(wasmUrl: string, type: string | undefined): CraneError {
  const what = type === "text/html" ? "a page (text/html)" : `something else (${type ?? "of no type"})`;
  return new CraneError("worker", `the engine ${wasmUrl} is no WebAssembly: the server answered with ${what}`, {
    hint: "some servers answer a missing file with a page: copy the package's wasm folder to where this address points, or name it with wasmUrl",
  });
}

function adviceOn(cause: unknown): string {
  const said = shown(cause);
  if (/content security policy|\bCSP\b|unsafe-eval/i.test(said)) return "the page's Content-Security-Policy forbids WebAssembly: allow script-src 'wasm-unsafe-eval'";
  if (cause instanceof RangeError || /memory/i.test(said)) return "there is too little memory: close other tabs";
  return "the file may be damaged, or wasmUrl names a build that this browser does not run; wasm/crane_wasm_bg.wasm runs in every browser with WebAssembly SIMD";
}
