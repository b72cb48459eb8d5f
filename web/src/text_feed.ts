/** A text that somebody writes and somebody else reads at their own pace. */
export class TextFeed implements AsyncIterable<string> {
  #bits: string[] = [];
  #ended = false;
  #wake: () => void = () => {};

  /** Adds to the text. */
  add(bit: string): void {
    this.#bits.push(bit);
    this.#wake();
  }

  /** Says that nothing follows. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    for (;;) {
      const bit = this.#bits.shift();
      if (bit !== undefined) yield bit;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
