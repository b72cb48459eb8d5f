/** Failures in words. */
import { CraneError } from "crane-wasm";

/** Whether the engine is gone, so that a new one has to be made. */
export function isGone(error: unknown): boolean {
  return error instanceof CraneError && (error.code === "crashed" || error.code === "worker");
}

/** An error as a person reads it. */
export function describe(error: unknown): string {
  if (error instanceof CraneError) return error.hint ? `${error.message} — ${error.hint}.` : error.message;
  return String(error);
}
