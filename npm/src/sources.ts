/** What a caller names as a model, as a list of named files. */
import { CraneError } from "./errors.js";
import type { ModelFile } from "./protocol.js";
import type { ModelSource } from "./types.js";

/** A file of a single-file model that has no name of its own. */
const SINGLE = "model.gguf";

/** The model's files and what to call the model in messages. */
export function namedFiles(source: ModelSource): { files: ModelFile[]; label: string } {
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
    throw new CraneError("invalid_argument", "source: a URL, an ArrayBuffer, a Blob or File, or named files are wanted");
  }
  const files = entries.map(([name, file]) => {
    if (!isSingle(file)) {
      throw new CraneError("invalid_argument", `source: the file ${JSON.stringify(name)} is neither a URL nor an ArrayBuffer nor a Blob`);
    }
    return { name, source: toSource(file) };
  });
  return { files, label: files.length === 1 && files[0] ? files[0].name : `${files.length} files` };
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
    throw new CraneError("invalid_argument", `source: ${JSON.stringify(source)} is not a URL`, {
      hint: "outside a page a URL must be absolute: https:… or file:…",
      cause,
    });
  }
}

function nameOf(source: Single): string {
  if (source instanceof ArrayBuffer) return SINGLE;
  if (source instanceof Blob) return "name" in source && typeof source.name === "string" && source.name ? source.name : SINGLE;
  return decodeURIComponent(address(source).pathname.split("/").at(-1) ?? "") || SINGLE;
}
