/** What the browser keeps of the page between visits, besides the conversations: the model, the settings, the appearance. */

interface Kept {
  model: string;
  settings: Record<string, string>;
  aloud: boolean;
  theme: "auto" | "light" | "dark";
  /** Whether the list of conversations is open where there is room beside the chat. */
  history: boolean;
  /** The conversation that was open. */
  conversation: string;
  /** The one conversation that the page kept before it had a list. */
  messages: unknown;
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

/** Keeps something no longer. */
export function forget(name: keyof Kept): void {
  try {
    localStorage.removeItem(`crane:${name}`);
  } catch {
    // Nothing was kept.
  }
}
