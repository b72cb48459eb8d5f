/** What this browser, or this Node, offers to the engine. */
import { WASM_LIMIT } from "./memory_limit.js";
import { fastestTier } from "./tiers.js";
import type { Capabilities } from "./types.js";

/** A module whose one function makes a vector. */
const SIMD = module([0x41, 0x00, 0xfd, 0x0f, 0x1a, 0x0b]);

/** A whole module with one function of this body (locals left out) that takes and gives nothing. */
function module(body: number[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.of(
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...[0x01, 0x04, 0x01, 0x60, 0x00, 0x00],
    ...[0x03, 0x02, 0x01, 0x00],
    ...[0x0a, body.length + 3, 0x01, body.length + 1, 0x00, ...body],
  );
}

/** Asks once, when the engine starts. */
export function capabilitiesOf(storage: Capabilities["storage"], ownModule: boolean): Capabilities {
  const relaxedSimd = fastestTier() === "relaxed-simd";
  const crossOriginIsolated = globalThis.crossOriginIsolated === true;
  const deviceGigabytes = (globalThis.navigator as { deviceMemory?: number } | undefined)?.deviceMemory;
  return {
    simd: WebAssembly.validate(SIMD),
    relaxedSimd,
    threads: sharesMemory(),
    crossOriginIsolated,
    tier: ownModule
      ? { name: "custom", reason: "wasmUrl named the build" }
      : relaxedSimd
        ? { name: "relaxed-simd", reason: "relaxed SIMD is there, and its build is the fastest" }
        : { name: "simd128", reason: "relaxed SIMD is not there" },
    memory: { wasmLimitBytes: WASM_LIMIT, deviceBytes: deviceGigabytes === undefined ? undefined : deviceGigabytes * 1024 ** 3 },
    storage,
  };
}

/** Whether memory can be handed from one worker to another: a page must be isolated for that. */
function sharesMemory(): boolean {
  if (typeof SharedArrayBuffer !== "function") return false;
  try {
    return new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true }).buffer instanceof SharedArrayBuffer;
  } catch {
    return false;
  }
}
