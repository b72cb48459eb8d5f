/** Generations of one model, one at a time: later ones wait their turn. */
import type { Channel } from "./channel.js";
import { CraneError } from "./errors.js";
import { eventsOf } from "./event_stream.js";
import type { Calls, GenerationEnd, GenerationRequest, Piece } from "./protocol.js";
import { linked } from "./signals.js";
import { Turns } from "./turns.js";

/** A prompt in ids or as a conversation. */
export type Prompt = Calls["generate"]["params"]["prompt"];

/** Runs generations of one model. */
export class Generations {
  readonly #channel: Channel;
  readonly #model: number;
  readonly #checkAlive: () => void;
  readonly #stop = new AbortController();
  readonly #turns = new Turns();

  constructor(channel: Channel, model: number, checkAlive: () => void) {
    this.#channel = channel;
    this.#model = model;
    this.#checkAlive = checkAlive;
  }

  /** Stops what runs and what waits. */
  stopAll(): void {
    this.#stop.abort(new CraneError("disposed", "the model was disposed"));
  }

  /** Starts when it is first asked for a piece; returns how it ended. Leaving the loop stops the worker. */
  async *run(prompt: Prompt, request: GenerationRequest, signal: AbortSignal | undefined): AsyncGenerator<Piece, GenerationEnd, undefined> {
    this.#checkAlive();
    const stop = linked(signal, this.#stop.signal);
    try {
      const turn = await this.#turns.take(stop.signal);
      return yield* eventsOf(this.#channel, "generate", { model: this.#model, prompt, request }, stop.signal, turn);
    } finally {
      stop.release();
    }
  }
}
