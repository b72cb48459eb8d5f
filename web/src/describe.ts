/** Failures in words. */
import { CraneError } from "crane-wasm";

/** An error as a person reads it. */
export function describe(error: unknown): string {
  if (error instanceof CraneError) return error.hint ? `${error.message} — ${error.hint}.` : error.message;
  return String(error);
}
