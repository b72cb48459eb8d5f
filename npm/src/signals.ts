/** Waiting that an `AbortSignal` ends, without what newer browsers alone have (`AbortSignal.any`, `throwIfAborted`). */
import { aborted } from "./errors.js";

/** A signal that aborts with the first of several, for its reason; `release` lets go of them, which may live longer. */
export function linked(...signals: (AbortSignal | undefined)[]): { signal: AbortSignal; release: () => void } {
  const controller = new AbortController();
  const listeners: (() => void)[] = [];
  const release = (): void => listeners.splice(0).forEach((remove) => remove());
  for (const signal of signals) {
    if (signal === undefined) continue;
    const stop = (): void => {
      release();
      controller.abort(signal.reason);
    };
    if (signal.aborted) {
      stop();
      break;
    }
    signal.addEventListener("abort", stop);
    listeners.push(() => signal.removeEventListener("abort", stop));
  }
  return { signal: controller.signal, release };
}

/** Throws the abort if there was one. */
export function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw aborted(signal);
}

/** What a promise gives, or the abort if that comes first. */
export async function unlessAborted<T>(promise: PromiseLike<T>, signal: AbortSignal): Promise<T> {
  let stop: () => void = () => {};
  const abort = new Promise<never>((_, reject) => {
    stop = () => reject(aborted(signal));
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop);
  });
  try {
    return await Promise.race([abort, promise]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

/** What an iterable gives, until the abort: whoever makes the values may never come back. */
export async function* untilAborted<T>(values: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T, void, undefined> {
  const iterator = values[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await unlessAborted(Promise.resolve(iterator.next()), signal);
      if (next.done) return;
      yield next.value;
    }
  } finally {
    // Not waited for: what is in the middle of its work does not answer.
    void Promise.resolve(iterator.return?.()).catch(() => {});
  }
}
