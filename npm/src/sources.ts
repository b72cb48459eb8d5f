/** What a caller names as a model: where it is, and under which id the store keeps it. */
import { resolved } from "./addresses.js";
import { CraneError, shown } from "./errors.js";
import { parseHubId, spellHubId } from "./hub_id.js";
import type { ModelFile, Place } from "./protocol.js";
import type { ModelSource } from "./types.js";

/** A file of a single-file model that has no name of its own. */
const SINGLE = "model.gguf";

/** The ids of models that came from this machine begin so. */
const LOCAL = "local:";

/** What of a folder a model may consist of. */
const PARTS = /\.(gguf|safetensors|json|jinja|txt|onnx|json\.gz)$/;

/** What of a folder below it a codec, or the language model of a voice, may. */
const INNER_PARTS = /\.(safetensors|json|yaml)$|\/pytorch_model\.bin$/;

/** The files of hibari that speech needs. */
const HIBARI = [
  "hibari.onnx",
  "lexicon_us_gold.json.gz",
  "lexicon_us_silver.json.gz",
  "normalize.json",
  "oov.json",
  "oov.onnx",
  "tagger.json.gz",
  "tokenizer_exceptions.json",
  "vocab.json",
  "voices.json",
];

/** Where the model is, and what to call it in messages. `name` names files that have no address. */
export async function placeOf(given: ModelSource, name?: string): Promise<{ place: Place; label: string }> {
  const source = tagOf(given) === "FileSystemFileHandle" ? await opened(given as FileSystemFileHandle) : (given as Exclude<ModelSource, FileSystemFileHandle>);
  if (typeof source === "string") {
    if (source.startsWith(LOCAL)) return { place: { kind: "stored", id: source }, label: source.slice(LOCAL.length) };
    const hub = parseHubId(source);
    if (hub) {
      const id = spellHubId(hub);
      return { place: { kind: "hub", hub, id }, label: id };
    }
  }
  const named = isFolder(source) ? { files: await filesIn(source), label: source.name } : namedFiles(source);
  const id = storeId(source, named, name);
  return { place: { kind: "files", files: named.files, ...(id === undefined ? {} : { id }) }, label: named.label };
}

/** The voice hibari, whose files lie in a folder; the store keeps it under the folder's address. */
export function hibariAt(folder: string | URL): { place: Place; label: string } {
  const base = address(folder).href.replace(/\/*$/, "/");
  const files = HIBARI.map((name) => ({ name, source: base + name }));
  return { place: { kind: "files", files, ...(base.startsWith("http") ? { id: base } : {}) }, label: "hibari" };
}

/** The model's files and what to call the model in messages. */
export function namedFiles(source: Exclude<ModelSource, FileSystemDirectoryHandle | FileSystemFileHandle>): { files: ModelFile[]; label: string } {
  if (isSingle(source)) {
    const name = nameOf(source);
    // A lone file must be GGUF, whatever the address is called: the other formats have several files.
    return { files: [{ name: name.endsWith(".gguf") ? name : SINGLE, source: toSource(source) }], label: name };
  }
  const files = entriesOf(source).map(([name, file]) => {
    if (!isSingle(file)) throw refused(`the file ${shown(name)} is ${kindOf(file)}`, file);
    return { name, source: toSource(file) };
  });
  if (files.length === 0) throw refused("there are no files in it", source);
  return { files, label: files.length === 1 && files[0] ? files[0].name : `${files.length} files` };
}

/** Named files of a list or of a plain object: of nothing else, so that no value is taken apart that is something else. */
function entriesOf(source: unknown): [string, unknown][] {
  const tag = tagOf(source);
  if (Array.isArray(source) || tag === "FileList") {
    return Array.from(source as ArrayLike<unknown>, (file, index) => {
      if (!isBlob(file)) throw refused(`the ${index + 1}. of the list is ${kindOf(file)}, not a File`, file);
      return [nameOf(file), file];
    });
  }
  const prototype = typeof source === "object" && source !== null ? (Object.getPrototypeOf(source) as object | null) : undefined;
  // Of another window's objects the prototype's own prototype is none, too.
  const plain = prototype === null || (prototype !== undefined && tag === "Object" && Object.getPrototypeOf(prototype) === null);
  if (!plain) throw refused(`it is ${kindOf(source)}`, source);
  return Object.entries(source as object);
}

/** What helps with values that hold a model in a way that cannot be read here. */
const ADVICE: Readonly<Record<string, string>> = {
  Promise: "await it first",
  Response: "pass its address, or await response.blob()",
  Request: "pass its address",
  ReadableStream: "pass await new Response(stream).blob()",
  Map: "pass Object.fromEntries(map)",
};

function refused(what: string, value: unknown): CraneError {
  return new CraneError("invalid_argument", `source: ${what}`, {
    hint: ADVICE[tagOf(value)] ?? "pass a name on the Hub, a URL, a File, Blob, ArrayBuffer or Uint8Array, a folder's handle, or an object of names and such files",
  });
}

/** What a value is called in messages. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined || value === "") return value === "" ? "an empty text" : String(value);
  if (typeof value !== "object") return `a ${typeof value}`;
  const name = (value as { constructor?: { name?: unknown } }).constructor?.name;
  return typeof name === "string" && name !== "" && name !== "Object" ? `an object of class ${name}` : "an object";
}

/** A single URL of the network is its own id; what has no address has the id of its name. */
function storeId(source: ModelSource, { files, label }: { files: ModelFile[]; label: string }, name: string | undefined): string | undefined {
  const [file] = files;
  if (isSingle(source) && typeof file?.source === "string" && /^https?:/.test(file.source)) return file.source;
  if (name !== undefined) return LOCAL + name;
  return isFolder(source) || (isBlob(source) && "name" in source) ? LOCAL + label : undefined;
}

async function filesIn(folder: FileSystemDirectoryHandle): Promise<ModelFile[]> {
  const files = await partsIn(folder, "").catch((cause: unknown) => {
    throw unreadable(folder, cause);
  });
  if (files.length > 0) return files.sort((a, b) => (a.name < b.name ? -1 : 1));
  throw new CraneError("not_found", `the folder ${folder.name} holds no files of a model`, { hint: "choose the folder that holds config.json, or a .gguf file" });
}

async function opened(handle: FileSystemFileHandle): Promise<File> {
  try {
    return await handle.getFile();
  } catch (cause) {
    throw unreadable(handle, cause);
  }
}

/** A handle of an earlier visit may be read only once the person has allowed it again. */
function unreadable({ name }: FileSystemHandle, cause: unknown): CraneError {
  if (cause instanceof CraneError) return cause;
  return new CraneError("io", `${name} cannot be read: ${shown(cause)}`, { hint: "ask for it with the handle's requestPermission(), or let it be chosen again", cause });
}

/** Speech models have folders below theirs, which are known by a config. */
async function partsIn(folder: FileSystemDirectoryHandle, path: string): Promise<ModelFile[]> {
  const files: ModelFile[] = [];
  for await (const entry of (folder as unknown as { values(): AsyncIterable<FileSystemHandle> }).values()) {
    const name = path + entry.name;
    if (entry.kind === "directory" && path === "") {
      const inner = await partsIn(entry as FileSystemDirectoryHandle, `${name}/`);
      if (inner.some((file) => /\/config\.(json|yaml)$/.test(file.name))) files.push(...inner);
    } else if (entry.kind === "file" && (path === "" ? PARTS : INNER_PARTS).test(name)) {
      files.push({ name, source: await (entry as FileSystemFileHandle).getFile() });
    }
  }
  return files;
}

function isFolder(source: unknown): source is FileSystemDirectoryHandle {
  return tagOf(source) === "FileSystemDirectoryHandle";
}

type Single = string | URL | ArrayBuffer | ArrayBufferView | Blob;

/** What sort of built-in object it is; `instanceof` does not know those of another window. */
function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value).slice("[object ".length, -1);
}

function isBuffer(source: unknown): source is ArrayBuffer {
  return ["ArrayBuffer", "SharedArrayBuffer"].includes(tagOf(source));
}

function isBlob(source: unknown): source is Blob {
  return ["Blob", "File"].includes(tagOf(source));
}

function isSingle(source: unknown): source is Single {
  return (typeof source === "string" && source !== "") || tagOf(source) === "URL" || isBuffer(source) || ArrayBuffer.isView(source) || isBlob(source);
}

function toSource(source: Single): ModelFile["source"] {
  if (typeof source === "string" || tagOf(source) === "URL") return address(source as string | URL).href;
  if (isBlob(source)) return source;
  const memory = source as ArrayBuffer | ArrayBufferView;
  const { byteLength } = memory;
  if (byteLength === 0) throw new CraneError("invalid_argument", "source: there are no bytes in it", { hint: "a buffer that was handed to a worker has none left: keep a copy, or pass a Blob" });
  const { buffer, byteOffset } = ArrayBuffer.isView(memory) ? memory : new Uint8Array(memory);
  // The worker gets a copy of the whole buffer, of which a view may be a small part; and of memory that others write none.
  const whole = tagOf(buffer) === "ArrayBuffer" && byteLength === buffer.byteLength;
  return whole ? (buffer as ArrayBuffer) : new Uint8Array(buffer, byteOffset, byteLength).slice().buffer;
}

function address(source: string | URL): URL {
  const found = resolved(source);
  if (found) return found;
  throw new CraneError("invalid_argument", `source: ${shown(String(source))} is no address`, {
    hint: "a name on the Hub is org/name; outside a page a URL must be absolute: https:… or file:…",
  });
}

function nameOf(source: Single): string {
  if (isBlob(source)) return "name" in source && typeof source.name === "string" && source.name ? source.name : SINGLE;
  if (typeof source !== "string" && tagOf(source) !== "URL") return SINGLE;
  const last = address(source as string | URL).pathname.split("/").at(-1) ?? "";
  try {
    return decodeURIComponent(last) || SINGLE;
  } catch {
    // A percent sign that escapes nothing.
    return last;
  }
}
