/** Counts bytes and reports them as numbers, often enough for a progress bar. */
import type { Progress } from "../types.js";

/** Milliseconds between reports. */
const INTERVAL = 50;

/** One phase of a pull or a load. */
export class Meter {
  readonly #phase: Progress["phase"];
  readonly #report: (progress: Progress) => void;
  readonly #files = new Map<string, { size: number | undefined; loaded: number }>();
  #start: number | undefined;
  #last = 0;
  /** Bytes of this phase alone: what lay there before has no speed. */
  #moved = 0;

  constructor(phase: Progress["phase"], report: (progress: Progress) => void) {
    this.#phase = phase;
    this.#report = report;
  }

  /** All files that will be read, and how much of each is there already. */
  plan(files: readonly { name: string; size: number | undefined; loaded: number }[]): void {
    for (const { name, size, loaded } of files) this.#files.set(name, { size, loaded });
    const last = files.at(-1);
    if (last) this.#tell(last.name);
  }

  /** A file of this many bytes will be read; `undefined` if that is not known. */
  expect(file: string, size: number | undefined): void {
    const known = this.#files.get(file);
    if (known && known.size === size) return;
    this.#files.set(file, { size, loaded: known?.loaded ?? 0 });
    this.#tell(file);
  }

  /** So many bytes of a file are there already. */
  skip(file: string, loaded: number): void {
    const known = this.#files.get(file);
    if (!known || known.loaded === loaded) return;
    known.loaded = loaded;
    this.#tell(file);
  }

  /** Bytes of a file were read. */
  add(file: string, bytes: number): void {
    const known = this.#files.get(file);
    if (known) known.loaded += bytes;
    else this.#files.set(file, { size: undefined, loaded: bytes });
    this.#start ??= performance.now();
    this.#moved += bytes;
    const { loaded, total } = this.#sums();
    if (performance.now() - this.#last >= INTERVAL || (total !== undefined && loaded >= total)) this.#tell(file);
  }

  #sums(): { loaded: number; total: number | undefined } {
    const sums: { loaded: number; total: number | undefined } = { loaded: 0, total: 0 };
    for (const { size, loaded } of this.#files.values()) {
      // A file may be read more than once: its header while its format is found out.
      sums.loaded += size === undefined ? loaded : Math.min(loaded, size);
      sums.total = sums.total === undefined || size === undefined ? undefined : sums.total + size;
    }
    return sums;
  }

  #tell(file: string): void {
    this.#last = performance.now();
    const seconds = (this.#last - (this.#start ?? this.#last)) / 1000;
    this.#report({ phase: this.#phase, file, ...this.#sums(), bytesPerSecond: seconds > 0 ? this.#moved / seconds : 0 });
  }
}
