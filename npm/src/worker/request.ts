/** One request of the network, its failures told apart: those that may pass, and those that asking again does not help. */
import { CraneError } from "../errors.js";
import { linked, stopIfAborted } from "../signals.js";

/** Milliseconds for which a connection may be silent before it counts as lost. */
const SILENCE = 30_000;

/** A failure that may pass: the same request may succeed a moment later. */
export class Transient extends Error {
  /** Whether no server was reached at all. */
  readonly unreachable: boolean;

  constructor(message: string, unreachable = false) {
    super(message);
    this.unreachable = unreachable;
  }
}

/** Asks for `url`. Every answer that is neither success nor 416 is thrown. */
export async function request(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    // The store is the cache: a second copy in the browser's own would only cost room.
    response = await answered(url, { headers, cache: "no-store" }, signal);
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new Transient(cause instanceof Transient ? cause.message : String((cause as { cause?: unknown }).cause ?? cause), true);
  }
  if (response.ok || response.status === 416) return response;
  await response.body?.cancel();
  throw refusal(url, response);
}

/** The answer to a request. One that does not come is given up: a browser has few connections to a server. */
export async function answered(url: string, options: RequestInit, signal: AbortSignal): Promise<Response> {
  const silent = new AbortController();
  try {
    return await silenceful(fetch(url, { ...options, signal: linked(signal, silent.signal).signal }));
  } catch (cause) {
    silent.abort();
    throw cause;
  }
}

/** A promise of a connection that must not stay silent. */
async function silenceful<T>(promise: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const silence = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Transient(`nothing came for ${SILENCE / 1000} seconds`)), SILENCE);
  });
  try {
    return await Promise.race([promise, silence]);
  } finally {
    clearTimeout(timer);
  }
}

/** What an answer that is no success means, in the Hub's own terms where it gives them. */
function refusal(url: string, { status, headers }: Response): Error {
  const code = headers.get("x-error-code");
  const about = `${url}: status ${status}${code === null ? "" : ` (${code})`}`;
  if (status === 408 || status === 429 || status >= 500) return new Transient(about);
  if (code === "GatedRepo") {
    return new CraneError("access_denied", about, { hint: "accept the model's terms on its page on the Hub, then pass hubToken to Crane.create" });
  }
  if (status === 404 || status === 410 || code === "RepoNotFound") {
    return new CraneError("not_found", about, { hint: "check the spelling; a private repository needs a hubToken that may read it" });
  }
  if (status === 401 || status === 403) return new CraneError("access_denied", about, { hint: "pass a hubToken that may read it to Crane.create" });
  return new CraneError("network", about, { hint: "check the address" });
}

/** The error of a request that is not tried again. */
export function lost(what: string, { message, unreachable }: Transient, hint: string): CraneError {
  return new CraneError("network", `${what}: ${message}`, {
    hint: unreachable ? `${hint}; check the address and the connection; another origin must allow this page (CORS)` : hint,
  });
}

/** Resolves after some milliseconds, or rejects when `signal` aborts. */
export async function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  let stop: () => void = () => {};
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    stop = () => {
      clearTimeout(timer);
      resolve();
    };
    signal.addEventListener("abort", stop, { once: true });
  });
  signal.removeEventListener("abort", stop);
  stopIfAborted(signal);
}

/** The body as a whole. */
export async function bytesOf(response: Response, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  const chunks = [];
  for await (const chunk of chunksOf(response, signal)) chunks.push(chunk);
  return new Uint8Array(await new Blob(chunks).arrayBuffer());
}

/** The body's chunks; not every browser iterates over a stream itself. */
export async function* chunksOf(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const reader = response.body?.getReader();
  try {
    for (;;) {
      const next = await (reader ? silenceful(reader.read()) : undefined);
      if (!next || next.done) return;
      yield next.value;
    }
  } catch (cause) {
    if (signal.aborted || cause instanceof CraneError || cause instanceof Transient) throw cause;
    throw new Transient(`the connection was lost: ${String((cause as { cause?: unknown }).cause ?? cause)}`);
  } finally {
    // What is left of a body that nobody reads must not keep coming; it may have failed already.
    void reader?.cancel().catch(() => {});
  }
}
