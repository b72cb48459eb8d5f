/** The origin private file system of a browser as a `Folder`. */
import { CraneError } from "../errors.js";
import { type Folder, noRoom, type ReadableFile, type WritableFile } from "./folder.js";

/** What TypeScript's library of pages lacks: it exists in workers alone. */
interface SyncAccessHandle {
  getSize(): number;
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

type FileHandle = FileSystemFileHandle & { createSyncAccessHandle?: (options?: { mode: "read-only" }) => Promise<SyncAccessHandle> };

/** What workers have to read a file synchronously without a lock on it. */
declare const FileReaderSync: new () => { readAsArrayBuffer(blob: Blob): ArrayBuffer };

/** Opens a folder below the origin's root; `reason` says why there is none. */
export async function openOpfs(name: string): Promise<{ folder: Folder } | { reason: string }> {
  if (!globalThis.isSecureContext) return { reason: "the page is not in a secure context (https or localhost)" };
  try {
    if (typeof navigator.storage?.getDirectory !== "function") return { reason: "this browser has no origin private file system" };
    if (!("createSyncAccessHandle" in FileSystemFileHandle.prototype)) return { reason: "this browser cannot write files synchronously" };
    const make = async (): Promise<FileSystemDirectoryHandle> => (await navigator.storage.getDirectory()).getDirectoryHandle(name, { create: true });
    return { folder: new OpfsFolder(await make(), make) };
  } catch (cause) {
    return { reason: `the browser refused its private file system: ${String(cause)}` };
  }
}

/** How often, and after how many milliseconds each, a file is asked for again that a tab which was closed a moment ago still holds. */
const TRIES = 60;
const WAIT = 50;

/** What a browser says of a file that another worker has open. */
const HELD = "NoModificationAllowedError";

class OpfsFolder implements Folder {
  #handle: FileSystemDirectoryHandle;
  /** Makes the folder again: a browser may take it away at any time, when the machine's disk is full or a person clears the site's data. */
  readonly #remake: () => Promise<FileSystemDirectoryHandle>;

  constructor(handle: FileSystemDirectoryHandle, remake: () => Promise<FileSystemDirectoryHandle>) {
    this.#handle = handle;
    this.#remake = remake;
  }

  async folder(name: string): Promise<Folder> {
    const make = (): Promise<FileSystemDirectoryHandle> => this.#there(name, "made", (handle) => handle.getDirectoryHandle(name, { create: true }));
    return new OpfsFolder(await make(), make);
  }

  async folders(): Promise<string[]> {
    return this.#there("folder", "listed", async (handle) => {
      const names: string[] = [];
      const entries = (handle as unknown as { values(): AsyncIterable<FileSystemHandle> }).values();
      for await (const { kind, name } of entries) if (kind === "directory") names.push(name);
      return names;
    });
  }

  async size(name: string): Promise<number | undefined> {
    return (await this.#file(name))?.size;
  }

  async open(name: string): Promise<WritableFile> {
    return this.#there(name, "opened for writing", async (handle) => {
      const file = await handle.getFileHandle(name, { create: true });
      for (let tries = 1; ; tries++) {
        try {
          return writable(name, await access(file));
        } catch (cause) {
          if (!isNamed(cause, HELD) || tries === TRIES) throw cause;
          await new Promise((resolve) => setTimeout(resolve, WAIT));
        }
      }
    });
  }

  async reader(name: string): Promise<ReadableFile> {
    return this.#there(name, "opened", async (folder) => {
      const file: FileHandle = await folder.getFileHandle(name);
      try {
        const handle = await access(file, { mode: "read-only" });
        return { size: handle.getSize(), read: (offset, length) => readAll(name, handle, offset, length), close: () => handle.close() };
      } catch {
        // Another tab holds the file, and this browser knows no shared handles: a snapshot needs no lock.
        const snapshot = await file.getFile();
        const reader = new FileReaderSync();
        return {
          size: snapshot.size,
          read: (offset, length) => new Uint8Array(reader.readAsArrayBuffer(snapshot.slice(offset, offset + length))),
          close: () => {},
        };
      }
    });
  }

  async text(name: string): Promise<string | undefined> {
    const file = await this.#file(name);
    try {
      return await file?.text();
    } catch (cause) {
      throw failure(name, "read", cause);
    }
  }

  async remove(name: string): Promise<void> {
    try {
      await this.#handle.removeEntry(name, { recursive: true });
    } catch (cause) {
      if (!isMissing(cause)) throw failure(name, "removed", cause);
    }
  }

  async room(): Promise<{ usage: number; quota: number } | undefined> {
    // What is not told is found out by writing.
    const { usage, quota } = await navigator.storage.estimate().catch((): StorageEstimate => ({}));
    return usage === undefined || quota === undefined ? undefined : { usage, quota };
  }

  async #file(name: string): Promise<File | undefined> {
    try {
      return await (await this.#handle.getFileHandle(name)).getFile();
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw failure(name, "read", cause);
    }
  }

  /** Does something in the folder; once more if the folder had been taken away. */
  async #there<T>(name: string, what: string, work: (handle: FileSystemDirectoryHandle) => Promise<T>): Promise<T> {
    try {
      return await work(this.#handle).catch(async (cause: unknown) => {
        if (!isMissing(cause)) throw cause;
        this.#handle = await this.#remake();
        return work(this.#handle);
      });
    } catch (cause) {
      throw failure(name, what, cause);
    }
  }
}

function isMissing(cause: unknown): boolean {
  return isNamed(cause, "NotFoundError");
}

function isNamed(cause: unknown, name: string): boolean {
  return cause instanceof DOMException && cause.name === name;
}

function failure(name: string, what: string, cause: unknown): CraneError {
  if (cause instanceof CraneError) return cause;
  // A class of its own in newer browsers, with the old name.
  if ((cause as { name?: unknown } | null)?.name === "QuotaExceededError") return noRoom(name, "", cause);
  return new CraneError("io", `the stored ${name} cannot be ${what}: ${String(cause)}`, { hint: "another tab may be using it; try again", cause });
}

async function access(file: FileHandle, options?: { mode: "read-only" }): Promise<SyncAccessHandle> {
  if (!file.createSyncAccessHandle) throw new Error("there are no synchronous handles here");
  return file.createSyncAccessHandle(options);
}

function readAll(name: string, handle: SyncAccessHandle, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const count = told(name, "read", () => handle.read(bytes, { at: offset }));
  if (count !== length) throw new CraneError("io", `${name}: ${length} bytes were asked for at ${offset}, ${count} came`);
  return bytes;
}

function writable(name: string, handle: SyncAccessHandle): WritableFile {
  return {
    size: () => told(name, "measured", () => handle.getSize()),
    read: (offset, length) => readAll(name, handle, offset, length),
    write: (bytes, offset) => {
      if (told(name, "written", () => handle.write(bytes, { at: offset })) < bytes.length) throw noRoom(name);
    },
    truncate: (size) => told(name, "cut", () => handle.truncate(size)),
    flush: () => told(name, "written", () => handle.flush()),
    close: () => handle.close(),
  };
}

function told<T>(name: string, what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw failure(name, what, cause);
  }
}
