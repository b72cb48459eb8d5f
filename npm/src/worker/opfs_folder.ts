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
  if (typeof navigator.storage?.getDirectory !== "function") return { reason: "this browser has no origin private file system" };
  try {
    if (!("createSyncAccessHandle" in FileSystemFileHandle.prototype)) return { reason: "this browser cannot write files synchronously" };
    const root = await navigator.storage.getDirectory();
    return { folder: new OpfsFolder(await root.getDirectoryHandle(name, { create: true })) };
  } catch (cause) {
    return { reason: `the browser refused its private file system: ${String(cause)}` };
  }
}

class OpfsFolder implements Folder {
  readonly #handle: FileSystemDirectoryHandle;

  constructor(handle: FileSystemDirectoryHandle) {
    this.#handle = handle;
  }

  async folder(name: string): Promise<Folder> {
    try {
      return new OpfsFolder(await this.#handle.getDirectoryHandle(name, { create: true }));
    } catch (cause) {
      throw failure(name, "made", cause);
    }
  }

  async folders(): Promise<string[]> {
    const names: string[] = [];
    const entries = (this.#handle as unknown as { values(): AsyncIterable<FileSystemHandle> }).values();
    for await (const { kind, name } of entries) if (kind === "directory") names.push(name);
    return names;
  }

  async size(name: string): Promise<number | undefined> {
    return (await this.#file(name))?.size;
  }

  async open(name: string): Promise<WritableFile> {
    try {
      return writable(name, await access(await this.#handle.getFileHandle(name, { create: true })));
    } catch (cause) {
      throw failure(name, "opened for writing", cause);
    }
  }

  async reader(name: string): Promise<ReadableFile> {
    const file: FileHandle = await this.#handle.getFileHandle(name);
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
  }

  async text(name: string): Promise<string | undefined> {
    return (await this.#file(name))?.text();
  }

  async remove(name: string): Promise<void> {
    try {
      await this.#handle.removeEntry(name, { recursive: true });
    } catch (cause) {
      if (!isMissing(cause)) throw failure(name, "removed", cause);
    }
  }

  async room(): Promise<{ usage: number; quota: number } | undefined> {
    const { usage, quota } = await navigator.storage.estimate();
    return usage === undefined || quota === undefined ? undefined : { usage, quota };
  }

  async #file(name: string): Promise<File | undefined> {
    try {
      return await (await this.#handle.getFileHandle(name)).getFile();
    } catch (cause) {
      if (isMissing(cause)) return undefined;
      throw cause;
    }
  }
}

function isMissing(cause: unknown): boolean {
  return cause instanceof DOMException && cause.name === "NotFoundError";
}

function failure(name: string, what: string, cause: unknown): CraneError {
  if (cause instanceof DOMException && cause.name === "QuotaExceededError") return noRoom(name, "", cause);
  return new CraneError("io", `the stored ${name} cannot be ${what}: ${String(cause)}`, { hint: "another tab may be using it; try again", cause });
}

async function access(file: FileHandle, options?: { mode: "read-only" }): Promise<SyncAccessHandle> {
  if (!file.createSyncAccessHandle) throw new Error("there are no synchronous handles here");
  return file.createSyncAccessHandle(options);
}

function readAll(name: string, handle: SyncAccessHandle, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  const count = handle.read(bytes, { at: offset });
  if (count !== length) throw new CraneError("io", `${name}: ${length} bytes were asked for at ${offset}, ${count} came`);
  return bytes;
}

function writable(name: string, handle: SyncAccessHandle): WritableFile {
  return {
    size: () => handle.getSize(),
    read: (offset, length) => readAll(name, handle, offset, length),
    write: (bytes, offset) => {
      let count: number;
      try {
        count = handle.write(bytes, { at: offset });
      } catch (cause) {
        throw failure(name, "written", cause);
      }
      if (count < bytes.length) throw noRoom(name);
    },
    truncate: (size) => handle.truncate(size),
    flush: () => handle.flush(),
    close: () => handle.close(),
  };
}
