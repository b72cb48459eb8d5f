/** Checks of what a caller passes: every name and value acts, or is refused by name. */
import { CraneError, shown } from "./errors.js";
import { grammarOf } from "./form.js";
import type { GenerationRequest } from "./protocol.js";
import type { AskOptions, ChatMessage, ChatParams, EmbedderLoadOptions, EmbedOptions, FormOptions, GenerateOptions, LoadOptions, PlayOptions, PullOptions, SamplingOptions, SpeakOptions, SpeechLoadOptions } from "./types.js";

type Check = (name: string, value: unknown) => void;

function refuse(name: string, reason: string, hint?: string): never {
  throw new CraneError("invalid_argument", `${name}: ${reason}`, { hint });
}

function number(min: number, max: number, whole = false): Check {
  return (name, value) => {
    const sort = whole ? "a whole number" : "a number";
    if (typeof value !== "number" || !(value >= min && value <= max) || (whole && !Number.isInteger(value))) {
      const range = max === Infinity || max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
      refuse(name, `${shown(value)} is not ${sort} ${range}`);
    }
  };
}

const boolean: Check = (name, value) => {
  if (typeof value !== "boolean") refuse(name, `${shown(value)} is neither true nor false`);
};

const stop: Check = (name, value) => {
  const texts = typeof value === "string" ? [value] : value;
  if (!Array.isArray(texts) || !texts.every((text) => typeof text === "string" && text.length > 0)) {
    refuse(name, "a text or a list of texts is wanted, none of them empty");
  }
};

const bias: Check = (name, value) => {
  if (typeof value !== "object" || value === null || Array.isArray(value)) refuse(name, "an object of token ids and numbers is wanted");
  for (const [id, amount] of Object.entries(value)) {
    if (!/^\d{1,9}$/.test(id)) refuse(`${name}[${shown(id)}]`, "it is not a token id");
    number(-1e6, 1e6)(`${name}[${id}]`, amount);
  }
};

const signal: Check = (name, value) => {
  // Not `instanceof`: a signal of another window is one, too.
  if (Object.prototype.toString.call(value) !== "[object AbortSignal]") refuse(name, `${shown(value)} is not an AbortSignal`);
};

const callback: Check = (name, value) => {
  if (typeof value !== "function") refuse(name, `${shown(value)} is not a function`);
};

const text: Check = (name, value) => {
  if (typeof value !== "string") refuse(name, `${shown(value)} is not a text`);
};

const sha256: Check = (name, value) => {
  if (typeof value !== "string" || !/^[0-9a-f]{64}$/.test(value)) refuse(name, `${shown(value)} is not a SHA-256: 64 digits of 0-9 and a-f`);
};

function oneOf(...names: string[]): Check {
  return (name, value) => {
    if (!names.includes(value as string)) refuse(name, `${shown(value)} is none of ${names.join(", ")}`);
  };
}

const SAMPLING: Record<keyof SamplingOptions, Check> = {
  max_tokens: number(1, Number.MAX_SAFE_INTEGER, true),
  temperature: number(0, 100),
  top_p: number(0, 1),
  top_k: number(0, Number.MAX_SAFE_INTEGER, true),
  min_p: number(0, 1),
  seed: number(0, Number.MAX_SAFE_INTEGER, true),
  stop,
  presence_penalty: number(-2, 2),
  frequency_penalty: number(-2, 2),
  repetition_penalty: number(0.01, 100),
  typical_p: number(1e-6, 1),
  penalty_last_n: number(1, Number.MAX_SAFE_INTEGER, true),
  logit_bias: bias,
};

/** Read and checked as a whole, by `grammarOf`. */
const FORM: Record<keyof FormOptions, Check> = { response_format: () => {}, grammar: () => {} };

const CHAT: Record<keyof ChatParams, Check> = {
  ...SAMPLING,
  ...FORM,
  messages: (name, value) => checkMessages(name, value),
  stream: boolean,
  max_completion_tokens: SAMPLING.max_tokens,
  stream_options: (name, value) => checkOptions(name, value, { include_usage: boolean }),
  n: (name, value) => {
    if (value !== 1) refuse(name, `${shown(value)} answers were asked for, only 1 is made`);
  },
};

/** Request fields of OpenAI's that a user may well try, and what to do instead. */
const UNSUPPORTED: Record<string, string> = {
  model: "the model is the one that was loaded",
  logprobs: "log probabilities are not returned yet",
  top_logprobs: "log probabilities are not returned yet",
  tools: "tool calls are not parsed yet",
  tool_choice: "tool calls are not parsed yet",
  functions: "tool calls are not parsed yet",
  signal: "pass it in the second argument: create(body, { signal })",
};

/**
 * Checks a bag of options against its table and returns those that are set: `null` and `undefined` mean that an
 * option is left out.
 */
export function checkOptions(where: string, options: unknown, table: Readonly<Record<string, Check>>): Record<string, unknown> {
  if (options === undefined || options === null) return {};
  if (typeof options !== "object" || Array.isArray(options)) refuse(where, "an object is wanted");
  const set: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    const check = Object.hasOwn(table, name) ? table[name] : undefined;
    if (check === undefined) {
      throw new CraneError("unsupported", `${where}: the option ${shown(name)} is not supported`, {
        hint: Object.hasOwn(UNSUPPORTED, name) ? UNSUPPORTED[name] : `the options are ${Object.keys(table).join(", ")}`,
      });
    }
    if (value === undefined || value === null) continue;
    check(name, value);
    set[name] = value;
  }
  return set;
}

/** Tables of the calls that take options. */
export const TABLES = {
  create: { threads: number(1, 64, true), wasmUrl: urlLike, workerUrl: urlLike, hubUrl: urlLike, hubToken: text, retries: number(0, 100, true), cacheDir: text, hibariUrl: urlLike, signal },
  pull: { name: text, sha256, signal, onProgress: callback } satisfies Record<keyof PullOptions, Check>,
  load: {
    context: number(1, Number.MAX_SAFE_INTEGER, true),
    quantize: oneOf("q8_0", "q4_0", "q4_k", "q5_k", "q6_k"),
    store: boolean,
    signal,
    onProgress: callback,
    onWarning: callback,
  } satisfies Record<keyof LoadOptions, Check>,
  loadSpeech: { quantize: oneOf("q8_0", "q4_0", "q4_k", "q5_k", "q6_k"), store: boolean, signal, onProgress: callback, onWarning: callback } satisfies Record<keyof SpeechLoadOptions, Check>,
  loadEmbedder: { quantize: oneOf("q8_0", "q4_0", "q4_k", "q5_k", "q6_k"), store: boolean, signal, onProgress: callback, onWarning: callback } satisfies Record<keyof EmbedderLoadOptions, Check>,
  embed: { pooling: oneOf("mean", "last", "cls"), truncate: boolean, signal } satisfies Record<keyof EmbedOptions, Check>,
  speak: { voice: text, speed: number(0.5, 2), seed: number(0, Number.MAX_SAFE_INTEGER, true), onLeftOut: callback, signal } satisfies Record<keyof SpeakOptions, Check>,
  play: { onSamples: callback, onTime: callback } satisfies Record<keyof PlayOptions, Check>,
  verify: { signal, onProgress: callback },
  tokenize: { addSpecialTokens: boolean },
  detokenize: { skipSpecialTokens: boolean },
  request: { signal },
  ask: { ...SAMPLING, ...FORM, system: text, onText: callback, signal } satisfies Record<keyof AskOptions, Check>,
  generate: { ...SAMPLING, ignore_eos: boolean, signal } satisfies Record<keyof GenerateOptions, Check>,
  chat: CHAT,
} as const;

function urlLike(name: string, value: unknown): void {
  if (Object.prototype.toString.call(value) !== "[object URL]") text(name, value);
}

const ROLES = ["system", "user", "assistant"];
const MESSAGE = { role: text, content: text, name: text };

function checkMessages(where: string, messages: unknown): asserts messages is ChatMessage[] {
  if (!Array.isArray(messages) || messages.length === 0) refuse(where, "a list of at least one message is wanted");
  messages.forEach((message: unknown, index) => {
    const set = checkOptions(`${where}[${index}]`, message, MESSAGE);
    if (!ROLES.includes(set["role"] as string)) {
      refuse(`${where}[${index}].role`, `${shown(set["role"])} is none of ${ROLES.join(", ")}`);
    }
    if (set["content"] === undefined) refuse(`${where}[${index}].content`, "a text is wanted");
  });
}

/** Checks the messages of a call that takes nothing else. */
export function checkedMessages(messages: ChatMessage[]): ChatMessage[] {
  checkMessages("messages", messages);
  return messages;
}

/** Checks a chat completion's body and takes out what the engine needs. */
export function checkChat(params: ChatParams): { messages: ChatMessage[]; request: GenerationRequest; stream: boolean; includeUsage: boolean } {
  const { messages, stream, stream_options, max_completion_tokens, n: _, response_format, grammar, ...sampling } = checkOptions("chat.completions.create", params, CHAT);
  if (messages === undefined) refuse("messages", "a list of at least one message is wanted");
  if (max_completion_tokens !== undefined) {
    if (sampling["max_tokens"] !== undefined) refuse("max_tokens", "max_completion_tokens says the same; pass one of them");
    sampling["max_tokens"] = max_completion_tokens;
  }
  if (stream_options !== undefined && stream !== true) refuse("stream_options", "it acts only with stream: true");
  const form = grammarOf({ response_format, grammar } as FormOptions);
  return {
    messages: messages as ChatMessage[],
    request: { ...toRequest(sampling), ...(form ? { grammar: form } : {}) },
    stream: stream === true,
    includeUsage: (stream_options as { include_usage?: boolean } | undefined)?.include_usage === true,
  };
}

/** Checks the options of `llm.generate` and takes out what the engine needs. */
export function checkGenerate(options: GenerateOptions | undefined): { request: GenerationRequest; signal: AbortSignal | undefined } {
  const { signal: stopper, ...sampling } = checkOptions("generate", options, TABLES.generate);
  return { request: toRequest(sampling), signal: stopper as AbortSignal | undefined };
}

/** Checks the options of `tts.speak`. */
export function checkSpeak(options: SpeakOptions | undefined): SpeakOptions {
  return checkOptions("speak", options, TABLES.speak) as SpeakOptions;
}

/** Checks what `embedder.embed` is given. */
export function checkEmbed(input: unknown, options: EmbedOptions | undefined): { texts: string[]; how: Omit<EmbedOptions, "signal">; signal: AbortSignal | undefined } {
  const { signal: stopper, ...how } = checkOptions("embed", options, TABLES.embed);
  const texts: unknown[] = Array.isArray(input) ? input : [input];
  texts.forEach((each, index) => text(Array.isArray(input) ? `texts[${index}]` : "text", each));
  return { texts: texts as string[], how, signal: stopper as AbortSignal | undefined };
}

/** Checks a text that is there, or is still being written. */
export function checkText(value: unknown): void {
  const written = typeof value === "object" && value !== null && Symbol.asyncIterator in value;
  if (typeof value !== "string" && !written) refuse("text", `${shown(value)} is neither a text nor an async iterable of texts`);
}

/** Checks a list of token ids. */
export function checkIds(name: string, ids: unknown): number[] {
  const list = ids instanceof Uint32Array ? Array.from(ids) : ids;
  if (!Array.isArray(list)) refuse(name, "a list of token ids is wanted");
  list.forEach((id, index) => number(0, 0xffff_ffff, true)(`${name}[${index}]`, id));
  return list;
}

function toRequest(sampling: Record<string, unknown>): GenerationRequest {
  const stop = sampling["stop"];
  return { ...sampling, ...(typeof stop === "string" ? { stop: [stop] } : {}) } as GenerationRequest;
}
