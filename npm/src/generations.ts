/** Generations of one model, one at a time: later ones wait their turn. */
import type { Channel } from "./channel.js";
import { aborted, CraneError } from "./errors.js";
import { WINDOW, type Calls, type GenerationEnd, type GenerationRequest, type Piece } from "./protocol.js";

/** A prompt in ids or as a conversation. */
export type Prompt = Calls["generate"]["params"]["prompt"];

/** Runs generations of one model. */
export class Generations {
  readonly #channel: Channel;
  readonly #model: number;
  readonly #checkAlive: () => void;
  readonly #stop = new AbortController();
  #turn: Promise<void> = Promise.resolve();

  constructor(channel: Channel, model: number, checkAlive: () => void) {
    this.#channel = channel;
    this.#model = model;
    this.#checkAlive = checkAlive;
  }

  /** Stops what runs and what waits. */
  stopAll(): void {
    this.#stop.abort(new CraneError("disposed", "the model was disposed"));
  }

  /**
   * Starts when it is first asked for a piece; returns how it ended. Leaving the loop stops the worker. The worker
   * is at most a window of pieces ahead of the reader.
   */
  async *run(prompt: Prompt, request: GenerationRequest, signal: AbortSignal | undefined): AsyncGenerator<Piece, GenerationEnd, undefined> {
    this.#checkAlive();
    const stop = signal ? AbortSignal.any([signal, this.#stop.signal]) : this.#stop.signal;
    const free = await this.#takeTurn(stop);
    const ready: Piece[] = [];
    let wake: () => void = () => {};
    let call = 0;
    let end: GenerationEnd | undefined;
    let failure: unknown;
    try {
      this.#channel
        .call(
          "generate",
          { model: this.#model, prompt, request },
          {
            signal: stop,
            onId: (id) => (call = id),
            onEvent: (piece) => {
              ready.push(piece);
              wake();
            },
          },
        )
        .then((result) => (end = result), (error: unknown) => (failure = error ?? new CraneError("internal", "the call failed")))
        .finally(() => wake());
      let consumed = 0;
      for (;;) {
        if (failure !== undefined) throw failure;
        const piece = ready.shift();
        if (piece !== undefined) {
          yield piece;
          if (++consumed >= WINDOW / 2) {
            this.#channel.acknowledge(call, consumed);
            consumed = 0;
          }
        } else if (end !== undefined) {
          return end;
        } else {
          await new Promise<void>((resolve) => (wake = resolve));
        }
      }
    } finally {
      this.#channel.abandon(call);
      free();
    }
  }

  /** Waits until the generations before this one are over. */
  async #takeTurn(stop: AbortSignal): Promise<() => void> {
    const before = this.#turn;
    let free: () => void = () => {};
    this.#turn = new Promise((resolve) => (free = resolve));
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
