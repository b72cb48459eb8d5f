/** The engine: one worker with one WebAssembly instance. */
import { Channel } from "./channel.js";
import { CraneError } from "./errors.js";
import { Llm } from "./llm.js";
import { checkOptions, TABLES } from "./options.js";
import { namedFiles } from "./sources.js";
import { spawn } from "./spawn.js";
import { fastestTier, moduleOf } from "./tiers.js";
import type { LoadOptions, ModelSource } from "./types.js";

/** Where the package's parts are, if not beside its module. */
export interface CraneOptions {
  /**
   * The WebAssembly file; by default the package's `wasm/crane_wasm_relaxed_bg.wasm` where relaxed SIMD is known and
   * `wasm/crane_wasm_bg.wasm`, which every engine with SIMD runs, elsewhere.
   */
  wasmUrl?: string | URL;
  /** The worker's module; `dist/worker/main.js` of the package by default. */
  workerUrl?: string | URL;
}

/**
 * The engine, in a worker of its own: the page never blocks.
 *
 * ```ts
 * const crane = await Crane.create();
 * const llm = await crane.load("/models/smollm2-135m-instruct-q4_1.gguf");
 * const stream = await llm.chat.completions.create({
 *   messages: [{ role: "user", content: "Why is the sky blue?" }],
 *   stream: true,
 * });
 * for await (const chunk of stream) console.log(chunk.choices[0]?.delta.content ?? "");
 * ```
 */
export class Crane {
  readonly #channel: Channel;

  private constructor(channel: Channel) {
    this.#channel = channel;
  }

  /** Starts the worker and compiles the engine. */
  static async create(options: CraneOptions = {}): Promise<Crane> {
    checkOptions("Crane.create", options, TABLES.create);
    const wasmUrl = options.wasmUrl === undefined ? moduleOf(fastestTier()) : absolute(options.wasmUrl);
    const channel = new Channel(await spawn(options.workerUrl === undefined ? undefined : absolute(options.workerUrl)));
    try {
      await channel.call("init", { wasmUrl: String(wasmUrl) });
    } catch (error) {
      channel.close(new CraneError("worker", "the engine did not start", { cause: error }));
      throw error;
    }
    return new Crane(channel);
  }

  /**
   * Loads a model: a `.gguf` file, or the named files of a checkpoint (`config.json`, `tokenizer.json`,
   * `model.safetensors`).
   *
   * A URL is fetched by the worker. A `Blob` or `File` is read piece by piece; an `ArrayBuffer` is copied.
   */
  async load(source: ModelSource, options: LoadOptions = {}): Promise<Llm> {
    checkOptions("load", options, TABLES.load);
    const { files, label } = namedFiles(source);
    const { context, signal, onProgress } = options;
    const { model, info } = await this.#channel.call(
      "load",
      { files, label, ...(context === undefined ? {} : { context }) },
      { signal, ...(onProgress ? { onEvent: onProgress } : {}) },
    );
    return new Llm(this.#channel, model, label, info);
  }

  /** The size of the engine's memory; it grows with models and never shrinks before `dispose`. */
  async memory(): Promise<{ wasmBytes: number }> {
    return this.#channel.call("memory", {});
  }

  /** Ends the worker and gives back its memory; calls under way fail with code `disposed`. */
  dispose(): void {
    this.#channel.close(new CraneError("disposed", "the engine was disposed"));
  }
}

/** A URL relative to the page, made whole: a worker would take it relative to its own module. */
function absolute(url: string | URL): URL {
  return new URL(url, globalThis.location?.href);
}
