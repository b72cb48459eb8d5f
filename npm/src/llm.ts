/** A loaded model. */
import type { Channel } from "./channel.js";
import { chatOf, type Chat } from "./chat.js";
import { CraneError } from "./errors.js";
import { Generations } from "./generations.js";
import { checkedMessages, checkGenerate, checkIds, checkOptions, TABLES } from "./options.js";
import type { ChatMessage, GenerateOptions, ModelInfo } from "./types.js";

/** A loaded model: chat, plain generation, its tokenizer. */
export class Llm {
  /** `llm.chat(text)` answers one question; `llm.chat.completions.create` is OpenAI's. */
  readonly chat: Chat;
  /** What was loaded. */
  readonly info: ModelInfo;
  /** The file's name. */
  readonly name: string;

  readonly #channel: Channel;
  readonly #model: number;
  readonly #generations: Generations;
  #disposed = false;

  /** @internal */
  constructor(channel: Channel, model: number, name: string, info: ModelInfo) {
    this.#channel = channel;
    this.#model = model;
    this.#generations = new Generations(channel, model, () => this.#checkAlive());
    this.name = name;
    this.info = info;
    this.chat = chatOf(this.#generations, name);
  }

  /**
   * Continues a prompt of token ids; gives the ids of the answer as they are drawn, the end-of-sequence token
   * included. Breaking out of the loop stops the generation.
   */
  generate(ids: readonly number[] | Uint32Array, options?: GenerateOptions): AsyncIterableIterator<number> {
    const prompt = { ids: checkIds("ids", ids) };
    const { request, signal } = checkGenerate(options);
    return idsOf(this.#generations.run(prompt, request, signal));
  }

  /** The token ids of a text; special tokens written in it are recognised. */
  async tokenize(text: string, options: { addSpecialTokens?: boolean } = {}): Promise<number[]> {
    checkOptions("tokenize", options, TABLES.tokenize);
    this.#checkAlive();
    return this.#channel.call("tokenize", { model: this.#model, text, addSpecialTokens: options.addSpecialTokens ?? false });
  }

  /** The text of token ids. */
  async detokenize(ids: readonly number[] | Uint32Array, options: { skipSpecialTokens?: boolean } = {}): Promise<string> {
    checkOptions("detokenize", options, TABLES.detokenize);
    this.#checkAlive();
    return this.#channel.call("detokenize", {
      model: this.#model,
      ids: checkIds("ids", ids),
      skipSpecialTokens: options.skipSpecialTokens ?? false,
    });
  }

  /** The token ids of a conversation, through the model's chat template, up to where the answer begins. */
  async tokenizeChat(messages: ChatMessage[]): Promise<number[]> {
    this.#checkAlive();
    return this.#channel.call("tokenizeChat", { model: this.#model, messages: checkedMessages(messages) });
  }

  /** Frees the model; a generation under way is stopped. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#generations.stopAll();
    await this.#channel.call("unload", { model: this.#model });
  }

  #checkAlive(): void {
    if (this.#disposed) throw new CraneError("disposed", `${this.name} was disposed`);
  }
}

async function* idsOf(pieces: ReturnType<Generations["run"]>): AsyncGenerator<number, void, undefined> {
  for await (const { id } of pieces) if (id !== undefined) yield id;
}
