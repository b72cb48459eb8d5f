/** Work on one model, one piece at a time: what comes later waits. */
import { stopIfAborted, unlessAborted } from "./signals.js";

/** Milliseconds for which a stream may be left alone by its reader while others wait for its model. */
export const PATIENCE = 60_000;

/** The right to use a model. */
export class Turn {
  readonly #end: () => void;
  readonly #wanted: () => boolean;
  #drop: (() => void) | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** @internal */
  constructor(end: () => void, wanted: () => boolean) {
    this.#end = end;
    this.#wanted = wanted;
  }

  /** Ends it: the next one begins. */
  free(): void {
    this.resume();
    this.#end();
  }

  /** The reader has what there is and may not come back: where others wait for too long, `drop` is called and the turn is over. */
  lend(drop: () => void): void {
    this.#drop = drop;
    this.look();
  }

  /** The reader is back. */
  resume(): void {
    this.#drop = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Begins to count when there are others. */
  look(): void {
    const drop = this.#drop;
    if (!drop || !this.#wanted() || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.free();
      drop();
    }, PATIENCE);
    // In Node a timer would keep the process alive.
    (this.#timer as { unref?: () => void }).unref?.();
  }
}

/** Hands out turns in the order in which they are asked for. */
export class Turns {
  #last: Promise<void> = Promise.resolve();
  #current: Turn | undefined;
  #waiting = 0;

  /** Waits until the turns before this one are over. An abort gives the turn up. */
  async take(stop: AbortSignal): Promise<Turn> {
    const before = this.#last;
    let end: () => void = () => {};
    this.#last = new Promise((resolve) => (end = resolve));
    this.#waiting += 1;
    this.#current?.look();
    try {
      await unlessAborted(before, stop);
      stopIfAborted(stop);
    } catch (cause) {
      void before.then(end);
      throw cause;
    } finally {
      this.#waiting -= 1;
    }
    return (this.#current = new Turn(end, () => this.#waiting > 0));
  }
}
