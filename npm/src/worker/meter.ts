/** Counts bytes and reports them as numbers, often enough for a progress bar. */
import type { LoadProgress } from "../types.js";

/** Milliseconds between reports. */
const INTERVAL = 50;

/** One phase of a load. */
export class Meter {
  readonly #phase: LoadProgress["phase"];
  readonly #report: (progress: LoadProgress) => void;
  readonly #sizes = new Map<string, number | undefined>();
  readonly #start = performance.now();
  #last = 0;
  #loaded = 0;

  constructor(phase: LoadProgress["phase"], report: (progress: LoadProgress) => void) {
    this.#phase = phase;
    this.#report = report;
  }

  /** A file of this many bytes will be read; `undefined` if that is not known. */
  expect(file: string, size: number | undefined): void {
    this.#sizes.set(file, size);
    this.#tell(file);
  }

  /** Bytes of a file were read. */
  add(file: string, bytes: number): void {
    this.#loaded += bytes;
    const total = this.#total();
    if (performance.now() - this.#last >= INTERVAL || (total !== undefined && this.#loaded >= total)) this.#tell(file);
  }

  #total(): number | undefined {
    let total = 0;
    for (const size of this.#sizes.values()) {
      if (size === undefined) return undefined;
      total += size;
    }
    return total;
  }

  #tell(file: string): void {
    this.#last = performance.now();
    const seconds = (this.#last - this.#start) / 1000;
    const total = this.#total();
    this.#report({
      phase: this.#phase,
      file,
      // A file may be read more than once: its header while its format is found out.
      loaded: total === undefined ? this.#loaded : Math.min(this.#loaded, total),
      total,
      bytesPerSecond: seconds > 0 ? this.#loaded / seconds : 0,
    });
  }
}
