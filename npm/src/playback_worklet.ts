/**
 * The sound thread's end of a voice: it takes pieces, and gives every block of the output its samples, at the output's
 * rate. A rate that is not the voice's is met by a windowed sinc (Smith, "Digital Audio Resampling") over the joins of
 * pieces, so that they cannot be heard.
 */

declare const sampleRate: number;
declare class AudioWorkletProcessor {
  readonly port: MessagePort;
}
declare function registerProcessor(name: string, processor: new (options: { processorOptions: { rate: number } }) => AudioWorkletProcessor): void;

type Message = { samples: Float32Array } | { end: true } | { stop: true };

/** Samples on each side that a sample between two others is made of. */
const REACH = 16;
/** Places between two samples for which weights are kept. */
const PHASES = 512;
/** Seconds that are to wait before the first is played: a voice is seldom late by more. */
const CUSHION = 0.05;
/** Blocks of 128 samples between two reports. */
const BLOCKS = 8;

class Playback extends AudioWorkletProcessor {
  readonly #rate: number;
  readonly #weights: Float32Array;
  /** Samples that wait, with `REACH` that have been played before them. */
  #samples = new Float32Array(REACH);
  /** The place of the next output sample in `#samples`. */
  #place = REACH;
  #started = false;
  #ended = false;
  #stopped = false;
  #played = false;
  #underruns = 0;
  #blocks = 0;
  /** Samples that were let go of before `#samples`, less those that stand before the first. */
  #gone = -REACH;

  constructor({ processorOptions: { rate } }: { processorOptions: { rate: number } }) {
    super();
    this.#rate = rate;
    this.#weights = weightsFor(Math.min(1, sampleRate / rate));
    this.port.onmessage = ({ data }: MessageEvent<Message>) => this.#receive(data);
  }

  process(_inputs: unknown, outputs: Float32Array[][]): boolean {
    const out = outputs[0]?.[0];
    if (this.#stopped || !out) return false;
    const waiting = (this.#samples.length - this.#place) / this.#rate;
    this.#started ||= this.#ended || waiting >= CUSHION;
    if (this.#started && !this.#played) this.#fill(out);
    if (this.#played || ++this.#blocks % BLOCKS === 0) {
      this.port.postMessage({ time: (this.#gone + this.#place) / this.#rate, waiting: Math.max(0, waiting), underruns: this.#underruns, played: this.#played });
    }
    return !this.#played;
  }

  #fill(out: Float32Array): void {
    const step = this.#rate / sampleRate;
    // At the end silence follows, so the last samples have all their neighbours.
    const last = this.#samples.length - (this.#ended ? 0 : REACH + 1);
    for (let index = 0; index < out.length; index++) {
      if (this.#place >= last) {
        if (this.#ended) this.#played = true;
        else this.#underruns += 1;
        break;
      }
      out[index] = this.#between(this.#place);
      this.#place += step;
    }
    const done = Math.floor(this.#place) - REACH;
    if (done > this.#rate / 4) {
      this.#samples = this.#samples.slice(done);
      this.#place -= done;
      this.#gone += done;
    }
  }

  #between(place: number): number {
    const whole = Math.floor(place);
    const phase = Math.round((place - whole) * PHASES);
    if (phase === 0 && this.#rate <= sampleRate) return this.#samples[whole] ?? 0;
    let sum = 0;
    for (let tap = 0; tap < 2 * REACH; tap++) {
      sum += (this.#samples[whole - REACH + 1 + tap] ?? 0) * (this.#weights[phase * 2 * REACH + tap] ?? 0);
    }
    return sum;
  }

  #receive(message: Message): void {
    if ("samples" in message) {
      const joined = new Float32Array(this.#samples.length + message.samples.length);
      joined.set(this.#samples);
      joined.set(message.samples, this.#samples.length);
      this.#samples = joined;
    } else if ("end" in message) this.#ended = true;
    else this.#stopped = true;
  }
}

/** Weights of `2 * REACH` neighbours for each phase; `cutoff` is the part of the band that the output can hold. */
function weightsFor(cutoff: number): Float32Array {
  const weights = new Float32Array((PHASES + 1) * 2 * REACH);
  for (let phase = 0; phase <= PHASES; phase++) {
    for (let tap = 0; tap < 2 * REACH; tap++) {
      const x = tap - REACH + 1 - phase / PHASES;
      const angle = Math.PI * x * cutoff;
      const sinc = x === 0 ? 1 : Math.sin(angle) / angle;
      const hann = 0.5 + 0.5 * Math.cos((Math.PI * x) / REACH);
      weights[phase * 2 * REACH + tap] = Math.abs(x) >= REACH ? 0 : cutoff * sinc * hann;
    }
  }
  return weights;
}

registerProcessor("crane-playback", Playback);
