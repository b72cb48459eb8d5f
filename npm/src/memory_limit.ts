/** Which models cannot fit into the memory of WebAssembly, said before they are downloaded. */
import { CraneError } from "./errors.js";
import type { Quantization } from "./types.js";

/** The most that 32-bit addresses reach. */
export const WASM_LIMIT = 4 * 1024 ** 3;

/** What the engine needs beside the weights, at the very least: its code's data, a small cache, one tensor. */
export const BESIDE = 128 * 1024 ** 2;

/** Bits of a weight, scales included: the layouts are those of ggml's blocks. */
const BITS: Record<Quantization, number> = { q8_0: 8.5, q4_0: 4.5, q4_k: 4.5, q5_k: 5.5, q6_k: 6.5625 };

const WIDEST = 32;

/**
 * Refuses files that are sure not to fit. Safetensors that will be quantised are counted as if they were of f32, the
 * widest type: whether they are narrower is not known before they are read. `quantize` is "any" where it is not chosen yet.
 */
export function checkFits(label: string, files: readonly { name: string; size?: number | undefined }[], quantize: Quantization | "any" | undefined): void {
  const sum = (end: RegExp): number => files.reduce((bytes, { name, size }) => bytes + (end.test(name) ? (size ?? 0) : 0), 0);
  const bits = quantize === undefined ? WIDEST : BITS[quantize === "any" ? "q4_0" : quantize];
  const needed = Math.ceil(sum(/\.gguf$/i) + (sum(/\.safetensors$/i) * bits) / WIDEST);
  if (needed + BESIDE <= WASM_LIMIT) return;
  throw new CraneError("too_large", `${label}: its weights need at least ${needed} bytes, and WebAssembly's 32-bit memory has ${WASM_LIMIT}`, {
    memory: { needed: needed + BESIDE, available: WASM_LIMIT },
    hint: quantize === undefined && sum(/\.safetensors$/i) > 0 ? "pass quantize to load, or choose a smaller model" : "choose a smaller model or a narrower quantisation",
  });
}
