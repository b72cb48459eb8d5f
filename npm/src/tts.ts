/** A loaded voice. */
import type { Channel } from "./channel.js";
import { sentencesOf } from "./clauses.js";
import { CraneError } from "./errors.js";
import { eventsOf } from "./event_stream.js";
import { checkOptions, checkSpeak, checkText, TABLES } from "./options.js";
import { play } from "./playback.js";
import { linked, untilAborted } from "./signals.js";
import type { PlayOptions, SpeakOptions, Speech, SpeechInfo } from "./types.js";
import { Turns } from "./turns.js";

/** A loaded speech model: text to sound. */
export class Tts {
  /** What was loaded. */
  readonly info: SpeechInfo;

  readonly #channel: Channel;
  readonly #model: number;
  readonly #stop = new AbortController();
  readonly #turns = new Turns();

  /** @internal */
  constructor(channel: Channel, model: number, info: SpeechInfo) {
    this.#channel = channel;
    this.#model = model;
    this.info = info;
  }

  /**
   * Reads a text aloud: an async iterable of samples (mono, `info.sampleRate` a second) that come while they are made.
   * A text that is itself being written, such as a language model's answer, is read sentence by sentence. Leaving the
   * loop stops the voice; `.play(context)` plays the samples instead of giving them.
   *
   * ```ts
   * const tts = await crane.load("hibari");
   * await tts.speak("Hello there.").play();
   * ```
   */
  speak(text: string | AsyncIterable<string>, options?: SpeakOptions): Speech {
    checkText(text);
    const { signal, ...how } = checkSpeak(options);
    if (this.#stop.signal.aborted) throw new CraneError("disposed", "the voice was disposed");
    const pieces = this.#pieces(text, how, signal);
    return Object.assign(pieces, {
      sampleRate: this.info.sampleRate,
      play: async (context?: AudioContext, seen: PlayOptions = {}) => {
        checkOptions("play", seen, TABLES.play);
        const stop = linked(signal, this.#stop.signal);
        return play(pieces, this.info.sampleRate, context, stop.signal, seen).finally(stop.release);
      },
    });
  }

  /** Frees the voice; what it reads is stopped. */
  async dispose(): Promise<void> {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort(new CraneError("disposed", "the voice was disposed"));
    await this.#channel.call("unload", { model: this.#model });
  }

  async *#pieces(
    text: string | AsyncIterable<string>,
    how: Omit<SpeakOptions, "signal">,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Float32Array, void, undefined> {
    const stop = linked(signal, this.#stop.signal);
    try {
      if (typeof text === "string") yield* this.#say(text, how, stop.signal);
      else yield* this.#sayAll(text, how, stop.signal);
    } finally {
      stop.release();
    }
  }

  async *#sayAll(text: AsyncIterable<string>, how: Omit<SpeakOptions, "signal">, stop: AbortSignal): AsyncGenerator<Float32Array, void, undefined> {
    let said = 0;
    for await (const sentence of sentencesOf(untilAborted(text, stop))) {
      try {
        yield* this.#say(sentence, how, stop);
        said += 1;
      } catch (error) {
        // A sentence of marks alone has no sound; the text around it has.
        if (!(error instanceof CraneError && error.code === "invalid_argument" && error.message.startsWith("text:"))) throw error;
      }
    }
    if (said === 0) throw new CraneError("invalid_argument", "text: there was nothing in it that the voice can say");
  }

  async *#say(text: string, how: Omit<SpeakOptions, "signal">, stop: AbortSignal): AsyncGenerator<Float32Array, void, undefined> {
    const { onLeftOut, ...options } = how;
    const turn = await this.#turns.take(stop);
    for await (const event of eventsOf(this.#channel, "speak", { model: this.#model, text, ...options }, stop, turn)) {
      if (typeof event === "string") onLeftOut?.(event);
      else yield event;
    }
  }
}
