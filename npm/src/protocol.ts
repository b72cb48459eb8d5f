/**
 * What page and worker say to each other.
 *
 * The page sends a request with a number; the worker answers that number with events and then exactly one
 * result or error. Two notes go beside requests: `abort` stops one, `ack` says how many events were consumed,
 * so that a generation does not run ahead of its reader.
 */
import type { ErrorMessage } from "./errors.js";
import type { HubId } from "./hub_id.js";
import type { Sharing } from "./tiers.js";
import type { Capabilities, ChatMessage, EmbedderInfo, EmbedOptions, FinishReason, ModelInfo, Progress, Quantization, SpeechInfo, StoredModel, Timings, Usage } from "./types.js";

/** How many pieces a generation may be ahead of its reader. */
export const WINDOW = 32;

/** A file of a model: its name and where its bytes are (an absolute URL if a string). */
export interface ModelFile {
  name: string;
  source: string | Blob | ArrayBuffer;
}

/** Where a model is, and the id under which the store keeps it, if it may. */
export type Place =
  | { kind: "hub"; hub: HubId; id: string }
  | { kind: "files"; files: ModelFile[]; id?: string }
  | { kind: "stored"; id: string };

/** What the worker is started with. */
export interface Settings {
  wasmUrl: string;
  /** How many workers run the engine. */
  threads: number;
  /** How several of them share its work: over one memory, with the build for that, or each with rows of the model's matrices. */
  sharing: Sharing;
  /** The address of the Hub, without a slash at the end. */
  hubUrl: string;
  hubToken?: string;
  retries: number;
  /** The folder of the store, in Node. */
  cacheDir?: string;
}

/** The form of an answer, as the engine spells it. */
export type GrammarRequest = { type: "json_object" } | { type: "json_schema"; value: object } | { type: "regex" | "lark"; value: string };

/** Sampling and stopping, as the engine spells it; fields that are left out have the checkpoint's own value. */
export interface GenerationRequest {
  max_tokens?: number;
  temperature?: number;
  top_p?: number;
  top_k?: number;
  min_p?: number;
  seed?: number;
  stop?: string[];
  presence_penalty?: number;
  frequency_penalty?: number;
  repetition_penalty?: number;
  typical_p?: number;
  penalty_last_n?: number;
  logit_bias?: Record<string, number>;
  ignore_eos?: boolean;
  grammar?: GrammarRequest;
}

/** One step's output: the text that became complete and the token that was drawn. */
export interface Piece {
  text: string;
  id?: number;
}

/** What is told of a load: numbers, and what went wrong that it goes on without. */
export type LoadEvent = Progress | { warning: ErrorMessage };

/** How a generation ended. */
export interface GenerationEnd {
  finishReason: FinishReason;
  usage: Usage;
  timings: Timings;
}

/** Every request: its parameters, the events that may come before its result, its result. */
export interface Calls {
  init: { params: Settings; event: never; result: Capabilities["storage"] };
  pull: { params: { place: Place; sha256?: string }; event: Progress; result: StoredModel };
  load: {
    params: { place: Place; label: string; context?: number; quantize?: Quantization; store: boolean };
    event: LoadEvent;
    result: { model: number; info: ModelInfo };
  };
  loadSpeech: { params: { place: Place; label: string; quantize?: Quantization; store: boolean }; event: LoadEvent; result: { model: number; info: SpeechInfo } };
  loadEmbedder: { params: { place: Place; label: string; quantize?: Quantization; store: boolean }; event: LoadEvent; result: { model: number; info: EmbedderInfo } };
  embed: { params: { model: number; texts: string[] } & Omit<EmbedOptions, "signal">; event: never; result: Float32Array[] };
  speak: { params: { model: number; text: string; voice?: string; speed?: number; seed?: number }; event: Float32Array | string; result: null };
  list: { params: Record<string, never>; event: never; result: StoredModel[] };
  remove: { params: { id: string }; event: never; result: boolean };
  verify: { params: { id: string }; event: Progress; result: null };
  tokenize: { params: { model: number; text: string; addSpecialTokens: boolean }; event: never; result: number[] };
  detokenize: { params: { model: number; ids: number[]; skipSpecialTokens: boolean }; event: never; result: string };
  tokenizeChat: { params: { model: number; messages: ChatMessage[] }; event: never; result: number[] };
  generate: {
    params: { model: number; prompt: { ids: number[] } | { messages: ChatMessage[] }; request: GenerationRequest };
    event: Piece;
    result: GenerationEnd;
  };
  memory: { params: Record<string, never>; event: never; result: { wasmBytes: number } };
  unload: { params: { model: number }; event: never; result: null };
}

export type CallName = keyof Calls;

/** From page to worker. */
export type ToWorker =
  | { [N in CallName]: { id: number; call: N; params: Calls[N]["params"] } }[CallName]
  | { id: number; note: "abort" }
  | { id: number; note: "ack"; count: number };

/** From worker to page. */
export type ToPage =
  | { id: number; event: Calls[CallName]["event"] }
  | { id: number; result: Calls[CallName]["result"] }
  | { id: number; error: ErrorMessage };
