/** What the browser keeps of the page between visits: the model, the settings, the conversation. */

interface Kept {
  model: string;
  settings: Record<string, string>;
  aloud: boolean;
  messages: { role: "user" | "assistant"; content: string }[];
}

/** What was kept; what cannot be read counts as nothing. */
export function recall<K extends keyof Kept>(name: K): Kept[K] | undefined {
  try {
    return JSON.parse(localStorage.getItem(`crane:${name}`) ?? "null") ?? undefined;
  } catch {
    return undefined;
  }
}

/** Keeps something. Where the browser keeps nothing, the page works for this visit. */
export function remember<K extends keyof Kept>(name: K, value: Kept[K]): void {
  try {
    localStorage.setItem(`crane:${name}`, JSON.stringify(value));
  } catch (error) {
    console.warn(`the browser does not keep the page's ${name}: ${String(error)}`);
  }
}
