/**
 * Further workers that hold rows of a model's matrices, for pages whose workers cannot share memory. Each has an instance
 * of the engine with a memory of its own, and takes messages from the one that runs the model.
 */
import { CraneError } from "../errors.js";
import { bindings, keepShard, startAlone } from "./bindings.js";
import { Helper, type Failed } from "./helper.js";
import { onWait } from "./suspension.js";

/** What a worker is sent that is to hold rows instead of being an engine. */
export interface Shard {
  shard: { module: WebAssembly.Module };
}

/** What it says when it is ready, and when a message was answered; with the size of its memory. */
type Reply = { ready: true; bytes: number } | { answer: Uint32Array<ArrayBuffer>; bytes: number };

/** Starts instances of a build: the one in this worker, and one in the worker behind each port. Returns what tells the size of all memories. */
export async function startShards(module: WebAssembly.Module, ports: readonly MessagePort[], onTrap: (reason: string) => void): Promise<() => number> {
  const memory = await startAlone(module, true);
  const keepers = await Promise.all(ports.map((port) => Keeper.start(port, module, onTrap)));
  const keeper = (number: number): Keeper => {
    const found = keepers[number];
    if (!found) throw new RangeError(`there is no helper ${number}`);
    return found;
  };
  Object.assign(globalThis, {
    craneShards: {
      post: (helper: number, message: Uint32Array) => keeper(helper).post(message),
      take: (helper: number) => keeper(helper).take(),
    },
  });
  onWait((helper) => keeper(helper).wait());
  return () => keepers.reduce((sum, { bytes }) => sum + bytes, memory.buffer.byteLength);
}

/** The engine's end of the conversation with one worker. */
class Keeper {
  /** The size of its memory. */
  bytes = 0;
  readonly #helper: Helper<Shard | Uint32Array, Reply>;
  readonly #answers: Uint32Array[] = [];
  #failed: string | undefined;
  #wake: () => void = () => {};

  private constructor(helper: Helper<Shard | Uint32Array, Reply>) {
    this.#helper = helper;
  }

  static async start(port: MessagePort, module: WebAssembly.Module, onTrap: (reason: string) => void): Promise<Keeper> {
    const keeper = new Keeper(new Helper(port));
    await new Promise<void>((resolve, reject) => {
      keeper.#helper.onReply((reply: Reply | Failed) => {
        if ("failed" in reply) {
          keeper.#failed = reply.failed;
          onTrap(reply.failed);
          reject(new CraneError("worker", `a helping worker did not start: ${reply.failed}`));
        } else {
          keeper.bytes = reply.bytes;
          if ("ready" in reply) resolve();
          else keeper.#answers.push(reply.answer);
        }
        keeper.#wake();
      });
      keeper.#helper.post({ shard: { module } });
    });
    return keeper;
  }

  post(message: Uint32Array): void {
    // Out of the engine's memory, which cannot be given away.
    const copy = message.slice();
    this.#helper.post(copy, [copy.buffer]);
  }

  /** Resolves when there is an answer to take. */
  async wait(): Promise<void> {
    while (this.#answers.length === 0) {
      // As a trap: without its rows the engine cannot go on.
      if (this.#failed !== undefined) throw new WebAssembly.RuntimeError(`a helping worker stopped: ${this.#failed}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  take(): Uint32Array {
    return this.#answers.shift() ?? new Uint32Array();
  }
}

/** The life of a helping worker: returns what takes the engine's messages. */
export function hold({ module }: Shard["shard"], reply: (reply: Reply | Failed, transfer: ArrayBuffer[]) => void): (message: Uint32Array) => void {
  let memory: WebAssembly.Memory | undefined;
  let panic: string | undefined;
  const fail = (thrown: unknown): void => reply({ failed: panic ?? String(thrown) }, []);
  startAlone(module).then((started) => {
    memory = started;
    bindings().reportPanics((message: string) => (panic = message));
    reply({ ready: true, bytes: memory.buffer.byteLength }, []);
  }, fail);
  return (message) => {
    try {
      const answer = keepShard(message) as Uint32Array<ArrayBuffer> | undefined;
      if (answer !== undefined) reply({ answer, bytes: memory?.buffer.byteLength ?? 0 }, [answer.buffer]);
    } catch (thrown) {
      fail(thrown);
    }
  };
}
