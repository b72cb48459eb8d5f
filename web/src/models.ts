/** The models that the picker offers. */

/** One entry of the picker. */
export interface Choice {
  /** The option's value. */
  id: string;
  /** What a person reads. */
  label: string;
  /** Where the file is; missing where the person says so. */
  url?: string;
}

/** What the page offers; `?model=ADDRESS` of the page's own address comes first. */
export function choices(search: string): Choice[] {
  const named = new URLSearchParams(search).get("model");
  return [
    ...(named ? [{ id: "named", label: decodeURIComponent(named.split("/").at(-1) ?? named), url: named }] : []),
    { id: "smollm2", label: "SmolLM2 135M Instruct — 98 MB", url: "/models/smollm2-135m-instruct-q4_1.gguf" },
    { id: "qwen", label: "Qwen2.5 Coder 0.5B Instruct — 491 MB", url: "/models/qwen2.5-coder-0.5b-instruct-q4_k_m.gguf" },
    { id: "url", label: "From an address…" },
    { id: "file", label: "From a file on this machine…" },
  ];
}
