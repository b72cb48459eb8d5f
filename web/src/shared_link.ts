/**
 * A link that holds a model and settings, in the part of the address that is sent to no server. A link is a stranger's: what it holds is
 * bounded and checked, shown before a model is loaded, and kept only once the person changes it.
 */
import { idOf } from "./models.js";

/** What a link may hold; numbers as a field of the settings has them. */
export interface Shared {
  model?: string;
  system?: string;
  temperature?: string;
  "top-p"?: string;
  "max-tokens"?: string;
  seed?: string;
}

/** Characters of a whole link, of a model's name and of a system prompt. */
const LONGEST = 16_000;
const LONGEST_MODEL = 300;
const LONGEST_SYSTEM = 4000;

const NUMBERS: [keyof Shared, least: number, most: number, whole: boolean][] = [
  ["temperature", 0, 2, false],
  ["top-p", 0, 1, false],
  ["max-tokens", 1, 1_000_000, true],
  ["seed", 0, Number.MAX_SAFE_INTEGER, true],
];

/** A name on the Hub with tag or revision, an address, or a path of the page's own host. */
const MODEL = /^(?:[A-Za-z0-9][\w.-]{0,95}\/[A-Za-z0-9][\w.-]{0,95}(?:[@:][\w./-]{1,100}){0,2}|https?:\/\/[^\s"'<>\\]+|\.{0,2}\/(?![/\\])[^\s"'<>\\]+)$/;

/** What the address's fragment holds, and what of it was left out because it cannot be. */
export function readLink(fragment: string): { shared: Shared; refused: string[] } {
  const shared: Shared = {};
  const refused: string[] = [];
  if (fragment.length > LONGEST) return { shared, refused: ["everything: it is too long"] };
  const fields = new URLSearchParams(fragment.replace(/^#/, ""));
  const take = (name: keyof Shared, isRight: (value: string) => boolean): void => {
    const value = fields.get(name);
    if (value === null) return;
    if (isRight(value)) shared[name] = value;
    else refused.push(name);
  };
  take("model", isModel);
  take("system", (value) => value.length <= LONGEST_SYSTEM);
  for (const [name, least, most, whole] of NUMBERS) {
    take(name, (value) => /^\d{1,16}(\.\d{1,8})?$/.test(value) && Number(value) >= least && Number(value) <= most && (!whole || Number.isSafeInteger(Number(value))));
  }
  return { shared, refused };
}

/** The address of this page with a model and settings; a file of this device cannot be shared. */
export function makeLink(page: string, shared: Shared): string {
  const url = new URL(page);
  url.search = url.hash = "";
  const entries = Object.entries(shared).filter(([name, value]) => value !== "" && (name !== "model" || isModel(value)));
  url.hash = new URLSearchParams(entries).toString();
  return url.href;
}

function isModel(value: string): boolean {
  if (value.length > LONGEST_MODEL || !MODEL.test(value)) return false;
  try {
    return idOf(value) !== "";
  } catch {
    return false;
  }
}
