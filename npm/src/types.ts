/** The shapes that a caller meets: OpenAI's where OpenAI has one. */

/** One message of a conversation. */
export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
  /** A name that the chat template may show. */
  name?: string;
}

/** Where a model's bytes come from: a URL, a buffer, a `Blob` or `File`; or several named files. */
export type ModelSource =
  | string
  | URL
  | ArrayBuffer
  | Blob
  | readonly File[]
  | { readonly [name: string]: string | URL | ArrayBuffer | Blob };

/** Numbers about a load that is under way. */
export interface LoadProgress {
  /** `download` while bytes arrive, `build` while the model is made of them. */
  phase: "download" | "build";
  /** The file that is being worked on. */
  file: string;
  /** Bytes of all files so far. */
  loaded: number;
  /** Bytes of all files; `undefined` while a server has not said. */
  total: number | undefined;
  /** The mean speed of this phase. */
  bytesPerSecond: number;
}

/** Options of `crane.load`. */
export interface LoadOptions {
  /** The most tokens of prompt and answer together; the model's own length by default. */
  context?: number;
  /** Stops the load. */
  signal?: AbortSignal;
  /** Called with numbers, about 20 times a second. */
  onProgress?: (progress: LoadProgress) => void;
}

/** What was loaded. */
export interface ModelInfo {
  /** The checkpoint's architecture, such as `llama`. */
  architecture: string;
  /** The number of weights. */
  parameters: number;
  /** The weights' size in memory. */
  weightBytes: number;
  /** The weights' types, such as `q4_1`. */
  precision: string;
  /** The number of tokens that the model knows. */
  vocabularySize: number;
  /** The most tokens of prompt and answer together. */
  contextLength: number;
  /** Whether the checkpoint brings a chat template. */
  hasChatTemplate: boolean;
  /** The instructions that products with quantised weights use: "SIMD128" or "relaxed SIMD". */
  instructionSet: string;
}

/** Sampling and stopping. What is left out has the value that the checkpoint's authors chose. */
export interface SamplingOptions {
  /** The most tokens of the answer. */
  max_tokens?: number | null;
  /** 0 takes the likeliest token each time. */
  temperature?: number | null;
  /** Draw from the likeliest tokens that together have this probability. */
  top_p?: number | null;
  /** Draw from this many of the likeliest tokens. */
  top_k?: number | null;
  /** Draw from tokens at least this probable, relative to the likeliest. */
  min_p?: number | null;
  /** The same seed gives the same answer, natively too. */
  seed?: number | null;
  /** Texts that end the answer; they are not part of it. */
  stop?: string | string[] | null;
  /** Makes tokens that occurred less likely. */
  presence_penalty?: number | null;
  /** Makes tokens less likely for each time they occurred. */
  frequency_penalty?: number | null;
  /** Divides the odds of tokens that occurred. */
  repetition_penalty?: number | null;
  /** Draw from the tokens of typical surprise that together have this probability. */
  typical_p?: number | null;
  /** How many of the latest tokens the penalties look at; all of them if left out. */
  penalty_last_n?: number | null;
  /** Added to the logits of single tokens, by id. */
  logit_bias?: Readonly<Record<string, number>> | null;
}

/** Options of `llm.generate`. */
export interface GenerateOptions extends SamplingOptions {
  /** Goes on past the end-of-sequence token. */
  ignore_eos?: boolean;
  /** Stops the generation. */
  signal?: AbortSignal;
}

/** The body of a chat completion. */
export interface ChatParams extends SamplingOptions {
  messages: ChatMessage[];
  stream?: boolean | null;
  /** OpenAI's newer name of `max_tokens`. */
  max_completion_tokens?: number | null;
  /** `include_usage` adds a last chunk with the token counts. */
  stream_options?: { include_usage?: boolean } | null;
  /** Only one answer is made: 1 or left out. */
  n?: 1 | null;
}

/** A streaming body. */
export type ChatParamsStreaming = ChatParams & { stream: true };

/** A body that wants the whole answer at once. */
export type ChatParamsWhole = ChatParams & { stream?: false | null };

/** The second argument of a call, as in OpenAI's client. */
export interface RequestOptions {
  /** Stops the call. */
  signal?: AbortSignal;
}

/** Why an answer ended: at its end or a stop text, or at `max_tokens` or the end of the context. */
export type FinishReason = "stop" | "length";

/** Token counts. */
export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  /** `cached_tokens` were already in the model's cache from an earlier turn. */
  prompt_tokens_details: { cached_tokens: number };
}

/** Speeds of one answer; Crane's addition to OpenAI's shape. */
export interface Timings {
  /** Milliseconds until the first token was drawn. */
  time_to_first_token_ms: number;
  /** Prompt tokens a second, those that were cached left out. */
  prefill_tokens_per_second: number;
  /** Tokens a second after the first. */
  decode_tokens_per_second: number;
}

/** A whole answer. */
export interface ChatCompletion {
  id: string;
  object: "chat.completion";
  created: number;
  model: string;
  choices: [{ index: 0; message: { role: "assistant"; content: string }; finish_reason: FinishReason; logprobs: null }];
  usage: Usage;
  timings: Timings;
}

/** A piece of an answer. */
export interface ChatCompletionChunk {
  id: string;
  object: "chat.completion.chunk";
  created: number;
  model: string;
  choices: {
    index: 0;
    delta: { role?: "assistant"; content?: string };
    finish_reason: FinishReason | null;
    logprobs: null;
  }[];
  /** In the last chunk, if `stream_options.include_usage` asked for it. */
  usage?: Usage;
  /** In the chunk that has the finish reason. */
  timings?: Timings;
}
