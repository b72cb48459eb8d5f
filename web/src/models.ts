/** The models that the page offers, with what this browser has of each. */
import type { StoredModel } from "crane-wasm";

/** A model that can be chosen. */
export interface Choice {
  /** The spelling under which the store keeps it. */
  id: string;
  /** What `crane.load` takes. */
  source: string;
  /** What a person reads. */
  title: string;
  /** Its size in bytes, if that is known. */
  bytes: number | undefined;
  stored: StoredModel | undefined;
}

const OFFERED = [
  { source: "HuggingFaceTB/SmolLM2-135M-Instruct", title: "SmolLM2 135M Instruct", bytes: 272e6 },
  { source: "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M", title: "Qwen2.5 0.5B Instruct", bytes: 491e6 },
];

/** What is offered: `?model=` of the page's address first, then the page's own list, then what else is stored. */
export function choices(search: string, stored: readonly StoredModel[]): Choice[] {
  const named = new URLSearchParams(search).get("model");
  const first = named === null ? [] : [{ source: named, title: titleOf(named), bytes: undefined }];
  const offered = [...first, ...OFFERED].map((model) => ({ ...model, id: idOf(model.source) }));
  const others = stored
    .filter(({ id }) => !offered.some((model) => model.id === id))
    .map(({ id }) => ({ source: id, title: titleOf(id), bytes: undefined, id }));
  return [...offered, ...others].map(({ source, title, bytes, id }) => {
    const found = stored.find((model) => model.id === id);
    return { id, source, title, bytes: found?.totalBytes ?? bytes, stored: found };
  });
}

/** The spelling under which the store keeps a model: an address is kept whole. */
export function idOf(source: string): string {
  return /^(\.{0,2}\/|https?:)/.test(source) ? new URL(source, location.href).href : source;
}

function titleOf(source: string): string {
  if (/^(\.{0,2}\/|https?:)/.test(source)) return decodeURIComponent(source.split("/").at(-1) ?? source);
  return source.replace(/^local:/, "");
}

/** Bytes as a person reads them. */
export function megabytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(0)} MB`;
}
