/** Further workers that help the engine with its loops, in the build whose memory they share. */
import { CraneError } from "../errors.js";
import { abandonLoop, serveLoops, shareLoops, startShared } from "./bindings.js";
import { Helper, type Failed } from "./helper.js";

/** What a worker is sent that is to help instead of being an engine. */
export interface Help {
  help: { module: WebAssembly.Module; memory: WebAssembly.Memory; number: number };
}

/** What it says when it is ready. */
type Reply = { ready: true };

/**
 * Starts instances of the build: the one in this worker, and one in the worker behind each port. The first runs the program;
 * what the engine's own memory, its allocator and its locks do is done there alone.
 */
export async function startTeam(module: WebAssembly.Module, ports: readonly MessagePort[], onTrap: (reason: string) => void): Promise<WebAssembly.Memory> {
  const memory = await startShared(module);
  lendAtomics(memory);
  lendRandomness();
  if (!shareLoops(ports.length)) throw new CraneError("worker", "the engine's threads were started too late");
  // One after another: each takes its stack from an allocator that is made for one thread.
  for (const [index, port] of ports.entries()) {
    const number = index + 1;
    const helper = new Helper<Help, Reply>(port);
    await new Promise<void>((resolve, reject) => {
      helper.onReply((reply) => {
        if ("ready" in reply) return resolve();
        onTrap(reply.failed);
        reject(new CraneError("worker", `thread ${number} did not start: ${reply.failed}`));
      });
      helper.post({ help: { module, memory, number } });
    });
  }
  return memory;
}

/** The life of a helping worker. */
export async function help({ module, memory, number }: Help["help"], reply: (reply: Reply | Failed) => void): Promise<void> {
  try {
    lendAtomics(memory);
    await startShared(module, memory);
    reply({ ready: true });
  } catch (thrown) {
    reply({ failed: String(thrown) });
    return;
  }
  try {
    serveLoops(number);
  } catch (thrown) {
    abandonLoop();
    reply({ failed: String(thrown) });
  }
}

/** What the build calls for words that threads share; `crane-wasm` says how. */
function lendAtomics(memory: WebAssembly.Memory): void {
  // Its words are statics, before everything that the memory grows by: the view need not grow with it.
  const words = new Int32Array(memory.buffer);
  const atomics = {
    load: (at: number) => Atomics.load(words, at >>> 2),
    store: (at: number, value: number) => void Atomics.store(words, at >>> 2, value),
    add: (at: number, value: number) => Atomics.add(words, at >>> 2, value),
    sleep: (at: number, seen: number) => void Atomics.wait(words, at >>> 2, seen),
    wake: (at: number) => void Atomics.notify(words, at >>> 2),
  };
  Object.assign(globalThis, { craneMemory: atomics });
}

/** Browsers do not write random numbers into shared memory: the engine's are drawn elsewhere and copied. */
function lendRandomness(): void {
  const draw = crypto.getRandomValues.bind(crypto);
  crypto.getRandomValues = <T extends ArrayBufferView | null>(array: T): T => {
    if (!(array instanceof Uint8Array && array.buffer instanceof SharedArrayBuffer)) return draw(array as never);
    array.set(draw(new Uint8Array(array.length)));
    return array;
  };
}
