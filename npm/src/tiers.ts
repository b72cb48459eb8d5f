/** Which build of the engine this machine's WebAssembly runs, the fastest first. */

/** What sets the builds apart. */
export type Tier = "threads" | "relaxed-simd" | "simd128";

/**
 * A function that is one `i32x4.relaxed_dot_i8x16_i7x16_add_s`. An engine that does not know the instruction
 * refuses a module that holds it anywhere, so the question has to be asked before the engine is fetched.
 */
const RELAXED_DOT = Uint8Array.of(
  ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00], // "\0asm", version 1
  ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00], // one type: () -> ()
  ...[0x03, 0x02, 0x01, 0x00], // one function of it
  ...[0x0a, 0x14, 0x01, 0x12, 0x00], // its body, without locals
  ...[0x41, 0x00, 0xfd, 0x0f], // i8x16.splat(0), three times
  ...[0x41, 0x00, 0xfd, 0x0f],
  ...[0x41, 0x00, 0xfd, 0x0f],
  ...[0xfd, 0x93, 0x02, 0x1a, 0x0b], // the instruction, drop, end
);

/** How several workers share the work: over one memory, or each with rows of the model's matrices in a memory of its own. */
export type Sharing = "memory" | "shards";

/** Cores that a page takes unless it is told to take more: beyond them memory is the limit, not arithmetic. */
const MOST_CORES = 8;

/** The same of workers that take messages: each costs the one that sends them. */
const MOST_SHARDS = 4;

/** Whether the engine knows relaxed SIMD. */
export function knowsRelaxedSimd(): boolean {
  return WebAssembly.validate(RELAXED_DOT);
}

/** Whether memory can be handed from one worker to another: a page must be isolated for that. */
export function sharesMemory(): boolean {
  if (typeof SharedArrayBuffer !== "function") return false;
  try {
    return new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer instanceof SharedArrayBuffer;
  } catch {
    return false;
  }
}

/** Whether WebAssembly can wait for messages of other workers: JavaScript Promise Integration. */
export function suspends(): boolean {
  return "Suspending" in WebAssembly && "promising" in WebAssembly;
}

/** How several workers can share the work here, if they can. */
export function sharing(): Sharing | undefined {
  if (sharesMemory() && knowsRelaxedSimd()) return "memory";
  return typeof Worker === "function" && suspends() ? "shards" : undefined;
}

/** How many threads run where nobody says it: the cores of a page whose workers can share the work, and one elsewhere. */
export function ownThreads(): number {
  const how = sharing();
  if (how === undefined || typeof Worker !== "function") return 1;
  return Math.min(navigator.hardwareConcurrency, how === "memory" ? MOST_CORES : MOST_SHARDS);
}

/** The fastest build that runs here on so many threads. */
export function fastestTier(threads: number): Tier {
  if (threads > 1 && sharing() === "memory") return "threads";
  return knowsRelaxedSimd() ? "relaxed-simd" : "simd128";
}

/** Where the package keeps a build. */
export function moduleOf(tier: Tier): URL {
  // Bundlers find the files by these very expressions.
  switch (tier) {
    case "threads":
      return new URL("../wasm/crane_wasm_threads_bg.wasm", import.meta.url);
    case "relaxed-simd":
      return new URL("../wasm/crane_wasm_relaxed_bg.wasm", import.meta.url);
    case "simd128":
      return new URL("../wasm/crane_wasm_bg.wasm", import.meta.url);
  }
}
