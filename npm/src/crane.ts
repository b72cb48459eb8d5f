/** The engine: one worker with one WebAssembly instance. */
import { resolved } from "./addresses.js";
import { capabilitiesOf } from "./capabilities.js";
import { Channel } from "./channel.js";
import { Embedder } from "./embedder.js";
import { CraneError, shown } from "./errors.js";
import { Llm } from "./llm.js";
import { checkOptions, TABLES } from "./options.js";
import type { LoadEvent, Settings } from "./protocol.js";
import { stopIfAborted } from "./signals.js";
import { hibariAt, placeOf } from "./sources.js";
import { checkPlace, spawn } from "./spawn.js";
import { StoredModels } from "./stored_models.js";
import { fastestTier, moduleOf, ownThreads, sharing } from "./tiers.js";
import { Tts } from "./tts.js";
import type { Capabilities, EmbedderLoadOptions, LoadOptions, ModelSource, PullOptions, SpeechLoadOptions, StoredModel } from "./types.js";

/** Where models come from and stay, and where the package's parts are, if not beside its module. */
export interface CraneOptions {
  /**
   * How many threads run the model. More than one want shared memory (a page with COOP and COEP headers, or Node) and
   * relaxed SIMD, or else JavaScript Promise Integration: without shared memory each holds a part of every large matrix.
   * By default: the cores of a page that has one of them, at most 8 with shared memory and 4 without, and one everywhere else.
   */
  threads?: number;
  /**
   * The WebAssembly file, which has to suit `threads`; then one by default. The package's own are
   * `wasm/crane_wasm_threads_bg.wasm` for several threads with shared memory, `wasm/crane_wasm_relaxed_bg.wasm` where relaxed SIMD is known
   * and `wasm/crane_wasm_bg.wasm`, which every engine with SIMD runs.
   */
  wasmUrl?: string | URL;
  /** The worker's module; `dist/worker/main.js` of the package by default. */
  workerUrl?: string | URL;
  /** The Hub's address, or a mirror's; `https://huggingface.co` by default. */
  hubUrl?: string | URL;
  /** The Hub's token of the user, for gated and private models. It is sent to the Hub alone. */
  hubToken?: string;
  /** How often a transfer that brings nothing new is tried again before it counts as failed; 4 by default. */
  retries?: number;
  /**
   * The folder in which Node keeps models, for one process at a time. Without it Node keeps none: each load reads
   * anew. A page keeps them in its origin's private file system, and refuses this option.
   */
  cacheDir?: string;
  /**
   * The folder in which hibari's files lie, for `crane.load("hibari")`: those of `hibari/assets` in the PyPI package
   * `hibari-tts`. `hibari/` beside the page by default.
   */
  hibariUrl?: string | URL;
  /** Ends the start: a server may hold back the worker's module, or the engine's, for as long as it likes. */
  signal?: AbortSignal;
}

const HUB = "https://huggingface.co";
const RETRIES = 4;

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
  /** What this browser, or this Node, offers, as it was when the engine started. */
  readonly capabilities: Capabilities;
  /** The models that are kept between visits. */
  readonly models: StoredModels;
  readonly #channel: Channel;
  readonly #hibariUrl: string | URL;

  private constructor(channel: Channel, capabilities: Capabilities, hibariUrl: string | URL) {
    this.#channel = channel;
    this.#hibariUrl = hibariUrl;
    this.capabilities = capabilities;
    this.models = new StoredModels(channel);
  }

  /** Starts the worker and compiles the engine. */
  static async create(options: CraneOptions = {}): Promise<Crane> {
    checkOptions("Crane.create", options, TABLES.create);
    checkPlace();
    const threads = options.threads ?? (options.wasmUrl === undefined ? ownThreads() : 1);
    const how = sharing();
    if (threads > 1 && how === undefined) {
      throw new CraneError("unsupported", `threads: ${threads} were asked for, and here is neither shared memory with relaxed SIMD nor JavaScript Promise Integration`, {
        hint: "leave the option out, or serve the page with the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp",
      });
    }
    const wasmUrl = options.wasmUrl === undefined ? moduleOf(fastestTier(threads)) : absolute("wasmUrl", options.wasmUrl);
    if (options.cacheDir !== undefined && typeof Worker === "function") {
      throw new CraneError("unsupported", "cacheDir: a page has no folders of the disk", { hint: "leave it out: models are kept in the origin's private file system" });
    }
    const settings: Settings = {
      wasmUrl: String(wasmUrl),
      threads,
      sharing: how ?? "memory",
      hubUrl: absolute("hubUrl", options.hubUrl ?? HUB).href.replace(/\/+$/, ""),
      retries: options.retries ?? RETRIES,
      ...(options.hubToken === undefined ? {} : { hubToken: options.hubToken }),
      ...(options.cacheDir === undefined ? {} : { cacheDir: options.cacheDir }),
    };
    const start = async (settings: Settings, without?: unknown): Promise<Crane> => {
      const channel = new Channel(await spawn(options.workerUrl === undefined ? undefined : absolute("workerUrl", options.workerUrl), settings.threads - 1));
      try {
        const storage = await channel.call("init", settings, { signal: options.signal });
        return new Crane(channel, capabilitiesOf(storage, options.wasmUrl !== undefined, settings, without), options.hibariUrl ?? "hibari/");
      } catch (error) {
        channel.close(new CraneError("worker", "the engine did not start", { cause: error }));
        throw error;
      }
    };
    if (threads === 1 || options.threads !== undefined) return start(settings);
    // Nobody asked for threads: where they cannot be had (a phone may not have the address space) one does.
    return start(settings).catch((without: unknown) => {
      stopIfAborted(options.signal);
      return start({ ...settings, threads: 1, wasmUrl: String(moduleOf(fastestTier(1))) }, without);
    });
  }

  /**
   * Brings a model into the store, where `load` finds it without the network. What an earlier pull left is gone on with;
   * bytes whose checksum the Hub knows are compared with it. Of a stored model nothing is asked for again: to follow a
   * branch that has moved, remove the model first.
   */
  async pull(source: ModelSource, options: PullOptions = {}): Promise<StoredModel> {
    checkOptions("pull", options, TABLES.pull);
    const { name, sha256, signal, onProgress } = options;
    const { place } = await placeOf(source, name);
    if (name !== undefined && !place.id?.startsWith("local:")) {
      throw new CraneError("invalid_argument", "name: the model has a name already", { hint: `its id is ${place.id}` });
    }
    if (sha256 !== undefined && (place.kind !== "files" || place.files.length !== 1 || place.id?.startsWith("local:"))) {
      throw new CraneError("invalid_argument", "sha256: it is compared with what comes from a single URL", { hint: "leave it out: the Hub's own sums are compared anyway" });
    }
    return this.#channel.call("pull", { place, ...(sha256 === undefined ? {} : { sha256 }) }, { signal, ...(onProgress ? { onEvent: onProgress } : {}) });
  }

  /**
   * Loads a model: a `.gguf` file, or the files of a checkpoint (`config.json`, `tokenizer.json`, `model.safetensors`).
   *
   * What comes from the network is pulled into the store first, unless it is there already. A `Blob` or `File` is read
   * piece by piece; an `ArrayBuffer` is copied.
   */
  load(source: ModelSource, options?: LoadOptions): Promise<Llm>;
  /** Loads the voice hibari: English, 24 kHz, 12 MB. */
  load(source: "hibari", options?: SpeechLoadOptions): Promise<Tts>;
  async load(source: ModelSource, options: LoadOptions = {}): Promise<Llm | Tts> {
    if (source === "hibari") return this.loadSpeech(source, options);
    checkOptions("load", options, TABLES.load);
    const { context, quantize, store = true, signal, ...listeners } = options;
    const { place, label } = await placeOf(source);
    const { model, info } = await this.#channel.call(
      "load",
      { place, label, store, ...(context === undefined ? {} : { context }), ...(quantize === undefined ? {} : { quantize }) },
      { signal, onEvent: eventsTo(listeners) },
    );
    return new Llm(this.#channel, model, label, info);
  }

  /**
   * Loads a speech model, from wherever `load` takes files:
   *
   * - `"hibari"`, or its files (`voices.json`, `vocab.json`, `hibari.onnx`, the tables of its English);
   * - Spark-TTS: `SparkAudio/Spark-TTS-0.5B` on the Hub, or its `BiCodec/config.yaml`, `BiCodec/model.safetensors` and the files of `LLM/`;
   * - Orpheus: its checkpoint or GGUF file, and SNAC's `config.json` and `pytorch_model.bin` below `snac_24khz/`.
   *
   * Language models are quantised tensor by tensor if `quantize` says so. What the model will take of memory is known before a
   * weight is read: what cannot fit is refused with `too_large`, the bytes in `error.memory`, and a hint at what would.
   */
  async loadSpeech(source: ModelSource, options: SpeechLoadOptions = {}): Promise<Tts> {
    checkOptions("loadSpeech", options, TABLES.loadSpeech);
    const { quantize, store = true, signal, ...listeners } = options;
    const { place, label } = source === "hibari" ? hibariAt(this.#hibariUrl) : await placeOf(source);
    const { model, info } = await this.#channel.call("loadSpeech", { place, label, store, ...(quantize === undefined ? {} : { quantize }) }, { signal, onEvent: eventsTo(listeners) });
    return new Tts(this.#channel, model, info);
  }

  /**
   * Loads a model that makes vectors of texts, from wherever `load` takes files: an encoder of the BERT, RoBERTa or XLM-RoBERTa
   * family, as sentence-transformers stores them, or a language model. Without the files of sentence-transformers (`modules.json`,
   * `1_Pooling/config.json`, `sentence_bert_config.json`) the mean of the last hidden states is taken.
   */
  async loadEmbedder(source: ModelSource, options: EmbedderLoadOptions = {}): Promise<Embedder> {
    checkOptions("loadEmbedder", options, TABLES.loadEmbedder);
    const { quantize, store = true, signal, ...listeners } = options;
    const { place, label } = await placeOf(source);
    const { model, info } = await this.#channel.call("loadEmbedder", { place, label, store, ...(quantize === undefined ? {} : { quantize }) }, { signal, onEvent: eventsTo(listeners) });
    return new Embedder(this.#channel, model, info);
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

/** Who is told what of a load. A warning that nobody takes goes to the console: it must not be lost. */
function eventsTo({ onProgress, onWarning }: Pick<LoadOptions, "onProgress" | "onWarning">): (event: LoadEvent) => void {
  return (event) => {
    if (!("warning" in event)) onProgress?.(event);
    else if (onWarning) onWarning(CraneError.from(event.warning));
    else console.warn(String(CraneError.from(event.warning)));
  };
}

/** A URL relative to the page, made whole: a worker would take it relative to its own module. */
function absolute(option: string, url: string | URL): URL {
  const found = resolved(url);
  if (found) return found;
  throw new CraneError("invalid_argument", `${option}: ${shown(String(url))} is no address`, { hint: "outside a page a URL must be absolute: https:… or file:…" });
}
