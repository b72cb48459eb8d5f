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

/** A model that somebody offers. */
interface Offer {
  source: string;
  title: string;
  bytes: number | undefined;
}

/** Instruct models of each family of README's table, of the sizes that 32-bit WebAssembly and a laptop's memory hold. */
const OFFERED: Offer[] = [
  { source: "HuggingFaceTB/SmolLM2-135M-Instruct", title: "SmolLM2 135M Instruct", bytes: 272e6 },
  { source: "HuggingFaceTB/SmolLM2-360M-Instruct-GGUF:Q8_0", title: "SmolLM2 360M Instruct", bytes: 386e6 },
  { source: "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M", title: "Qwen2.5 0.5B Instruct", bytes: 491e6 },
  { source: "Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF:Q4_K_M", title: "Qwen2.5 Coder 0.5B Instruct", bytes: 491e6 },
  { source: "Qwen/Qwen3-0.6B-GGUF:Q8_0", title: "Qwen3 0.6B", bytes: 639e6 },
  { source: "TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF:Q4_K_M", title: "TinyLlama 1.1B Chat", bytes: 669e6 },
  { source: "bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M", title: "Llama 3.2 1B Instruct", bytes: 808e6 },
  { source: "HuggingFaceTB/SmolLM2-1.7B-Instruct-GGUF:Q4_K_M", title: "SmolLM2 1.7B Instruct", bytes: 1056e6 },
  { source: "Qwen/Qwen2.5-1.5B-Instruct-GGUF:Q4_K_M", title: "Qwen2.5 1.5B Instruct", bytes: 1117e6 },
];

/** Bytes up to which a model is fast, and up to which it is not slow: each token reads all of its weights. */
const FAST = 400e6;
const MEDIUM = 900e6;

/** What is offered: `first`, which a link or the page's host names, then the page's own list, then what else is stored. */
export function choices(first: readonly Offer[], stored: readonly StoredModel[]): Choice[] {
  const offered = new Map<string, Offer>();
  for (const model of [...first, ...OFFERED]) if (!offered.has(idOf(model.source))) offered.set(idOf(model.source), model);
  for (const { id } of stored) if (!offered.has(id)) offered.set(id, named(id));
  return [...offered].map(([id, { source, title, bytes }]) => {
    const found = stored.find((model) => model.id === id);
    return { id, source, title, bytes: found?.totalBytes ?? bytes, stored: found };
  });
}

/** What `?model=` of the page's address and the page's host offer; the host writes its models into the page. */
export function offersOf(search: string, page: Document): Offer[] {
  const asked = new URLSearchParams(search).getAll("model").map(named);
  return [...asked, ...hostOffers(page.querySelector<HTMLMetaElement>("meta[name=crane-models]")?.content ?? "[]")];
}

function hostOffers(text: string): Offer[] {
  try {
    const listed = JSON.parse(text) as { source: string; bytes: number }[];
    return listed.map(({ source, bytes }) => ({ ...named(source), bytes }));
  } catch (error) {
    console.warn(`the host's list of models cannot be read: ${String(error)}`);
    return [];
  }
}

/** A model of which only the name is known. */
export function named(source: string): Offer {
  return { source, title: titleOf(source), bytes: undefined };
}

/** The spelling under which the store keeps a model: an address is kept whole. */
export function idOf(source: string): string {
  return /^(\.{0,2}\/|https?:)/.test(source) ? new URL(source, location.href).href : source;
}

function titleOf(source: string): string {
  if (/^(\.{0,2}\/|https?:)/.test(source)) return decoded(source.split(/[?#]/)[0]?.split("/").at(-1) || source);
  return source.replace(/^local:/, "");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** How fast a model of this size is; the page says in numbers what that means. */
export function speedOf(bytes: number): "fast" | "medium" | "slow" {
  return bytes <= FAST ? "fast" : bytes <= MEDIUM ? "medium" : "slow";
}

/** Bytes as a person reads them. */
export function megabytes(bytes: number): string {
  return bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(0)} MB`;
}
