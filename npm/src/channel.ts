/** Calls to the worker: numbered requests, their events and results, aborts. */
import { aborted, CraneError } from "./errors.js";
import type { CallName, Calls, ToPage, ToWorker } from "./protocol.js";
import type { WorkerPort } from "./spawn.js";

interface Pending {
  event: (event: never) => void;
  resolve: (result: never) => void;
  reject: (error: CraneError) => void;
  /** Lets go of the signal, which may live longer. */
  release: () => void;
}

/** Milliseconds between looks at a worker that was told to stop, and how many of them may pass without a word: a step of a large model on a slow machine takes long. */
const LOOK = 10_000;
const LOOKS = 12;

/** What a call may be given besides its parameters. */
export interface CallOptions<N extends CallName> {
  signal?: AbortSignal | undefined;
  onEvent?: (event: Calls[N]["event"], id: number) => void;
  onId?: (id: number) => void;
}

/** The page's end of the conversation with one worker. */
export class Channel {
  readonly #port: WorkerPort;
  readonly #pending = new Map<number, Pending>();
  #next = 1;
  #closed: CraneError | undefined;
  /** Calls that were told to stop and have not been answered yet. */
  readonly #stopping = new Set<number>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(port: WorkerPort) {
    this.#port = port;
    port.onMessage((message) => this.#receive(message));
    port.onFailure((error) => this.close(error));
  }

  /**
   * Makes a call. An abort rejects at once; the worker stops the work as soon as it comes to it and then takes
   * the next call. A worker that does not come to it for minutes is ended: later calls would wait for ever.
   */
  call<N extends CallName>(call: N, params: Calls[N]["params"], options: CallOptions<N> = {}): Promise<Calls[N]["result"]> {
    const { signal, onEvent, onId } = options;
    if (this.#closed) return Promise.reject(this.#closed);
    if (signal?.aborted) return Promise.reject(aborted(signal));
    const id = this.#next++;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => {
        this.abandon(id);
        reject(aborted(signal as AbortSignal));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      const release = (): void => signal?.removeEventListener("abort", onAbort);
      const settled = <T>(settle: (value: T) => void) => (value: T): void => {
        release();
        settle(value);
      };
      this.#pending.set(id, { event: (event) => onEvent?.(event, id), resolve: settled(resolve), reject: settled(reject), release });
      onId?.(id);
      try {
        this.#port.post({ id, call, params } as ToWorker);
      } catch (cause) {
        this.#pending.delete(id);
        settled(reject)(new CraneError("invalid_argument", `${call}: ${String(cause)}`, { cause }));
      }
    });
  }

  /** Tells the worker that events of a call were consumed. */
  acknowledge(id: number, count: number): void {
    if (!this.#closed) this.#port.post({ id, note: "ack", count });
  }

  /** Stops a call whose result nobody waits for any more. */
  abandon(id: number): void {
    this.#pending.get(id)?.release();
    if (!this.#pending.delete(id) || this.#closed) return;
    this.#port.post({ id, note: "abort" });
    this.#stopping.add(id);
    this.#watch();
  }

  /** Ends the worker; calls under way and later ones fail with `error`. */
  close(error: CraneError): void {
    if (this.#closed) return;
    this.#closed = error;
    this.#stopping.clear();
    clearInterval(this.#timer);
    this.#port.terminate();
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  /** Ends a worker that does not stop. The looks are counted, so that a machine that slept counts as one. */
  #watch(): void {
    clearInterval(this.#timer);
    if (this.#stopping.size === 0) return;
    let looks = 0;
    this.#timer = setInterval(() => {
      if (++looks < LOOKS) return;
      const seconds = (LOOKS * LOOK) / 1000;
      this.close(new CraneError("crashed", `the engine was told to stop a call and said nothing for ${seconds} seconds`, { hint: "call Crane.create() again; what was asked for takes too long to be prepared: make it simpler" }));
    }, LOOK);
    // In Node a timer would keep the process alive.
    (this.#timer as { unref?: () => void }).unref?.();
  }

  #receive(message: ToPage): void {
    if (!("event" in message)) this.#stopping.delete(message.id);
    this.#watch();
    const pending = this.#pending.get(message.id);
    if (pending && "event" in message) {
      pending.event(message.event as never);
    } else if (pending && "result" in message) {
      this.#pending.delete(message.id);
      pending.resolve(message.result as never);
    } else if ("error" in message) {
      const error = CraneError.from(message.error);
      this.#pending.delete(message.id);
      pending?.reject(error);
      if (error.code === "crashed") this.close(error);
    }
  }
}
