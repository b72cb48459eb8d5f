/** Which failures end the engine: after them its memory is in no known state, and every further call would be a guess. */
import { CraneError } from "../errors.js";

/** What browsers and Node say when calls are nested more deeply than the stack holds. */
const OVERFLOW = /call stack size|too much recursion|stack overflow/i;

/** What the page is to do: an engine does not come back. */
const HINT = "call Crane.create() again and load the model anew (what is stored is not fetched again)";

/**
 * The error for the page if `thrown` ended the engine, else `undefined`. `panic` is what the engine said last, if it panicked.
 *
 * A trap is one; so is a stack that overflowed, which browsers throw as an error like any other: the engine was stopped in the middle of its work.
 */
export function crashOf(thrown: unknown, panic: string | undefined): CraneError | undefined {
  if (isOverflow(thrown)) {
    return new CraneError("crashed", `the engine stopped: its stack overflowed (${said(thrown)})`, {
      hint: `${HINT}; what was asked for (a grammar, a schema, a pattern, a file of the model) is nested too deeply: make it simpler`,
      cause: thrown,
    });
  }
  if (!(thrown instanceof WebAssembly.RuntimeError)) return undefined;
  const why = panic === undefined ? `${said(thrown)}; no reason was named, so memory ran out` : panic;
  const advice = panic === undefined ? "load a smaller model, or with a smaller context" : "if the same call stops it again, leave that call out";
  return new CraneError("crashed", `the engine stopped: ${why}`, { hint: `${HINT}; ${advice}`, cause: thrown });
}

/** Overflows are told by their text: Chromium and Safari throw a RangeError, Firefox an InternalError. What the engine itself refuses has a code. */
function isOverflow(thrown: unknown): boolean {
  return thrown instanceof Error && !("code" in thrown) && OVERFLOW.test(thrown.message);
}

function said(thrown: Error | unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
