/** The worker's side of every call: the WebAssembly instance and the models in it. */
import { CraneError, shown, toMessage } from "../errors.js";
import { WINDOW, type CallName, type Calls, type GenerationEnd, type Piece, type Place, type ToPage, type ToWorker } from "../protocol.js";
import type { EmbedderInfo, ModelInfo, Progress, Quantization, SpeechInfo, SpeechMemory } from "../types.js";
import type { Embedder, FileSet, Model, Speaker } from "../../wasm/crane_wasm.js";
import { bindings, runTask, startAlone } from "./bindings.js";
import { crashOf } from "./crash.js";
import { Models } from "./models.js";
import { compiled } from "./module_source.js";
import { nextTask } from "./next_task.js";
import { metered, type OpenFile } from "./open_files.js";
import { checkSpeech, total } from "./speech_memory.js";
import { startShards } from "./shards.js";
import { startTeam } from "./team.js";
import { stopIfAborted } from "../signals.js";

/** What a call under way can see of the page. */
interface Context {
  id: number;
  signal: AbortSignal;
  /** Events that the page has consumed. */
  acknowledged: number;
  /** Called when more were consumed, or the call was aborted. */
  wake: () => void;
}

type Handlers = { [N in CallName]: (params: Calls[N]["params"], context: Context) => Promise<Calls[N]["result"]> };

/** What `Model.step` returns. */
type Step = ({ done: false } & Piece) | ({ done: true } & Piece & GenerationEnd);

/** Texts that become vectors before messages are let in. */
const TEXTS = 16;

/** Takes requests, one generation a model at a time. */
export class Engine {
  readonly #send: (message: ToPage) => void;
  readonly #calls = new Map<number, { context: Context; abort: AbortController }>();
  readonly #models = new Map<number, { model: Model; turn: Promise<void> }>();
  readonly #speakers = new Map<number, { speaker: Speaker; turn: Promise<void> }>();
  readonly #embedders = new Map<number, Embedder>();
  /** Bytes of what is loaded. */
  readonly #held = new Map<number, number>();
  #nextModel = 1;
  /** Ports of the workers that help this one. */
  helpers: readonly MessagePort[] = [];
  /** How many of them hold a part of each large matrix. */
  #shards = 0;
  /** The call under way that may wait for them. */
  #task: Promise<unknown> | undefined;
  /** The size of the memory, of all workers together. */
  #memory: () => number = () => 0;
  #sources: Models | undefined;
  #panic: string | undefined;
  /** What ended the engine, once something has. */
  #crash: CraneError | undefined;

  constructor(send: (message: ToPage) => void) {
    this.#send = send;
  }

  /** Takes a message from the page. */
  receive(message: ToWorker): void {
    if ("call" in message) {
      void this.#answer(message);
      return;
    }
    const call = this.#calls.get(message.id);
    if (!call) return;
    if (message.note === "abort") call.abort.abort();
    else call.context.acknowledged += message.count;
    call.context.wake();
  }

  async #answer({ id, call, params }: Extract<ToWorker, { call: CallName }>): Promise<void> {
    const abort = new AbortController();
    const context: Context = { id, signal: abort.signal, acknowledged: 0, wake: () => {} };
    this.#calls.set(id, { context, abort });
    try {
      // Calls that were on their way when the engine ended.
      if (this.#crash) throw this.#crash;
      const handler = this.#handlers[call] as (params: unknown, context: Context) => Promise<Calls[CallName]["result"]>;
      const result = await handler(params, context);
      this.#send({ id, result });
    } catch (thrown) {
      this.#send({ id, error: toMessage(this.#diagnose(thrown, context)) });
    } finally {
      this.#calls.delete(id);
    }
  }

  /** A crash means that the instance is lost; its reason came before, through the panic listener. */
  #diagnose(thrown: unknown, context: Context): unknown {
    this.#crash ??= crashOf(thrown, this.#panic);
    if (this.#crash) return this.#crash;
    return context.signal.aborted ? new CraneError("aborted", "the call was aborted") : thrown;
  }

  readonly #handlers: Handlers = {
    init: async (settings, { signal }) => {
      const module = await compiled(settings.wasmUrl, signal);
      const onTrap = (reason: string): string => (this.#panic ??= `a thread stopped: ${reason}`);
      try {
        if (this.helpers.length > 0 && settings.sharing === "shards") {
          this.#shards = this.helpers.length;
          this.#memory = await startShards(module, this.helpers, onTrap);
        } else {
          const memory = this.helpers.length > 0 ? await startTeam(module, this.helpers, onTrap) : await startAlone(module);
          this.#memory = () => memory.buffer.byteLength;
        }
      } catch (cause) {
        if (cause instanceof CraneError) throw cause;
        throw new CraneError("worker", `the engine ${settings.wasmUrl} did not start: ${shown(cause)}`, {
          hint: "wasmUrl must name the build that suits threads; if it is the package's own, there is too little memory: close other tabs",
          cause,
        });
      }
      bindings().reportPanics((message: string) => (this.#panic = message));
      this.#sources = await Models.open(settings);
      return this.#sources.storage;
    },

    pull: async ({ place, sha256 }, context) => this.#from.pull(place, sha256, this.#progressOf(context)),

    load: async ({ place, label, context: length, quantize, store }, context) => {
      const options = Object.fromEntries(Object.entries({ context: length, quantize }).filter(([, value]) => value !== undefined));
      const model = await this.#build(place, label, { quantize, store }, context, async (files) => {
        if (files.some(({ name }) => name === "voices.json")) {
          throw new CraneError("unsupported", `${label} is a voice, not a language model`, { hint: "load it with crane.loadSpeech" });
        }
        return this.#run<Model>(() => bindings().Model.prepareLoad(fileSet(label, files), options, this.#shards));
      });
      const number = this.#nextModel++;
      this.#models.set(number, { model, turn: Promise.resolve() });
      const info = model.info() as ModelInfo;
      this.#held.set(number, info.weightBytes);
      return { model: number, info };
    },

    loadSpeech: async ({ place, label, quantize, store }, context) => {
      const held = [...this.#held.values()].reduce((sum, bytes) => sum + bytes, 0);
      const options = (quantize: Quantization | undefined): object => (quantize === undefined ? {} : { quantize });
      const made = await this.#build(place, label, { quantize, store }, context, async (files) => {
        const set = fileSet(label, files);
        let memory: SpeechMemory;
        try {
          memory = checkSpeech(label, quantize, held, (type) => bindings().Speaker.plan(set, options(type)) as SpeechMemory);
        } catch (thrown) {
          set.free();
          throw thrown;
        }
        const speaker = bindings().Speaker.load(set, options(quantize));
        return { speaker, memory, free: () => speaker.free() };
      });
      const number = this.#nextModel++;
      this.#speakers.set(number, { speaker: made.speaker, turn: Promise.resolve() });
      this.#held.set(number, total(made.memory));
      return { model: number, info: { ...(made.speaker.info() as Omit<SpeechInfo, "memory">), memory: made.memory } };
    },

    loadEmbedder: async ({ place, label, quantize, store }, context) => {
      const embedder = await this.#build(place, label, { quantize, store }, context, async (files) =>
        bindings().Embedder.load(fileSet(label, files), quantize === undefined ? {} : { quantize }),
      );
      const number = this.#nextModel++;
      this.#embedders.set(number, embedder);
      const info = embedder.info() as EmbedderInfo;
      this.#held.set(number, info.weightBytes);
      return { model: number, info };
    },

    embed: async ({ model: number, texts, ...options }, context) => {
      const vectors: Float32Array[] = [];
      while (vectors.length < texts.length) {
        await nextTask();
        if (context.signal.aborted) throw new CraneError("aborted", "the work was aborted");
        const embedder = this.#embedders.get(number);
        if (!embedder) throw new CraneError("disposed", "the model was disposed");
        const some = texts.slice(vectors.length, vectors.length + TEXTS);
        const flat = embedder.embed(some, options, vectors.length);
        const width = flat.length / some.length;
        for (let index = 0; index < some.length; index++) vectors.push(flat.slice(index * width, (index + 1) * width));
      }
      return vectors;
    },

    speak: async ({ model: number, text, ...options }, context) =>
      inTurn(this.#speaker(number), async () => {
        stopIfAborted(context.signal);
        // Of this call alone: what happens to another one cannot end it.
        const reading = this.#speaker(number).speaker.begin(text, options);
        const release = (): void => reading.free();
        return unlessCrashed(release, async () => {
          const leftOut = reading.leftOut();
          if (leftOut !== "") this.#send({ id: context.id, event: leftOut });
          for (let sent = 0; ; sent++) {
            await this.#room(sent, context);
            stopIfAborted(context.signal);
            this.#speaker(number);
            const samples = reading.piece();
            if (samples === undefined && sent === 0) throw new CraneError("internal", "the voice ended without having said the text");
            if (samples === undefined) return null;
            this.#send({ id: context.id, event: samples });
          }
        });
      }),

    list: async () => this.#from.store.list(),

    remove: async ({ id }) => this.#from.store.remove(id),

    verify: async ({ id }, context) => {
      await this.#from.store.verify(id, this.#progressOf(context));
      return null;
    },

    tokenize: async ({ model, text, addSpecialTokens }) => Array.from(this.#model(model).encode(text, addSpecialTokens)),

    detokenize: async ({ model, ids, skipSpecialTokens }) => this.#model(model).decode(Uint32Array.from(ids), skipSpecialTokens),

    tokenizeChat: async ({ model, messages }) => Array.from(this.#model(model).encodeChat(messages)),

    generate: async ({ model: number, prompt, request }, context) =>
      inTurn(this.#entry(number), async () => {
        stopIfAborted(context.signal);
        const model = this.#model(number);
        const ids = "ids" in prompt ? Uint32Array.from(prompt.ids) : model.encodeChat(prompt.messages);
        model.begin(ids, request);
        // A generation that has ended does not mind.
        return unlessCrashed(() => model.stop(), () => this.#drive(model, context));
      }),

    memory: async () => ({ wasmBytes: this.#memory() }),

    unload: async ({ model: number }) => {
      const other = this.#speakers.get(number)?.speaker ?? this.#embedders.get(number);
      if (other) {
        this.#speakers.delete(number);
        this.#embedders.delete(number);
        this.#held.delete(number);
        other.free();
        return null;
      }
      const { model, turn } = this.#entry(number);
      await turn;
      this.#models.delete(number);
      this.#held.delete(number);
      model.free();
      return null;
    },
  };

  /** Steps a generation; lets messages in between steps and waits while the page is a window behind. */
  async #drive(model: Model, context: Context): Promise<GenerationEnd> {
    let sent = 0;
    for (;;) {
      await this.#room(sent, context);
      if (context.signal.aborted) throw new CraneError("aborted", "the generation was aborted");
      const step = await this.#run<Step>(() => model.prepareStep());
      if (step.text !== "" || step.id !== undefined) {
        const { text, id } = step;
        this.#send({ id: context.id, event: id === undefined ? { text } : { text, id } });
        sent += 1;
      }
      if (step.done) {
        const { finishReason, usage, timings } = step;
        return { finishReason, usage, timings };
      }
    }
  }

  /**
   * Makes a call that may wait for helping workers; messages of the page are taken meanwhile. One is made at a time: what a
   * suspended call keeps on the engine's stack must not be covered by another's.
   */
  async #run<T>(prepare: () => void): Promise<T> {
    while (this.#task) await this.#task;
    prepare();
    const task = runTask<T>();
    this.#task = task.catch(() => {});
    try {
      return await task;
    } finally {
      this.#task = undefined;
    }
  }

  /** Lets messages in, and waits while the page is a window of events behind. */
  async #room(sent: number, context: Context): Promise<void> {
    while (sent - context.acknowledged >= WINDOW && !context.signal.aborted) {
      await new Promise<void>((resolve) => (context.wake = resolve));
    }
    await nextTask();
  }

  /** Opens a model's files, which are closed at the end, and makes the model of them. */
  async #build<T extends { free(): void }>(
    place: Place,
    label: string,
    { quantize, store }: { quantize: Quantization | undefined; store: boolean },
    context: Context,
    make: (files: OpenFile[]) => Promise<T>,
  ): Promise<T> {
    const progress = this.#progressOf(context);
    const build = async (files: OpenFile[]): Promise<T> => {
      try {
        return await make(metered(files, progress.report));
      } finally {
        // Before the store looks at them: it cannot remove what is open.
        for (const { close } of files) close();
      }
    };
    const { files, stored } = await this.#from.open(place, quantize, store, progress);
    let made: T;
    try {
      made = await build(files);
    } catch (thrown) {
      // What is wrong with a stored model may be the disk's fault: then that is said, and the model is not kept.
      if (stored && place.id !== undefined && isAboutFiles(thrown)) await this.#from.store.verify(place.id, progress);
      const { code, message, hint } = toMessage(thrown);
      if (stored && place.id !== undefined && place.kind !== "stored" && isAboutFiles(thrown)) {
        const again = await this.#from.store.distrust(place.id, code === "unsupported").catch(() => false);
        if (again) throw new CraneError(code, `${message}; what was stored is not kept`, { hint: "the next load asks the server again; if that does not help, check that the address is that of a model", cause: thrown });
      }
      if (!stored || place.kind === "stored" || code !== "io") throw thrown;
      // The browser took the files away while they were read.
      made = await build(await this.#from.openUnstored(place, quantize, new CraneError(code, message, { hint }), progress));
    }
    // A storage that takes no more notes costs a later load some time, not this one.
    if (stored && place.id !== undefined) await this.#from.store.trust(place.id).catch(() => {});
    await nextTask();
    if (context.signal.aborted) {
      made.free();
      throw new CraneError("aborted", `the load of ${label} was aborted`);
    }
    return made;
  }

  get #from(): Models {
    if (!this.#sources) throw new CraneError("worker", "the engine has not started");
    return this.#sources;
  }

  /** How a call under way is stopped, and where its numbers go. */
  #progressOf({ id, signal }: Context): { signal: AbortSignal; report: (progress: Progress) => void; warn: (warning: CraneError) => void } {
    return { signal, report: (event) => this.#send({ id, event }), warn: (warning) => this.#send({ id, event: { warning: toMessage(warning) } }) };
  }

  #speaker(number: number): { speaker: Speaker; turn: Promise<void> } {
    const entry = this.#speakers.get(number);
    if (!entry) throw new CraneError("disposed", "the voice was disposed");
    return entry;
  }

  #entry(number: number): { model: Model; turn: Promise<void> } {
    const entry = this.#models.get(number);
    if (!entry) throw new CraneError("disposed", "the model was disposed");
    return entry;
  }

  #model(number: number): Model {
    return this.#entry(number).model;
  }
}

/** Does work on a model after the work that was asked for before has ended, however it did. */
async function inTurn<T>(entry: { turn: Promise<void> }, work: () => Promise<T>): Promise<T> {
  const mine = entry.turn.then(work);
  entry.turn = mine.then(() => {}, () => {});
  return mine;
}

/** Does work and `after` it, unless the work ended the engine: any call into it would only hide what happened. */
async function unlessCrashed<T>(after: () => void, work: () => Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await work();
  } catch (thrown) {
    if (crashOf(thrown, undefined) === undefined) after();
    throw thrown;
  }
  after();
  return result;
}

/** Files as the engine reads them. */
function fileSet(label: string, files: OpenFile[]): FileSet {
  const set = new (bindings().FileSet)(label);
  for (const { name, size, read } of files) set.add(name, size, read);
  return set;
}

/** Whether an error says that the bytes of a model are not what they should be. */
function isAboutFiles(thrown: unknown): boolean {
  return ["invalid_file", "invalid_weights", "tokenizer", "template", "unsupported"].includes(toMessage(thrown).code);
}
