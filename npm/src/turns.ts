/** Work on one model, one piece at a time: what comes later waits. */
import { aborted } from "./errors.js";

/** Hands out turns in the order in which they are asked for. */
export class Turns {
  #last: Promise<void> = Promise.resolve();

  /** Waits until the turns before this one are over; returns the function that ends it. An abort gives the turn up. */
  async take(stop: AbortSignal): Promise<() => void> {
    const before = this.#last;
    let free: () => void = () => {};
    this.#last = new Promise((resolve) => (free = resolve));
    const waiting = new AbortController();
    const stopped = new Promise<void>((resolve) => stop.addEventListener("abort", () => resolve(), { once: true, signal: waiting.signal }));
    await Promise.race([before, stopped]);
    // The signal outlives this turn: what listens to it must not pile up.
    waiting.abort();
    if (stop.aborted) {
      void before.then(free);
      throw aborted(stop);
    }
    return free;
  }
}
