/** A file in memory, for downloads that are not stored. It is written from front to back. */
import { CraneError } from "../errors.js";
import type { WritableFile } from "./folder.js";

/** Keeps the pieces as they came: one buffer that grows would have to be copied each time. */
export class MemoryFile implements WritableFile {
  #pieces: { offset: number; bytes: Uint8Array }[] = [];
  #size = 0;

  size(): number {
    return this.#size;
  }

  read(offset: number, length: number): Uint8Array {
    const out = new Uint8Array(length);
    let at = this.#pieceAt(offset);
    for (let have = 0; have < length; at++) {
      const piece = this.#pieces[at];
      if (!piece) throw new CraneError("io", `${length} bytes were asked for at ${offset} of ${this.#size}`);
      const part = piece.bytes.subarray(offset + have - piece.offset).subarray(0, length - have);
      out.set(part, have);
      have += part.length;
    }
    return out;
  }

  write(bytes: Uint8Array, offset: number): void {
    if (offset !== this.#size) throw new CraneError("internal", `a write at ${offset} of a file of ${this.#size} bytes`);
    if (bytes.length === 0) return;
    this.#pieces.push({ offset, bytes });
    this.#size += bytes.length;
  }

  truncate(size: number): void {
    if (size !== 0) throw new CraneError("internal", "a file in memory is only emptied");
    this.#pieces = [];
    this.#size = 0;
  }

  flush(): void {}

  close(): void {
    this.truncate(0);
  }

  /** The number of the piece that holds a byte. */
  #pieceAt(offset: number): number {
    let [low, high] = [0, this.#pieces.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#pieces[middle]?.offset ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return Math.max(low, 0);
  }
}
