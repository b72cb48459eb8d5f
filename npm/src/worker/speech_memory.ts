/** Whether a speech model fits: planned from the heads of its files, refused with numbers before a weight is read. */
import { CraneError } from "../errors.js";
import { BESIDE, WASM_LIMIT } from "../memory_limit.js";
import type { Quantization, SpeechMemory } from "../types.js";

/** From the widest to the narrowest. */
const TYPES: readonly Quantization[] = ["q8_0", "q6_k", "q5_k", "q4_k"];

/** All bytes of a plan. */
export function total({ languageModel, codec, cache }: SpeechMemory): number {
  return languageModel + codec + cache;
}

/**
 * What the model will take, as `plan` finds it for a type; `held` are the bytes of the models that are loaded.
 * Throws `too_large`, with the type that would fit if one does.
 */
export function checkSpeech(label: string, quantize: Quantization | undefined, held: number, plan: (quantize: Quantization | undefined) => SpeechMemory): SpeechMemory {
  const available = Math.max(0, WASM_LIMIT - BESIDE - held);
  const wanted = plan(quantize);
  const needed = total(wanted);
  if (needed <= available) return wanted;
  const parts = `${mebibytes(wanted.languageModel)} of language model${quantize === undefined ? "" : ` as ${quantize}`}, ${mebibytes(wanted.codec)} of codec, ${mebibytes(wanted.cache)} of cache`;
  const free = `${mebibytes(available)} of WebAssembly's ${mebibytes(WASM_LIMIT)} are free`;
  throw new CraneError("too_large", `${label}: it needs ${mebibytes(needed)} (${parts}), and ${free}`, {
    memory: { needed, available },
    hint: advice(available, wanted, held, plan),
  });
}

function advice(available: number, wanted: SpeechMemory, held: number, plan: (quantize: Quantization) => SpeechMemory): string {
  if (wanted.languageModel > 0) {
    for (const type of TYPES) {
      const needed = total(plan(type));
      if (needed <= available && needed < total(wanted)) return `pass quantize: "${type}", with which it needs ${mebibytes(needed)}`;
    }
  }
  return held > 0 ? "dispose of the models that are loaded, or choose a smaller one" : "choose a smaller model";
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 1024 ** 2)} MiB`;
}
