/** A loaded model that makes vectors of texts. */
import type { Channel } from "./channel.js";
import { CraneError } from "./errors.js";
import { checkEmbed } from "./options.js";
import type { EmbedderInfo, EmbedOptions } from "./types.js";

/** A model that makes vectors of texts: the nearer two texts are in meaning, the larger the `similarity` of their vectors. */
export class Embedder {
  /** What was loaded. */
  readonly info: EmbedderInfo;

  readonly #channel: Channel;
  readonly #model: number;
  #disposed = false;

  /** @internal */
  constructor(channel: Channel, model: number, info: EmbedderInfo) {
    this.#channel = channel;
    this.#model = model;
    this.info = info;
  }

  /**
   * The vector of a text, or of each of several, of length 1. A text of more than `info.maxTokens` tokens is refused, or cut
   * with `truncate`.
   *
   * ```ts
   * const embedder = await crane.loadEmbedder("sentence-transformers/all-MiniLM-L6-v2");
   * const [question, ...answers] = await embedder.embed(["Where is the station?", "Left of the church.", "At nine."]);
   * const scores = answers.map((answer) => embedder.similarity(question, answer));
   * ```
   */
  embed(text: string, options?: EmbedOptions): Promise<Float32Array>;
  embed(texts: readonly string[], options?: EmbedOptions): Promise<Float32Array[]>;
  async embed(input: string | readonly string[], options?: EmbedOptions): Promise<Float32Array | Float32Array[]> {
    const { texts, how, signal } = checkEmbed(input, options);
    if (this.#disposed) throw new CraneError("disposed", "the model was disposed");
    const vectors = await this.#channel.call("embed", { model: this.#model, texts, ...how }, { signal });
    return typeof input === "string" ? (vectors[0] as Float32Array) : vectors;
  }

  /** The cosine of the angle between two vectors of this model, from -1 to 1. */
  similarity(a: Float32Array, b: Float32Array): number {
    if (a.length !== b.length) throw new CraneError("invalid_argument", `b: it has ${b.length} numbers and a has ${a.length}; compare vectors of one model`);
    return a.reduce((sum, x, index) => sum + x * (b[index] as number), 0);
  }

  /** Frees the model. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#channel.call("unload", { model: this.#model });
  }
}
