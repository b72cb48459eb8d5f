/** What this browser, or this Node, offers to the engine. */
import { WASM_LIMIT } from "./memory_limit.js";
import type { Settings } from "./protocol.js";
import { knowsRelaxedSimd, sharesMemory, suspends } from "./tiers.js";
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

/** Asks once, when the engine starts; `without` is why there are no threads, where they were tried. */
export function capabilitiesOf(storage: Capabilities["storage"], ownModule: boolean, settings: Pick<Settings, "threads" | "sharing">, without?: unknown): Capabilities {
  const relaxedSimd = knowsRelaxedSimd();
  const crossOriginIsolated = globalThis.crossOriginIsolated === true;
  const deviceGigabytes = (globalThis.navigator as { deviceMemory?: number } | undefined)?.deviceMemory;
  return {
    simd: WebAssembly.validate(SIMD),
    relaxedSimd,
    threads: sharesMemory(),
    threadCount: settings.threads,
    crossOriginIsolated,
    tier: tierOf(ownModule, settings, relaxedSimd, crossOriginIsolated, without),
    memory: { wasmLimitBytes: WASM_LIMIT, deviceBytes: deviceGigabytes === undefined ? undefined : deviceGigabytes * 1024 ** 3 },
    storage,
  };
}

function tierOf(
  ownModule: boolean,
  { threads, sharing }: Pick<Settings, "threads" | "sharing">,
  relaxedSimd: boolean,
  isolated: boolean,
  without: unknown,
): Capabilities["tier"] {
  if (ownModule) return { name: "custom", reason: "wasmUrl named the build" };
  if (threads > 1 && sharing === "shards") {
    return { name: "shards", reason: `the page is not cross-origin isolated, so ${threads} workers share the rows of large matrices, with${relaxedSimd ? "" : "out"} relaxed SIMD` };
  }
  if (threads > 1) return { name: "threads", reason: `memory can be shared: ${threads} threads, with relaxed SIMD` };
  const alone =
    without !== undefined
      ? `threads did not start: ${String(without)}`
      : isolated || suspends()
        ? "one thread was asked for, or there is one core"
        : "the page is not cross-origin isolated and has no JavaScript Promise Integration, so one thread runs";
  if (!relaxedSimd) return { name: "simd128", reason: `relaxed SIMD is not there; ${alone}` };
  return { name: "relaxed-simd", reason: `relaxed SIMD is there; ${alone}` };
}
