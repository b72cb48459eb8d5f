/** A folder of the disk, in Node, as a `Folder`. */
import { CraneError } from "../errors.js";
import type { Folder, ReadableFile, WritableFile } from "./folder.js";
import { noRoom } from "./folder.js";
import { fileSystem, openLocal } from "./read_bytes.js";

/** Opens the folder at this path; it is made if it is not there. */
export async function openDisk(path: string): Promise<Folder> {
  const fs = await fileSystem();
  return told(path, () => {
    fs.mkdirSync(path, { recursive: true });
    return new DiskFolder(fs, path);
  });
}

class DiskFolder implements Folder {
  readonly #fs: typeof import("node:fs");
  readonly #path: string;

  constructor(fs: typeof import("node:fs"), path: string) {
    this.#fs = fs;
    this.#path = path;
  }

  async folder(name: string): Promise<Folder> {
    const path = this.#below(name);
    return told(path, () => {
      this.#fs.mkdirSync(path, { recursive: true });
      return new DiskFolder(this.#fs, path);
    });
  }

  async folders(): Promise<string[]> {
    // A folder that was taken away holds none, and is made again when something is written.
    if (!this.#fs.existsSync(this.#path)) return [];
    return told(this.#path, () => this.#fs.readdirSync(this.#path, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name));
  }

  async size(name: string): Promise<number | undefined> {
    const path = this.#below(name);
    return told(path, () => this.#fs.statSync(path, { throwIfNoEntry: false })?.size);
  }

  async open(name: string): Promise<WritableFile> {
    const { fs, path } = { fs: this.#fs, path: this.#below(name) };
    const { O_CREAT, O_RDWR } = fs.constants;
    const handle = told(path, () => fs.openSync(path, O_CREAT | O_RDWR));
    return {
      size: () => told(path, () => fs.fstatSync(handle).size),
      read: (offset, length) =>
        told(path, () => {
          const bytes = new Uint8Array(length);
          let have = 0;
          while (have < length) {
            const count = fs.readSync(handle, bytes, have, length - have, offset + have);
            if (count === 0) throw new Error(`it ended at byte ${offset + have}`);
            have += count;
          }
          return bytes;
        }),
      write: (bytes, offset) =>
        told(path, () => {
          let have = 0;
          while (have < bytes.length) have += fs.writeSync(handle, bytes, have, bytes.length - have, offset + have);
        }),
      truncate: (size) => told(path, () => fs.ftruncateSync(handle, size)),
      flush: () => told(path, () => fs.fsyncSync(handle)),
      close: () => fs.closeSync(handle),
    };
  }

  async reader(name: string): Promise<ReadableFile> {
    const path = this.#below(name);
    return openLocal(path).catch((cause: unknown) => {
      throw failure(path, cause);
    });
  }

  async text(name: string): Promise<string | undefined> {
    const path = this.#below(name);
    return told(path, () => (this.#fs.existsSync(path) ? this.#fs.readFileSync(path, "utf8") : undefined));
  }

  async remove(name: string): Promise<void> {
    const path = this.#below(name);
    told(path, () => this.#fs.rmSync(path, { recursive: true, force: true }));
  }

  async room(): Promise<{ usage: number; quota: number } | undefined> {
    return told(this.#path, () => {
      const { bsize, bavail } = this.#fs.statfsSync(this.#path);
      return { usage: 0, quota: bsize * bavail };
    });
  }

  #below(name: string): string {
    return `${this.#path}/${name}`;
  }
}

function told<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw failure(path, cause);
  }
}

function failure(path: string, cause: unknown): CraneError {
  if (["ENOSPC", "EDQUOT", "EFBIG"].includes(String((cause as { code?: unknown }).code))) return noRoom(path, "", cause);
  return new CraneError("io", `the stored ${path} cannot be used: ${String(cause)}`, { hint: "check the folder and its permissions", cause });
}
