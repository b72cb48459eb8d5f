/** What a caller names as a model: where it is, and under which id the store keeps it. */
import { CraneError } from "./errors.js";
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
export async function placeOf(source: ModelSource, name?: string): Promise<{ place: Place; label: string }> {
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
export function namedFiles(source: Exclude<ModelSource, FileSystemDirectoryHandle>): { files: ModelFile[]; label: string } {
  if (isSingle(source)) {
    const name = nameOf(source);
    // A lone file must be GGUF, whatever the address is called: the other formats have several files.
    return { files: [{ name: name.endsWith(".gguf") ? name : SINGLE, source: toSource(source) }], label: name };
  }
  const entries: [string, unknown][] = Array.isArray(source)
    ? source.map((file: unknown) => [file instanceof Blob ? nameOf(file) : "", file])
    : typeof source === "object" && source !== null
      ? Object.entries(source)
      : [];
  if (entries.length === 0) {
    throw new CraneError("invalid_argument", "source: a name on the Hub, a URL, an ArrayBuffer, a Blob or File, a folder, or named files are wanted");
  }
  const files = entries.map(([name, file]) => {
    if (!isSingle(file)) {
      throw new CraneError("invalid_argument", `source: the file ${JSON.stringify(name)} is neither a URL nor an ArrayBuffer nor a Blob`);
    }
    return { name, source: toSource(file) };
  });
  return { files, label: files.length === 1 && files[0] ? files[0].name : `${files.length} files` };
}

/** A single URL of the network is its own id; what has no address has the id of its name. */
function storeId(source: ModelSource, { files, label }: { files: ModelFile[]; label: string }, name: string | undefined): string | undefined {
  const [file] = files;
  if (isSingle(source) && typeof file?.source === "string" && /^https?:/.test(file.source)) return file.source;
  if (name !== undefined) return LOCAL + name;
  return isFolder(source) || (source instanceof Blob && "name" in source) ? LOCAL + label : undefined;
}

async function filesIn(folder: FileSystemDirectoryHandle): Promise<ModelFile[]> {
  const files = await partsIn(folder, "");
  if (files.length > 0) return files.sort((a, b) => (a.name < b.name ? -1 : 1));
  throw new CraneError("not_found", `the folder ${folder.name} holds no files of a model`, { hint: "choose the folder that holds config.json, or a .gguf file" });
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
  return typeof FileSystemDirectoryHandle === "function" && source instanceof FileSystemDirectoryHandle;
}

type Single = string | URL | ArrayBuffer | Blob;

function isSingle(source: unknown): source is Single {
  return typeof source === "string" || source instanceof URL || source instanceof ArrayBuffer || source instanceof Blob;
}

function toSource(source: Single): ModelFile["source"] {
  if (typeof source !== "string" && !(source instanceof URL)) return source;
  return address(source).href;
}

function address(source: string | URL): URL {
  try {
    return new URL(source, globalThis.location?.href);
  } catch (cause) {
    throw new CraneError("invalid_argument", `source: ${JSON.stringify(source)} is neither a name on the Hub nor a URL`, {
      hint: "names on the Hub are org/name; outside a page a URL must be absolute: https:… or file:…",
      cause,
    });
  }
}

function nameOf(source: Single): string {
  if (source instanceof ArrayBuffer) return SINGLE;
  if (source instanceof Blob) return "name" in source && typeof source.name === "string" && source.name ? source.name : SINGLE;
  return decodeURIComponent(address(source).pathname.split("/").at(-1) ?? "") || SINGLE;
}
