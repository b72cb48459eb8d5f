/**
 * The import by which the engine waits for other workers, and what runs the engine so that it can wait: JavaScript Promise
 * Integration. The bindings import this module, so that nothing of JavaScript lies between the engine and the import.
 */

type Wait = (helper: number) => Promise<void>;

/** What WebAssembly has in engines with JavaScript Promise Integration. */
const { Suspending, promising } = WebAssembly as unknown as {
  Suspending?: new (wait: Wait) => object;
  promising?: (run: () => void) => () => Promise<void>;
};

let listener: Wait | undefined;

/** Says who knows when a helper has answered. */
export function onWait(wait: Wait): void {
  listener = wait;
}

const wait: Wait = async (helper) => listener?.(helper);

/** Suspends the engine until a helper has answered. Where it cannot be suspended there are no helpers. */
export const crane_wait = Suspending === undefined ? wait : new Suspending(wait);

/** An export that may be suspended. */
export function suspendable(run: () => void): () => void | Promise<void> {
  return promising === undefined ? run : promising(run);
}
