/** Where the bytes of a model come from: the store, the Hub, an address, this machine. */
import { CraneError } from "../errors.js";
import { checkFits } from "../memory_limit.js";
import type { ModelFile, Place, Settings } from "../protocol.js";
import type { Capabilities, Quantization, StoredModel } from "../types.js";
import { openDisk } from "./disk_folder.js";
import { isStorageFailure, type Folder } from "./folder.js";
import { Hub } from "./hub.js";
import { isRemote, openFiles, openHere, toRemote, type OpenFile } from "./open_files.js";
import { openOpfs } from "./opfs_folder.js";
import { inNode } from "./read_bytes.js";
import { Store, type PullContext, type Wanted } from "./store.js";

/** The folder of the origin's file system that holds the store. */
const OPFS_FOLDER = "crane-models";

/** How a load is done. `warn` is told what went wrong that the load goes on without. */
export interface Context extends Omit<PullContext, "retries"> {
  warn: (warning: CraneError) => void;
}

/** Finds, fetches and opens models. */
export class Models {
  readonly #hub: Hub;
  readonly #retries: number;
  readonly #store: Store | undefined;
  readonly #noStore: string;
  readonly storage: Capabilities["storage"];

  private constructor(settings: Settings, store: Store | undefined, storage: Capabilities["storage"]) {
    const { hubUrl, hubToken, retries } = settings;
    this.#hub = new Hub({ url: hubUrl, retries, ...(hubToken === undefined ? {} : { token: hubToken }) });
    this.#retries = retries;
    this.#store = store;
    this.#noStore = storage.reason ?? "";
    this.storage = storage;
  }

  /** Opens the store, where there can be one. */
  static async open(settings: Settings): Promise<Models> {
    const opened = await openRoot(settings.cacheDir);
    if ("reason" in opened) {
      return new Models(settings, undefined, { kind: "none", reason: opened.reason, usageBytes: undefined, quotaBytes: undefined });
    }
    // A storage that does not even say how full it is may still take something; whether it does is seen then.
    const room = await opened.folder.room().catch(() => undefined);
    const kind = settings.cacheDir === undefined ? "opfs" : "disk";
    return new Models(settings, new Store(opened.folder), { kind, usageBytes: room?.usage, quotaBytes: room?.quota });
  }

  /** The store, which a call cannot do without. */
  get store(): Store {
    if (this.#store) return this.#store;
    const hint = inNode() ? "pass cacheDir to Crane.create" : "models can still be loaded, but not kept";
    throw new CraneError("unsupported", `there is no place to keep models: ${this.#noStore}`, { hint });
  }

  /** Brings a model into the store. */
  async pull(place: Place, sha256: string | undefined, context: Omit<Context, "warn">): Promise<StoredModel> {
    if (place.id === undefined) {
      throw new CraneError("invalid_argument", "pull: the model has no name of its own", { hint: "pass { name }" });
    }
    return this.store.pull(place.id, () => this.#wanted(place, sha256, context), { ...context, retries: this.#retries });
  }

  /**
   * Opens the files of a model: those of the network out of the store, into which they are brought first, unless `keep` is false.
   * Where the storage fails, they are held in memory instead, and the context is warned.
   */
  async open(place: Place, quantize: Quantization | undefined, keep: boolean, context: Context): Promise<{ files: OpenFile[]; stored: boolean }> {
    const id = place.id;
    const kept = place.kind === "stored" || place.kind === "hub" || place.files.every(isRemote);
    if (id !== undefined && kept && (place.kind === "stored" || (keep && this.#store))) {
      try {
        return { files: await this.#openStored(id, place, quantize, context), stored: true };
      } catch (cause) {
        if (place.kind === "stored" || !isStorageFailure(cause)) throw cause;
        return { files: await this.openUnstored(place, quantize, cause, context), stored: false };
      }
    }
    const sources = place.kind === "hub" ? (await this.#hub.resolve(place.hub, context.signal)).files : place.kind === "files" ? place.files : [];
    checkFits(id ?? "the model", sources.map((file) => ({ name: file.name, size: sizeOf(file) })), quantize);
    return { files: await openFiles(sources, { ...context, retries: this.#retries }), stored: false };
  }

  /** Opens the files of a model of the network without storing them, because of a failure of the storage; what is stored of them is used. */
  async openUnstored(place: Place, quantize: Quantization | undefined, failure: CraneError, context: Context): Promise<OpenFile[]> {
    const label = place.id ?? "the model";
    context.warn(new CraneError(failure.code, `${label} is loaded without being stored: ${failure.message}`, { hint: failure.hint, cause: failure }));
    const { files } = await this.#wanted(place, undefined, context);
    checkFits(label, files, quantize);
    const leftovers = place.id === undefined || !this.#store ? [] : await this.#store.leftovers(place.id, files);
    return openFiles(files.filter((file) => "url" in file), { ...context, retries: this.#retries }, leftovers);
  }

  async #openStored(id: string, place: Place, quantize: Quantization | undefined, context: Context): Promise<OpenFile[]> {
    let damaged: string | undefined;
    let model = await this.store.find(id, (reason) => (damaged = reason));
    try {
      model ??= await this.pull(place, undefined, context);
    } catch (cause) {
      throw withDamage(cause, damaged);
    }
    checkFits(id, model.files, quantize);
    return this.store.open(id);
  }

  async #wanted(place: Place, sha256: string | undefined, { signal }: Pick<Context, "signal">): Promise<Wanted> {
    if (place.kind === "stored") throw new CraneError("not_found", `${place.id} is not in the store`, { hint: "pull its files again, with that name" });
    if (place.kind === "hub") return this.#hub.resolve(place.hub, signal);
    const files = await Promise.all(
      place.files.map(async (file) => (isRemote(file) ? toRemote(file) : { name: file.name, ...(await openHere(file.source)) })),
    );
    if (sha256 === undefined) return { files };
    return { files: files.map((file) => ({ ...file, checksum: { kind: "sha256", hex: sha256 } })) };
  }
}

async function openRoot(cacheDir: string | undefined): Promise<{ folder: Folder } | { reason: string }> {
  if (cacheDir !== undefined) return { folder: await openDisk(cacheDir) };
  if (inNode()) {
    return { reason: "in Node models are read anew each time unless cacheDir names a folder" };
  }
  return openOpfs(OPFS_FOLDER);
}

function sizeOf(file: ModelFile | { size?: number }): number | undefined {
  if (!("source" in file)) return file.size;
  const { source } = file;
  return source instanceof ArrayBuffer ? source.byteLength : source instanceof Blob ? source.size : undefined;
}

/** Says that a model had to be fetched because what was stored of it is damaged. */
function withDamage(cause: unknown, damaged: string | undefined): unknown {
  if (damaged === undefined || !(cause instanceof CraneError)) return cause;
  return new CraneError(cause.code, `the stored copy was damaged (${damaged}) and was removed; ${cause.message}`, { hint: cause.hint, cause });
}
