/**
 * The models that are kept between visits.
 *
 * A model has a folder of its own: files `0`, `1`, … and, while it is being pulled, `pull.json`, which says what they are
 * and how far they are. `model.json` is written last: a model without it is not whole. Files whose sums no server has said
 * are trusted once a model was built of them.
 */
import { CraneError } from "../errors.js";
import { stopIfAborted } from "../signals.js";
import { checkFits } from "../memory_limit.js";
import type { Progress, StoredModel } from "../types.js";
import { bindings } from "./bindings.js";
import { isStorageFailure, noRoom, type Folder, type ReadableFile, writeText } from "./folder.js";
import { exclusively } from "./lock.js";
import { Meter } from "./meter.js";
import { nextTask } from "./next_task.js";
import type { OpenFile } from "./open_files.js";
import { announce, listen } from "./shared_progress.js";
import { newSum, Transfer, type Remote, type Sum } from "./transfer.js";

/** What `pull.json` and `model.json` look like; another number is not read. */
const FORMAT = 1;
const PLAN = "pull.json";
const RECORD = "model.json";
/** There once a model was built of the files. */
const BUILT = "built";
/** Bytes of a file that may be a server's word instead of what was asked for, if nothing else says so. */
const SHORT = 1 << 20;
const BLOCK = 1 << 20;

/** A file of this machine that is to be stored. */
export interface Local {
  name: string;
  size: number;
  read: (offset: number, length: number) => Uint8Array;
}

/** What a pull has to fetch or copy. */
export interface Wanted {
  commit?: string;
  files: (Remote | Local)[];
}

/** One file in `pull.json` or `model.json`. */
interface Entry {
  name: string;
  url?: string;
  size?: number;
  /** What it should be or, once it is there, what it is. */
  sum?: Sum;
  /** What names the bytes on the server, as far as they have come. */
  validator?: string;
  done?: boolean;
  /** Whether the server said beforehand what its sum is; else the sum is that of whatever came. */
  proven?: boolean;
}

interface Manifest {
  format: number;
  id: string;
  commit?: string;
  files: Entry[];
}

/** How a pull is to be done. */
export interface PullContext {
  signal: AbortSignal;
  report: (progress: Progress) => void;
  retries: number;
}

/** What is stored of a file that is to be fetched, and what names its bytes on the server. */
export interface Leftover {
  open: () => Promise<ReadableFile>;
  validator: string | undefined;
}

/** Models in one folder. */
export class Store {
  readonly #root: Folder;

  constructor(root: Folder) {
    this.#root = root;
  }

  /** The model of this id if all of it is there. One that is damaged is removed, and `damage` told why. */
  async find(id: string, damage: (reason: string) => void = () => {}): Promise<StoredModel | undefined> {
    const found = await this.#record(id);
    if (!found) return undefined;
    const { folder, record } = found;
    for (const [index, { name, size }] of record.files.entries()) {
      const found = await folder.size(String(index));
      if (found === size) continue;
      damage(`${name} should have ${size} bytes, but ${found === undefined ? "is gone" : `has ${found}`}`);
      await this.#root.remove(keyOf(id));
      return undefined;
    }
    return describe(record, true, sizes(record.files));
  }

  /**
   * Brings a model into the store; what is there already is not asked for again. `resolve` says what there is to fetch, and
   * is only called if something is. While another tab brings the model, its numbers are reported.
   */
  async pull(id: string, resolve: () => Promise<Wanted>, context: PullContext): Promise<StoredModel> {
    const key = keyOf(id);
    const deafen = listen(key, context.report);
    const work = async (): Promise<StoredModel> => {
      deafen();
      const there = await this.find(id);
      if (there) return there;
      const wanted = await resolve();
      checkFits(id, wanted.files, "any");
      const { report, close } = announce(key, context.report);
      try {
        return await this.#bring(id, wanted, { ...context, report });
      } catch (cause) {
        if (!(cause instanceof CraneError) || cause.code !== "quota_exceeded") throw cause;
        const stored = (await this.list().catch(() => [])).find((model) => model.id === id)?.storedBytes ?? 0;
        const room = await this.#root.room();
        const said = room ? `; it is said to have ${Math.max(0, room.quota - room.usage)} bytes left` : "";
        const all = wanted.files.some(({ size }) => size === undefined) ? "" : ` of ${sizes(wanted.files)}`;
        throw noRoom(`${id}: ${stored}${all} bytes are stored`, said, cause);
      } finally {
        close();
      }
    };
    try {
      return await exclusively(key, context.signal, work);
    } finally {
      deafen();
    }
  }

  /**
   * What is stored of each of these files, of a model that is whole or begun. A load that cannot store the rest goes on from
   * there in memory; where the storage fails, nothing is left.
   */
  async leftovers(id: string, files: Wanted["files"]): Promise<(Leftover | undefined)[]> {
    try {
      const key = keyOf(id);
      if (!(await this.#root.folders()).includes(key)) return [];
      const folder = await this.#root.folder(key);
      const record = (await read(folder, RECORD)) ?? (await read(folder, PLAN));
      return await Promise.all(
        files.map(async (file, index) => {
          const old = record?.files[index];
          if (!old || !isSame(old, entryOf(file)) || !(await folder.size(String(index)))) return undefined;
          return { open: () => folder.reader(String(index)), validator: old.validator };
        }),
      );
    } catch (cause) {
      if (isStorageFailure(cause)) return [];
      throw cause;
    }
  }

  /** The files of a stored model, open for reading. */
  async open(id: string): Promise<OpenFile[]> {
    const found = await this.#record(id);
    if (!found) throw new CraneError("not_found", `${id} is not in the store`, { hint: "pull it first" });
    const opened: OpenFile[] = [];
    try {
      for (const [index, { name }] of found.record.files.entries()) opened.push({ name, ...(await found.folder.reader(String(index))) });
    } catch (cause) {
      for (const { close } of opened) close();
      throw cause;
    }
    return opened;
  }

  /** Every model, and those whose pull was begun. */
  async list(): Promise<StoredModel[]> {
    const models: StoredModel[] = [];
    for (const key of await this.#root.folders()) {
      const folder = await this.#root.folder(key);
      const whole = await read(folder, RECORD);
      const record = whole ?? (await read(folder, PLAN));
      if (!record) continue;
      let stored = 0;
      for (const index of record.files.keys()) stored += (await folder.size(String(index))) ?? 0;
      models.push(describe(record, whole !== undefined, stored));
    }
    return models.sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Removes a model, whole or begun; says whether there was one. */
  async remove(id: string): Promise<boolean> {
    const key = keyOf(id);
    return exclusively(key, undefined, async () => {
      const there = (await this.#root.folders()).includes(key);
      await this.#root.remove(key);
      return there;
    });
  }

  /**
   * Sums up a stored model again.
   *
   * Throws `corrupt` if a byte has changed; the model is then removed.
   */
  async verify(id: string, context: Pick<PullContext, "signal" | "report">): Promise<void> {
    const found = await this.#record(id);
    if (!found) throw new CraneError("not_found", `${id} is not in the store`, { hint: "pull it first" });
    const { record } = found;
    const meter = new Meter("verify", context.report);
    meter.plan(record.files.map(({ name, size }) => ({ name, size, loaded: 0 })));
    const files = await this.open(id);
    let changed: string | undefined;
    try {
      for (const [index, file] of files.entries()) {
        const expected = record.files[index]?.sum;
        const sum = newSum({ size: file.size, ...(expected ? { checksum: expected } : {}) });
        try {
          await eachBlock(file, context.signal, (bytes) => {
            sum.update(bytes);
            meter.add(file.name, bytes.length);
          });
          if (sum.hex() !== expected?.hex) changed ??= file.name;
        } finally {
          sum.free();
        }
      }
    } finally {
      for (const { close } of files) close();
    }
    if (changed === undefined) return;
    await this.remove(id);
    throw new CraneError("corrupt", `${id}: the stored bytes of ${changed} have changed; the model was removed from the store`, { hint: "pull it again" });
  }

  /** Notes that a model was built of the files: from now on they are trusted. */
  async trust(id: string): Promise<void> {
    const found = await this.#record(id);
    if (!found || found.record.files.every(({ proven }) => proven) || (await found.folder.size(BUILT)) !== undefined) return;
    await writeText(found.folder, BUILT, "");
  }

  /**
   * Takes back that a model is whole of whose files none could be built: a server may have sent something else, or less. The next pull asks
   * for them again, but for those whose sums were known and, of what is sound but of no use here, large ones. Returns whether there were such files.
   */
  async distrust(id: string, sound: boolean): Promise<boolean> {
    return exclusively(keyOf(id), undefined, async () => {
      const found = await this.#record(id);
      if (!found || (await found.folder.size(BUILT)) !== undefined) return false;
      const { folder, record } = found;
      const doubtful = record.files.map(({ proven, size }) => !proven && (!sound || (size ?? 0) <= SHORT));
      if (!doubtful.includes(true)) return false;
      const files = record.files.map((entry, index): Entry => {
        const { name, url } = entry;
        return doubtful[index] ? { name, ...(url === undefined ? {} : { url }) } : { ...entry, done: true };
      });
      for (const [index, bad] of doubtful.entries()) if (bad) await folder.remove(String(index));
      await writeText(folder, PLAN, JSON.stringify({ ...record, files }));
      await folder.remove(RECORD);
      return true;
    });
  }

  async #bring(id: string, wanted: Wanted, context: PullContext): Promise<StoredModel> {
    const begun = (await this.#root.folders()).includes(keyOf(id));
    if (!begun) await this.#demandRoom(id, sizes(wanted.files));
    const folder = await this.#root.folder(keyOf(id));
    const record = await this.#plan(folder, id, wanted);
    await this.#fetch(folder, record, wanted, context);
    const files = record.files.map(({ validator: _, done: __, ...file }) => file);
    await writeText(folder, RECORD, JSON.stringify({ ...record, files }));
    await folder.remove(PLAN);
    return describe(record, true, sizes(record.files));
  }

  async #record(id: string): Promise<{ folder: Folder; record: Manifest } | undefined> {
    const key = keyOf(id);
    if (!(await this.#root.folders()).includes(key)) return undefined;
    const folder = await this.#root.folder(key);
    const record = await read(folder, RECORD);
    return record && { folder, record };
  }

  /** Writes down what is to be fetched; files of an earlier plan are taken over where they are the same. */
  async #plan(folder: Folder, id: string, wanted: Wanted): Promise<Manifest> {
    const earlier = await read(folder, PLAN);
    await folder.remove(BUILT);
    const files: Entry[] = [];
    for (const [index, file] of wanted.files.entries()) {
      const entry = entryOf(file);
      const old = earlier?.files[index];
      const same = old !== undefined && isSame(old, entry);
      if (!same) await folder.remove(String(index));
      files.push(same ? { ...old, ...entry } : entry);
    }
    for (let index = files.length; index < (earlier?.files.length ?? 0); index++) await folder.remove(String(index));
    const record = { format: FORMAT, id, ...(wanted.commit === undefined ? {} : { commit: wanted.commit }), files };
    await writeText(folder, PLAN, JSON.stringify(record));
    return record;
  }

  async #fetch(folder: Folder, record: Manifest, wanted: Wanted, { signal, report, retries }: PullContext): Promise<void> {
    const [download, copy, verify] = [new Meter("download", report), new Meter("copy", report), new Meter("verify", report)];
    const save = (): Promise<void> => writeText(folder, PLAN, JSON.stringify(record));
    const planned = await Promise.all(
      wanted.files.map(async (file, index) => ({ name: file.name, size: file.size, loaded: (await folder.size(String(index))) ?? 0, remote: "url" in file })),
    );
    await this.#demandRoom(record.id, planned.reduce((bytes, { size = 0, loaded }) => bytes + Math.max(0, size - loaded), 0));
    download.plan(planned.filter(({ remote }) => remote));
    copy.plan(planned.filter(({ remote }) => !remote));
    for (const [index, file] of wanted.files.entries()) {
      const entry = record.files[index];
      if (!entry || entry.done) continue;
      const target = await folder.open(String(index));
      try {
        if ("url" in file) {
          const note = async (validator: string | undefined): Promise<void> => {
            if (validator === undefined) delete entry.validator;
            else entry.validator = validator;
            await save();
          };
          Object.assign(entry, await new Transfer(file, target, entry.validator, { signal, retries, download, verify, note }).complete());
        } else {
          entry.sum = await copyInto(target, file, copy, signal);
        }
        if (!("url" in file) || file.checksum) entry.proven = true;
        entry.done = true;
      } finally {
        target.close();
      }
      await save();
    }
  }

  async #demandRoom(id: string, bytes: number): Promise<void> {
    const room = await this.#root.room();
    // What no server has measured is measured by writing it.
    if (!room || bytes === 0 || bytes <= room.quota - room.usage) return;
    throw noRoom(`${id}: ${bytes} bytes are to be stored`);
  }
}

/** The folder of a model: ids are too long, and have signs that file systems refuse. */
function keyOf(id: string): string {
  const sum = bindings().Checksum.sha256();
  sum.update(new TextEncoder().encode(id));
  const hex = sum.hex();
  sum.free();
  return hex.slice(0, 32);
}

function entryOf(file: Remote | Local): Entry {
  const { name, size } = file;
  if (!("url" in file)) return { name, ...(size === undefined ? {} : { size }) };
  return { name, url: file.url, ...(size === undefined ? {} : { size }), ...(file.checksum ? { sum: file.checksum } : {}) };
}

/** Whether what is stored of an entry may be of the file that another one describes. */
function isSame(old: Entry, entry: Entry): boolean {
  return old.name === entry.name && (entry.sum ? old.sum?.hex === entry.sum.hex : entry.url !== undefined && old.url === entry.url);
}

/** Reads a record; one that was not written to its end, or is of another format, is none. */
async function read(folder: Folder, name: string): Promise<Manifest | undefined> {
  const text = await folder.text(name);
  if (text === undefined) return undefined;
  try {
    const record = JSON.parse(text) as Partial<Manifest>;
    return record.format === FORMAT && typeof record.id === "string" && Array.isArray(record.files) ? (record as Manifest) : undefined;
  } catch {
    return undefined;
  }
}

function describe({ id, commit, files }: Manifest, complete: boolean, storedBytes: number): StoredModel {
  return {
    id,
    ...(commit === undefined ? {} : { commit }),
    files: files.map(({ name, size }) => ({ name, size })),
    storedBytes,
    totalBytes: files.some(({ size }) => size === undefined) ? undefined : sizes(files),
    complete,
  };
}

function sizes(files: { size?: number }[]): number {
  return files.reduce((bytes, { size }) => bytes + (size ?? 0), 0);
}

async function copyInto(target: { truncate(size: number): void; write(bytes: Uint8Array, offset: number): void; flush(): void }, file: Local, meter: Meter, signal: AbortSignal): Promise<Sum> {
  target.truncate(0);
  meter.skip(file.name, 0);
  const sum = bindings().Checksum.sha256();
  try {
    let offset = 0;
    await eachBlock(file, signal, (bytes) => {
      target.write(bytes, offset);
      sum.update(bytes);
      offset += bytes.length;
      meter.add(file.name, bytes.length);
    });
    target.flush();
    return { kind: "sha256", hex: sum.hex() };
  } finally {
    sum.free();
  }
}

async function eachBlock({ size, read }: Local, signal: AbortSignal, work: (bytes: Uint8Array) => void): Promise<void> {
  for (let offset = 0; offset < size; offset += BLOCK) {
    work(read(offset, Math.min(BLOCK, size - offset)));
    await nextTask();
    stopIfAborted(signal);
  }
}
