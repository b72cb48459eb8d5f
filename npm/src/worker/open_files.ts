/**
 * Opens the files of a model so that the engine can read ranges of them, synchronously.
 *
 * The bytes stay outside WebAssembly memory, which never shrinks: the engine copies one tensor at a time.
 */
import { CraneError } from "../errors.js";
import type { ModelFile } from "../protocol.js";
import type { LoadProgress } from "../types.js";
import { Meter } from "./meter.js";
import { openLocal } from "./read_bytes.js";

/** A file that can be read. */
export interface OpenFile {
  name: string;
  size: number;
  read: (offset: number, length: number) => Uint8Array;
}

/** What workers of a page have to read a blob synchronously; Node has not. */
declare const FileReaderSync: (new () => { readAsArrayBuffer(blob: Blob): ArrayBuffer }) | undefined;

type Range = Omit<OpenFile, "name">;

/** Opens all files, downloading those that are URLs; afterwards each read is reported as progress of the build. */
export async function openFiles(files: ModelFile[], signal: AbortSignal, report: (progress: LoadProgress) => void): Promise<OpenFile[]> {
  const download = new Meter("download", report);
  const opened: OpenFile[] = [];
  for (const { name, source } of files) {
    opened.push({ name, ...(await open(name, source, signal, download)) });
  }
  const build = new Meter("build", report);
  for (const { name, size } of opened) build.expect(name, size);
  return opened.map(({ name, size, read }) => ({
    name,
    size,
    read: (offset, length) => {
      build.add(name, length);
      return read(offset, length);
    },
  }));
}

async function open(name: string, source: ModelFile["source"], signal: AbortSignal, meter: Meter): Promise<Range> {
  if (source instanceof ArrayBuffer) return fromBuffer(new Uint8Array(source));
  if (source instanceof Blob) return fromBlob(source);
  if (source.startsWith("file:")) return fromDisk(source);
  return download(name, source, signal, meter);
}

function fromBuffer(bytes: Uint8Array): Range {
  return { size: bytes.length, read: (offset, length) => bytes.subarray(offset, offset + length) };
}

async function fromBlob(blob: Blob): Promise<Range> {
  if (typeof FileReaderSync !== "function") return fromBuffer(new Uint8Array(await blob.arrayBuffer()));
  const reader = new FileReaderSync();
  return {
    size: blob.size,
    read: (offset, length) => new Uint8Array(reader.readAsArrayBuffer(blob.slice(offset, offset + length))),
  };
}

async function fromDisk(url: string): Promise<Range> {
  try {
    return await openLocal(url);
  } catch (cause) {
    const missing = (cause as { code?: unknown }).code === "ENOENT";
    throw new CraneError(missing ? "not_found" : "io", `cannot read ${url}: ${String(cause)}`, { hint: "check the address", cause });
  }
}

async function download(name: string, url: string, signal: AbortSignal, meter: Meter): Promise<Range> {
  const response = await request(url, signal);
  const size = announcedSize(response);
  meter.expect(name, size);
  try {
    return size === undefined ? await collect(name, chunksOf(response), meter) : fromBuffer(await fill(name, chunksOf(response), size, meter));
  } catch (cause) {
    if (signal.aborted || cause instanceof CraneError) throw cause;
    if (cause instanceof RangeError) {
      throw new CraneError("out_of_memory", `${name}: ${size} bytes cannot be had: ${cause.message}`, { hint: "choose a smaller model", cause });
    }
    throw new CraneError("network", `${url}: the connection was lost: ${String(cause)}`, { hint: "load it again", cause });
  }
}

async function request(url: string, signal: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new CraneError("network", `${url} could not be fetched: ${String(cause)}`, {
      hint: "check the address and the connection; another origin must allow this page (CORS)",
      cause,
    });
  }
  if (!response.ok) {
    const code = response.status === 404 || response.status === 410 ? "not_found" : "network";
    throw new CraneError(code, `${url} could not be fetched: status ${response.status}`, { hint: "check the address" });
  }
  if (response.headers.get("content-type")?.startsWith("text/html")) {
    await response.body?.cancel();
    throw new CraneError("not_found", `${url} is a page, not a model file`, { hint: "check the address; some servers answer a missing file with a page" });
  }
  return response;
}

/** The number of bytes to come; unknown if the body is compressed on the way. */
function announcedSize(response: Response): number | undefined {
  const length = response.headers.get("content-length");
  const encoding = response.headers.get("content-encoding") ?? "identity";
  return length !== null && /^\d+$/.test(length) && encoding === "identity" ? Number(length) : undefined;
}

type Chunks = AsyncIterable<Uint8Array<ArrayBuffer>>;

/** The body's chunks; not every browser iterates over a stream itself. */
async function* chunksOf(response: Response): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  const reader = response.body?.getReader();
  for (;;) {
    const next = await reader?.read();
    if (!next || next.done) return;
    yield next.value;
  }
}

/** Reads a body of known size into one buffer. */
async function fill(name: string, chunks: Chunks, size: number, meter: Meter): Promise<Uint8Array> {
  const bytes = new Uint8Array(size);
  let have = 0;
  for await (const chunk of chunks) {
    if (have + chunk.length > size) throw new CraneError("network", `${name}: more than the announced ${size} bytes came`);
    bytes.set(chunk, have);
    have += chunk.length;
    meter.add(name, chunk.length);
  }
  if (have < size) {
    throw new CraneError("network", `${name}: only ${have} of ${size} bytes came`, { hint: "load it again" });
  }
  return bytes;
}

/** Reads a body of unknown size; the browser may keep a `Blob` outside memory. */
async function collect(name: string, chunks: Chunks, meter: Meter): Promise<Range> {
  const parts: Blob[] = [];
  for await (const chunk of chunks) {
    parts.push(new Blob([chunk]));
    meter.add(name, chunk.length);
  }
  return fromBlob(new Blob(parts));
}
