/** A folder of the disk, in Node, as a `Folder`. */
import type { Folder, ReadableFile, WritableFile } from "./folder.js";
import { noRoom } from "./folder.js";
import { fileSystem, openLocal } from "./read_bytes.js";

/** Opens the folder at this path; it is made if it is not there. */
export async function openDisk(path: string): Promise<Folder> {
  const fs = await fileSystem();
  fs.mkdirSync(path, { recursive: true });
  return new DiskFolder(fs, path);
}

class DiskFolder implements Folder {
  readonly #fs: typeof import("node:fs");
  readonly #path: string;

  constructor(fs: typeof import("node:fs"), path: string) {
    this.#fs = fs;
    this.#path = path;
  }

  async folder(name: string): Promise<Folder> {
    return openDisk(this.#below(name));
  }

  async folders(): Promise<string[]> {
    return this.#fs.readdirSync(this.#path, { withFileTypes: true }).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  }

  async size(name: string): Promise<number | undefined> {
    return this.#fs.statSync(this.#below(name), { throwIfNoEntry: false })?.size;
  }

  async open(name: string): Promise<WritableFile> {
    const { fs, path } = { fs: this.#fs, path: this.#below(name) };
    const { O_CREAT, O_RDWR } = fs.constants;
    const handle = fs.openSync(path, O_CREAT | O_RDWR);
    return {
      size: () => fs.fstatSync(handle).size,
      read: (offset, length) => {
        const bytes = new Uint8Array(length);
        let have = 0;
        while (have < length) {
          const count = fs.readSync(handle, bytes, have, length - have, offset + have);
          if (count === 0) throw new Error(`${path} ended at byte ${offset + have}`);
          have += count;
        }
        return bytes;
      },
      write: (bytes, offset) => {
        try {
          let have = 0;
          while (have < bytes.length) have += fs.writeSync(handle, bytes, have, bytes.length - have, offset + have);
        } catch (cause) {
          if (["ENOSPC", "EDQUOT", "EFBIG"].includes(String((cause as { code?: unknown }).code))) throw noRoom(path, "", cause);
          throw cause;
        }
      },
      truncate: (size) => fs.ftruncateSync(handle, size),
      flush: () => fs.fsyncSync(handle),
      close: () => fs.closeSync(handle),
    };
  }

  async reader(name: string): Promise<ReadableFile> {
    return openLocal(this.#below(name));
  }

  async text(name: string): Promise<string | undefined> {
    const path = this.#below(name);
    return this.#fs.existsSync(path) ? this.#fs.readFileSync(path, "utf8") : undefined;
  }

  async remove(name: string): Promise<void> {
    this.#fs.rmSync(this.#below(name), { recursive: true, force: true });
  }

  async room(): Promise<{ usage: number; quota: number } | undefined> {
    const { bsize, bavail } = this.#fs.statfsSync(this.#path);
    return { usage: 0, quota: bsize * bavail };
  }

  #below(name: string): string {
    return `${this.#path}/${name}`;
  }
}
