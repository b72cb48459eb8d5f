/**
 * Opens the files of a model so that the engine can read ranges of them, synchronously.
 *
 * The bytes stay outside WebAssembly memory, which never shrinks: the engine copies one tensor at a time.
 */
import { CraneError } from "../errors.js";
import type { ModelFile } from "../protocol.js";
import type { Progress } from "../types.js";
import { MemoryFile } from "./memory_file.js";
import { Meter } from "./meter.js";
import { openLocal } from "./read_bytes.js";
import type { Leftover } from "./store.js";
import { Transfer, type Remote } from "./transfer.js";

/** A file that can be read. */
export interface OpenFile {
  name: string;
  size: number;
  read: (offset: number, length: number) => Uint8Array;
  close: () => void;
}

/** How files are to be opened. */
export interface OpenContext {
  signal: AbortSignal;
  report: (progress: Progress) => void;
  retries: number;
}

/** What workers of a page have to read a blob synchronously; Node has not. */
declare const FileReaderSync: (new () => { readAsArrayBuffer(blob: Blob): ArrayBuffer }) | undefined;

type Range = Omit<OpenFile, "name">;

/** Bytes that are copied at a time. */
const BLOCK = 1 << 20;

/** Opens all files; those of the network are downloaded into memory, from where what is left of an earlier try ends. */
export async function openFiles(files: (ModelFile | Remote)[], context: OpenContext, leftovers: readonly (Leftover | undefined)[] = []): Promise<OpenFile[]> {
  const meters = { download: new Meter("download", context.report), verify: new Meter("verify", context.report) };
  const opened: OpenFile[] = [];
  try {
    for (const [index, file] of files.entries()) {
      if ("source" in file && !isRemote(file)) opened.push({ name: file.name, ...(await openHere(file.source)) });
      else opened.push({ name: file.name, ...(await download("url" in file ? file : toRemote(file), context, meters, leftovers[index])) });
    }
  } catch (cause) {
    for (const { close } of opened) close();
    throw cause;
  }
  return opened;
}

/** Reports each read as progress of the build. */
export function metered(files: OpenFile[], report: (progress: Progress) => void): OpenFile[] {
  const build = new Meter("build", report);
  build.plan(files.map(({ name, size }) => ({ name, size, loaded: 0 })));
  return files.map((file) => ({
    ...file,
    read: (offset, length) => {
      build.add(file.name, length);
      return file.read(offset, length);
    },
  }));
}

/** Whether the bytes have to be asked for over the network. */
export function isRemote({ source }: ModelFile): boolean {
  return typeof source === "string" && !source.startsWith("file:");
}

/** A file of the network that nothing but its address is known of. */
export function toRemote({ name, source }: ModelFile): Remote {
  return { name, url: String(source) };
}

/** Opens a file of this machine. */
export async function openHere(source: ModelFile["source"]): Promise<Range> {
  if (source instanceof ArrayBuffer) return fromBuffer(new Uint8Array(source));
  if (source instanceof Blob) return fromBlob(source);
  try {
    return await openLocal(new URL(source));
  } catch (cause) {
    const missing = (cause as { code?: unknown }).code === "ENOENT";
    throw new CraneError(missing ? "not_found" : "io", `cannot read ${source}: ${String(cause)}`, { hint: "check the address", cause });
  }
}

function fromBuffer(bytes: Uint8Array): Range {
  return { size: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length), close: () => {} };
}

async function fromBlob(blob: Blob): Promise<Range> {
  if (typeof FileReaderSync !== "function") return fromBuffer(new Uint8Array(await blob.arrayBuffer()));
  const reader = new FileReaderSync();
  return {
    size: blob.size,
    read: (offset, length) => new Uint8Array(reader.readAsArrayBuffer(blob.slice(offset, offset + length))),
    close: () => {},
  };
}

async function download(remote: Remote, { signal, retries }: OpenContext, meters: { download: Meter; verify: Meter }, leftover: Leftover | undefined): Promise<Range> {
  const file = new MemoryFile();
  try {
    const validator = leftover && (await takeOver(leftover, file)) ? leftover.validator : undefined;
    const { size } = await new Transfer(remote, file, validator, { signal, retries, ...meters, note: async () => {} }).complete();
    return { size, read: (offset, length) => file.read(offset, length), close: () => file.close() };
  } catch (cause) {
    file.close();
    if (cause instanceof RangeError) {
      throw new CraneError("out_of_memory", `${remote.name} cannot be held in memory: ${cause.message}`, { hint: "choose a smaller model", cause });
    }
    throw cause;
  }
}

/** Copies what is stored of a file; returns whether it could be read. The transfer finds out whether it is sound. */
async function takeOver(leftover: Leftover, file: MemoryFile): Promise<boolean> {
  try {
    const { size, read, close } = await leftover.open();
    try {
      for (let offset = 0; offset < size; offset += BLOCK) file.write(read(offset, Math.min(BLOCK, size - offset)), offset);
    } finally {
      close();
    }
    return true;
  } catch (cause) {
    if (cause instanceof RangeError) throw cause;
    file.truncate(0);
    return false;
  }
}
