/** The one error type of the package. */

/** Every way in which a call can fail. */
export type CraneErrorCode =
  /** A file or model that was asked for does not exist. */
  | "not_found"
  /** A file exists but its bytes are not what its format demands. */
  | "invalid_file"
  /** The checkpoint or an option is sound, but this version cannot use it. */
  | "unsupported"
  /** A tensor does not fit the model that its config describes. */
  | "invalid_weights"
  /** An option has a value that cannot act, or does not exist. */
  | "invalid_argument"
  /** The prompt is longer than the context that the model was loaded with. */
  | "context_overflow"
  /** Memory that is needed cannot be had. */
  | "out_of_memory"
  /** The chat template could not be parsed or rendered. */
  | "template"
  /** The tokenizer could not be built, or refused a text or an id. */
  | "tokenizer"
  /** The browser (or the operating system) refused to read a file. */
  | "io"
  /** A download failed on the way; a later pull goes on from there. */
  | "network"
  /** The server demands a token, or that the model's terms are accepted. */
  | "access_denied"
  /** Bytes are not those whose checksum is known; they were thrown away. */
  | "corrupt"
  /** The origin's storage, or the disk, has no room for the model. */
  | "quota_exceeded"
  /** The model cannot fit into the memory that WebAssembly can have. */
  | "too_large"
  /** An `AbortSignal` stopped the call. */
  | "aborted"
  /** The model or the engine was disposed before the call. */
  | "disposed"
  /** The worker or the WebAssembly module could not be started. */
  | "worker"
  /** The engine trapped; it is gone, make a new one. */
  | "crashed"
  /** The engine's own fault. */
  | "internal";

/** Why a model does not fit, in bytes. */
export interface MemoryNeed {
  /** What it would take, at least. */
  needed: number;
  /** What there is for it. */
  available: number;
}

/** What crosses between worker and page instead of an error object. */
export interface ErrorMessage {
  code: CraneErrorCode;
  message: string;
  hint?: string;
  memory?: MemoryNeed;
}

/** A failure with a code to branch on and, where there is one, a hint at what to do next. */
export class CraneError extends Error {
  /** Always `CraneError`. */
  override readonly name = "CraneError";
  /** What failed, to branch on. */
  readonly code: CraneErrorCode;
  /** What to do next, where that is known. */
  readonly hint: string | undefined;
  /** With `too_large`, the bytes that were compared. */
  readonly memory: MemoryNeed | undefined;

  /** @internal */
  constructor(code: CraneErrorCode, message: string, options: { hint?: string | undefined; cause?: unknown; memory?: MemoryNeed | undefined } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.hint = options.hint;
    this.memory = options.memory;
  }

  /**
   * Takes an error out of a message.
   *
   * @internal
   */
  static from(message: ErrorMessage): CraneError {
    return new CraneError(message.code, message.message, { hint: message.hint, memory: message.memory });
  }
}

/** The error of a call that `signal` stopped; if the package itself did it, the signal's reason says why. */
export function aborted(signal: AbortSignal): CraneError {
  if (signal.reason instanceof CraneError) return signal.reason;
  return new CraneError("aborted", "the call was aborted", { cause: signal.reason });
}

/** Puts whatever was thrown into a message; errors of the engine carry their own `code` and `hint`. */
export function toMessage(thrown: unknown): ErrorMessage {
  if (!(thrown instanceof Error)) return { code: "internal", message: typeof thrown === "string" ? thrown : shown(thrown) };
  const { code, hint } = thrown as { code?: unknown; hint?: unknown };
  const memory = thrown instanceof CraneError ? thrown.memory : undefined;
  return {
    code: isCode(code) ? code : "internal",
    message: thrown.message,
    ...(typeof hint === "string" ? { hint } : {}),
    ...(memory === undefined ? {} : { memory }),
  };
}

/** A value as a message shows it, whatever it is; an object without a prototype has no text of its own. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  try {
    return String(value);
  } catch {
    return "an object without a text";
  }
}

const CODES: ReadonlySet<string> = new Set<CraneErrorCode>([
  "not_found", "invalid_file", "unsupported", "invalid_weights", "invalid_argument", "context_overflow",
  "out_of_memory", "template", "tokenizer", "io", "network", "access_denied", "corrupt", "quota_exceeded", "too_large",
  "aborted", "disposed", "worker", "crashed", "internal",
]);

function isCode(code: unknown): code is CraneErrorCode {
  return typeof code === "string" && CODES.has(code);
}
