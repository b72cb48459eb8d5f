/** A folder that outlives the page: of the origin's private file system in a browser, of the disk in Node. */
import { CraneError } from "../errors.js";

/** A file that is open for writing, synchronously. */
export interface WritableFile {
  size(): number;
  read(offset: number, length: number): Uint8Array;
  /** Writes all of the bytes, or throws. */
  write(bytes: Uint8Array, offset: number): void;
  truncate(size: number): void;
  /** Gives what was written to the disk. */
  flush(): void;
  close(): void;
}

/** A file that is open for reading, synchronously; others may read it too. */
export interface ReadableFile {
  size: number;
  read(offset: number, length: number): Uint8Array;
  close(): void;
}

/** What the store needs of a file system. */
export interface Folder {
  /** The folder of this name, made if it is not there. */
  folder(name: string): Promise<Folder>;
  /** The names of the folders in it. */
  folders(): Promise<string[]>;
  /** The size of a file; `undefined` if it is not there. */
  size(name: string): Promise<number | undefined>;
  /** Opens a file for this worker alone; it is made if it is not there. */
  open(name: string): Promise<WritableFile>;
  reader(name: string): Promise<ReadableFile>;
  /** The text of a file; `undefined` if it is not there. */
  text(name: string): Promise<string | undefined>;
  /** Removes a file or a folder with all that is in it; nothing happens if it is not there. */
  remove(name: string): Promise<void>;
  /** How much room there is for more, if that is known. */
  room(): Promise<{ usage: number; quota: number } | undefined>;
}

/** Puts a text in place of a file's content. */
export async function writeText(folder: Folder, name: string, text: string): Promise<void> {
  const file = await folder.open(name);
  try {
    file.truncate(0);
    file.write(new TextEncoder().encode(text), 0);
    file.flush();
  } finally {
    file.close();
  }
}

/** Whether an error says that the place where models are kept failed: full, taken away, or locked by somebody else. */
export function isStorageFailure(cause: unknown): cause is CraneError {
  return cause instanceof CraneError && (cause.code === "quota_exceeded" || cause.code === "io");
}

/** The error of a write for which there is no room. Browsers may say that there is more than they give. */
export function noRoom(what: string, said = "", cause?: unknown): CraneError {
  return new CraneError("quota_exceeded", `${what}: there is no room for more in the storage${said}`, {
    hint: "remove models with crane.models.remove, free disk space, or load with store: false; what was stored is kept, and the next pull goes on from there",
    ...(cause === undefined ? {} : { cause }),
  });
}
