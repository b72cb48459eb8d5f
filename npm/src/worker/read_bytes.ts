/** Files of the machine, which only Node may read. */

/** What Node offers for a file: its size and a synchronous read of a range. */
export interface LocalFile {
  size: number;
  read: (offset: number, length: number) => Uint8Array;
  close: () => void;
}

/** Whether this worker is one of Node's. */
export function inNode(): boolean {
  return typeof process === "object" && typeof globalThis.postMessage !== "function";
}

/** Node's file system. */
export async function fileSystem(): Promise<typeof import("node:fs")> {
  const name = "node:fs";
  return (await import(/* @vite-ignore */ /* webpackIgnore: true */ name)) as typeof import("node:fs");
}

/** The whole file at a `file:` URL. */
export async function readBytes(url: string): Promise<Uint8Array<ArrayBuffer>> {
  const { readFileSync } = await fileSystem();
  return new Uint8Array(readFileSync(new URL(url)));
}

/** Opens the file at a path or a `file:` URL for reading by ranges. */
export async function openLocal(place: string | URL): Promise<LocalFile> {
  const { openSync, fstatSync, readSync, closeSync } = await fileSystem();
  const handle = openSync(place, "r");
  return {
    size: fstatSync(handle).size,
    read: (offset, length) => {
      const bytes = new Uint8Array(length);
      let have = 0;
      while (have < length) {
        const count = readSync(handle, bytes, have, length - have, offset + have);
        if (count === 0) throw new Error(`the file ended at byte ${offset + have}`);
        have += count;
      }
      return bytes;
    },
    close: () => closeSync(handle),
  };
}
