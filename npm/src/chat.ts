/** OpenAI's chat completions over a loaded model. */
import type { Generations } from "./generations.js";
import { checkChat, checkOptions, TABLES } from "./options.js";
import type { GenerationEnd, Piece } from "./protocol.js";
import type {
  AskOptions,
  ChatCompletion,
  ChatCompletionChunk,
  ChatMessage,
  ChatParams,
  ChatParamsStreaming,
  ChatParamsWhole,
  RequestOptions,
} from "./types.js";

/** `llm.chat`: asks one question, or, named as in OpenAI's client, answers conversations. */
export interface Chat {
  /** Answers one question, without what was said before, and gives the whole text. */
  (text: string, options?: AskOptions): Promise<string>;
  /** As in OpenAI's client. */
  readonly completions: Completions;
}

/** Makes `llm.chat` of a model. */
export function chatOf(generations: Generations, model: string): Chat {
  const completions = new Completions(generations, model);
  const ask = async (text: string, options: AskOptions = {}): Promise<string> => {
    const { system, onText, signal, ...sampling } = checkOptions("chat", options, TABLES.ask) as AskOptions;
    const messages: ChatMessage[] = [...(system === undefined ? [] : [{ role: "system" as const, content: system }]), { role: "user", content: text }];
    const { request } = checkChat({ messages, ...sampling });
    const { content } = await answer(generations.run({ messages }, request, signal), onText);
    return content;
  };
  return Object.assign(ask, { completions });
}

/** `llm.chat.completions`. */
export class Completions {
  readonly #generations: Generations;
  readonly #model: string;

  /** @internal */
  constructor(generations: Generations, model: string) {
    this.#generations = generations;
    this.#model = model;
  }

  /**
   * Answers a conversation: with `stream: true` as an async iterable of chunks, else as one completion. Leaving the
   * loop over the chunks, or aborting `signal`, stops the answer. The conversation's common beginning with the one
   * before is not computed again.
   */
  create(params: ChatParamsStreaming, options?: RequestOptions): Promise<AsyncIterableIterator<ChatCompletionChunk>>;
  create(params: ChatParamsWhole, options?: RequestOptions): Promise<ChatCompletion>;
  create(params: ChatParams, options?: RequestOptions): Promise<ChatCompletion | AsyncIterableIterator<ChatCompletionChunk>>;
  async create(params: ChatParams, options: RequestOptions = {}): Promise<ChatCompletion | AsyncIterableIterator<ChatCompletionChunk>> {
    const { messages, request, stream, includeUsage } = checkChat(params);
    checkOptions("chat.completions.create", options, TABLES.request);
    const pieces = this.#generations.run({ messages }, request, options.signal);
    const head = {
      id: `chatcmpl-${randomHex()}`,
      created: Math.floor(Date.now() / 1000),
      model: this.#model,
    };
    return stream ? chunks(pieces, head, includeUsage) : whole(pieces, head);
  }
}

/** Not `crypto.randomUUID`: that exists only in secure contexts. */
function randomHex(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

type Head = Pick<ChatCompletion, "id" | "created" | "model">;
type Pieces = AsyncGenerator<Piece, GenerationEnd, undefined>;

async function* chunks(pieces: Pieces, head: Head, includeUsage: boolean): AsyncGenerator<ChatCompletionChunk, void, undefined> {
  const chunk = (delta: ChatCompletionChunk["choices"][0]["delta"], end?: GenerationEnd): ChatCompletionChunk => ({
    ...head,
    object: "chat.completion.chunk",
    choices: [{ index: 0, delta, finish_reason: end?.finishReason ?? null, logprobs: null }],
    ...(end ? { timings: end.timings } : {}),
  });
  try {
    let first = true;
    for (;;) {
      const next = await pieces.next();
      if (first) yield chunk({ role: "assistant", content: "" });
      first = false;
      if (next.done) {
        yield chunk({}, next.value);
        if (includeUsage) yield { ...head, object: "chat.completion.chunk", choices: [], usage: next.value.usage };
        return;
      }
      if (next.value.text !== "") yield chunk({ content: next.value.text });
    }
  } finally {
    await pieces.return(undefined as never);
  }
}

async function whole(pieces: Pieces, head: Head): Promise<ChatCompletion> {
  const { content, end: { finishReason, usage, timings } } = await answer(pieces);
  return {
    ...head,
    object: "chat.completion",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: finishReason, logprobs: null }],
    usage,
    timings,
  };
}

async function answer(pieces: Pieces, onText: (text: string) => void = () => {}): Promise<{ content: string; end: GenerationEnd }> {
  let content = "";
  try {
    for (;;) {
      const next = await pieces.next();
      if (next.done) return { content, end: next.value };
      content += next.value.text;
      if (next.value.text !== "") onText(next.value.text);
    }
  } finally {
    // `onText` may throw: the engine must not go on for nobody.
    await pieces.return(undefined as never);
  }
}
