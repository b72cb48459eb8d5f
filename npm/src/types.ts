/** The shapes that a caller meets: OpenAI's where OpenAI has one. */
import type { CraneError } from "./errors.js";

/** One message of a conversation. */
export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
  /** A name that the chat template may show. */
  name?: string;
}

/**
 * Where a model's bytes come from:
 *
 * - a name on the Hub, `org/name`, `org/name:file.gguf` or `org/name:Q4_K_M`, each with `@revision` where wanted;
 * - the `id` of a stored model;
 * - the URL of a `.gguf` file;
 * - a `File` (or its handle), `Blob`, `ArrayBuffer` or view of one (`Uint8Array`, Node's `Buffer`) that is a `.gguf` file;
 * - the files of a checkpoint: a list, a folder's handle, or an object of names and any of the above.
 */
export type ModelSource =
  | string
  | URL
  | ArrayBuffer
  | ArrayBufferView
  | Blob
  | readonly File[]
  | FileList
  | FileSystemFileHandle
  | FileSystemDirectoryHandle
  | { readonly [name: string]: string | URL | ArrayBuffer | ArrayBufferView | Blob };

/** Numbers about a pull or a load that is under way. */
export interface Progress {
  /**
   * `download` while bytes arrive, `copy` while files of this machine are stored, `verify` while what an earlier try left
   * is summed up, `build` while the model is made.
   */
  phase: "download" | "copy" | "verify" | "build";
  /** The file that is being worked on. */
  file: string;
  /** Bytes of all files so far, those of an earlier try included. */
  loaded: number;
  /** Bytes of all files; `undefined` while a server has not said. */
  total: number | undefined;
  /** The mean speed of this phase; bytes of an earlier try do not count. */
  bytesPerSecond: number;
}

/** Options of `crane.pull`. */
export interface PullOptions {
  /** What to call files that have no address; the file's or folder's own name by default. Their id is `local:NAME`. */
  name?: string;
  /** The SHA-256 that a single file must have, in hexadecimal; the Hub's own sums are compared anyway. */
  sha256?: string;
  /** Stops the pull; what has come is kept, and a later pull goes on from there. */
  signal?: AbortSignal;
  /** Called with numbers, about 20 times a second. */
  onProgress?: (progress: Progress) => void;
}

/** Types to which dense matrices can be quantised while a model is loaded. */
export type Quantization = "q8_0" | "q4_0" | "q4_k" | "q5_k" | "q6_k";

/** Options of `crane.load`. */
export interface LoadOptions {
  /** The most tokens of prompt and answer together; the model's own length by default. */
  context?: number;
  /** Quantises dense matrices tensor by tensor while they are read; as they are stored by default. */
  quantize?: Quantization;
  /** Whether a model from the network is kept in the store, where there is one; `true` by default. */
  store?: boolean;
  /** Stops the load. */
  signal?: AbortSignal;
  /** Called with numbers, about 20 times a second. */
  onProgress?: (progress: Progress) => void;
  /**
   * Called when the model cannot be stored (`quota_exceeded`, `io`) and is loaded into memory instead; by default the console is told.
   * The next load fetches it again.
   */
  onWarning?: (warning: CraneError) => void;
}

/** Options of `crane.loadSpeech` and `crane.load("hibari")`. */
export type SpeechLoadOptions = Omit<LoadOptions, "context">;

/** Options of `crane.loadEmbedder`. */
export type EmbedderLoadOptions = Omit<LoadOptions, "context">;

/** How a text's hidden states become one vector: their mean, the last token's, or the first one's, which stands for the text. */
export type Pooling = "mean" | "last" | "cls";

/** What was loaded of a model that makes vectors. */
export interface EmbedderInfo {
  /** The checkpoint's architecture, such as `BERT`. */
  architecture: string;
  /** The number of weights. */
  parameters: number;
  /** The weights' size in memory. */
  weightBytes: number;
  /** Numbers of a vector. */
  dimensions: number;
  /** The most tokens of a text. */
  maxTokens: number;
  /** How vectors are made if `pooling` does not say it: as the model's authors do. */
  pooling: Pooling;
  /** The instructions that products with quantised weights use: "SIMD128" or "relaxed SIMD". */
  instructionSet: string;
}

/** Options of `embedder.embed`. */
export interface EmbedOptions {
  /** Another way to make a vector than the model's authors chose. */
  pooling?: Pooling;
  /** Cuts texts that are too long, which are refused else. */
  truncate?: boolean;
  /** Stops the work. */
  signal?: AbortSignal;
}

/** Bytes that a speech model takes of WebAssembly's memory, known from the heads of its files. */
export interface SpeechMemory {
  /** Weights of the language model, quantised if that was asked for; 0 for hibari. */
  languageModel: number;
  /** What makes the sound: a codec's weights, or at most those of hibari. */
  codec: number;
  /** Keys and values of the longest piece of text with its speech. */
  cache: number;
}

/** What was loaded of a speech model. */
export interface SpeechInfo {
  /** Samples a second. */
  sampleRate: number;
  /** The voices whose weights are there. */
  voices: string[];
  /** The voice that speaks if none is named. */
  defaultVoice: string;
  /** What it takes of memory. */
  memory: SpeechMemory;
}

/** Options of `tts.speak`. */
export interface SpeakOptions {
  /** One of `tts.info.voices`. */
  voice?: string;
  /** From 0.5 (slow) to 2 (fast), exactly with hibari, in five steps with Spark-TTS; Orpheus takes 1 alone, the default. */
  speed?: number;
  /** Chooses the noise in breath and fricatives, and the tokens of a language model; the same seed gives the same samples, natively too. */
  seed?: number;
  /** Is told the characters that the voice has no sounds for and leaves out, such as those of Chinese, before what they stand in is said. */
  onLeftOut?: (characters: string) => void;
  /** Stops the voice. */
  signal?: AbortSignal;
}

/** A text that is being read aloud: pieces of samples, mono, about -0.5 to 0.5, as they are made. */
export interface Speech extends AsyncGenerator<Float32Array, void, undefined> {
  /** Samples a second. */
  readonly sampleRate: number;
  /**
   * Plays what has not been taken from the loop yet, on a context of its own or on yours, and resolves when it has been
   * heard. Browsers play sound only after the user has touched the page.
   */
  play(context?: AudioContext, options?: PlayOptions): Promise<Playback>;
}

/** What can be seen of a text while it is played. */
export interface PlayOptions {
  /** Called with each piece as it is made, some time before it is heard. */
  onSamples?: (samples: Float32Array) => void;
  /** Called with the seconds that have been heard, some 50 times a second. */
  onTime?: (seconds: number) => void;
}

/** How a text was played. */
export interface Playback {
  /** Samples of the voice that were played. */
  samples: number;
  /** Blocks of the output that the voice was too slow for. */
  underruns: number;
}

/** A model in the store, whole or begun. */
export interface StoredModel {
  /** What `crane.load` takes: the name on the Hub, the URL, or `local:NAME`. */
  id: string;
  /** The commit on the Hub that it is of. */
  commit?: string;
  /** Its files, with their sizes in bytes once a server has said them. */
  files: { name: string; size: number | undefined }[];
  /** Bytes that are stored. */
  storedBytes: number;
  /** Bytes of the whole model; `undefined` while a server has not said. */
  totalBytes: number | undefined;
  /** Whether all of it is there; what is not whole is gone on with by `crane.pull`. */
  complete: boolean;
}

/** What this browser, or this Node, offers to the engine. */
export interface Capabilities {
  /** Whether WebAssembly has 128-bit vectors; without them there is no engine. */
  simd: boolean;
  /** Whether it has relaxed SIMD. */
  relaxedSimd: boolean;
  /** Whether it has shared memory and atomics, and this page may use them. */
  threads: boolean;
  /** How many threads the engine runs on. */
  threadCount: number;
  /** Whether the page is isolated from other origins (COOP and COEP headers), on which shared memory depends. */
  crossOriginIsolated: boolean;
  /** How the engine runs, and why so: which build of it on one thread, or how several share its work. */
  tier: { name: "simd128" | "relaxed-simd" | "threads" | "shards" | "custom"; reason: string };
  /** How much a model may take. */
  memory: {
    /** The most that WebAssembly's 32-bit addresses reach. */
    wasmLimitBytes: number;
    /** What the machine has, as roughly as the browser says it; `undefined` where it does not. */
    deviceBytes: number | undefined;
  };
  /** Where models stay between visits. */
  storage: {
    /** Where models are kept: in the origin's private file system, in a folder of the disk, or nowhere. */
    kind: "opfs" | "disk" | "none";
    /** Why there is no storage. */
    reason?: string;
    /** Bytes in use and at most, as they were when the engine started; `undefined` where that is not said. */
    usageBytes: number | undefined;
    quotaBytes: number | undefined;
  };
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

/** A JSON schema: draft 2020-12 and before, with `$ref` inside the schema. */
export type JsonSchema = Readonly<Record<string, unknown>>;

/** The form that an answer must have: only tokens are drawn that can be continued to a text of it. */
export interface FormOptions {
  /**
   * Any text, any JSON object, or JSON of a schema, whose keys come in the order of its `properties`. The model is held to
   * the form, not told of it: the prompt should say what is wanted.
   */
  response_format?:
    | { type: "text" }
    | { type: "json_object" }
    | { type: "json_schema"; json_schema: { name?: string; description?: string; schema: JsonSchema; strict?: boolean | null } }
    | null;
  /** A grammar in Lark's notation, a regular expression for the whole answer, or a JSON schema. */
  grammar?: string | { type: "lark" | "regex"; value: string } | { type: "json"; value: JsonSchema } | null;
}

/** Options of `llm.chat(text)`. */
export interface AskOptions extends SamplingOptions, FormOptions {
  /** What the model is told before the question. */
  system?: string;
  /** Called with each piece of the answer as it comes. */
  onText?: (text: string) => void;
  /** Stops the answer. */
  signal?: AbortSignal;
}

/** The body of a chat completion. */
export interface ChatParams extends SamplingOptions, FormOptions {
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
