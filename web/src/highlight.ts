/** Colours for code: one pass over the text, whose steps only go on. What it does not know keeps its colour. */
import { languageNamed, type Language } from "./languages.js";

/** What a part of a text is; also the end of its class. */
export type Kind = "comment" | "string" | "number" | "keyword" | "constant" | "type" | "function" | "key" | "mark" | "added" | "removed";

/** A part of a text that has a colour. */
export interface Part {
  kind: Kind;
  start: number;
  end: number;
}

/** Characters and parts beyond which a text keeps its colour. */
const LONGEST = 30_000;
const PARTS = 6000;

const SPACE = /\s+/y;
const WORD = /[\p{L}_][\p{L}\p{N}_]*[?!]?/uy;
const HYPHENED = /[\p{L}_][\p{L}\p{N}_-]*/uy;
const MARKED = /[@#$:.][\p{L}_][\p{L}\p{N}_-]*/uy;
const NUMBER = /\d[\w.]*/y;
const CHARACTER = /'(?:\\[^\n]{1,10}?|[^'\\\n])'/uy;
const TAG = /<\/?[A-Za-z][\w:-]*/y;
const ATTRIBUTE = /[A-Za-z_@:][\w:.-]*/y;

/** Puts a text into `target`, in colours if its language is known. */
export function highlight(target: HTMLElement, text: string, name: string): void {
  const language = languageNamed(name);
  if (!language) return;
  const parts = partsOf(text, language);
  const nodes: (Node | string)[] = [];
  let done = 0;
  for (const { kind, start, end } of parts) {
    if (start > done) nodes.push(text.slice(done, start));
    const span = document.createElement("span");
    span.className = `code-${kind}`;
    span.textContent = text.slice(start, end);
    nodes.push(span);
    done = end;
  }
  nodes.push(text.slice(done));
  target.replaceChildren(...nodes);
}

/** The parts of a text that have colours, in order. */
export function partsOf(text: string, language: Language): Part[] {
  const scanner = new Scanner(text.slice(0, LONGEST));
  if (language.form === "diff") scanDiff(scanner);
  else if (language.form === "markup") scanMarkup(scanner);
  else scanCode(scanner, language);
  return scanner.parts;
}

/** Where in the text one is, and what was found. */
class Scanner {
  readonly parts: Part[] = [];
  at = 0;

  constructor(readonly text: string) {}

  get more(): boolean {
    return this.at < this.text.length && this.parts.length < PARTS;
  }

  /** What matches here. */
  match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    return pattern.exec(this.text)?.[0];
  }

  /** Goes on to a place; what lies before it is of this kind. */
  take(end: number, kind?: Kind): void {
    if (kind && end > this.at) this.parts.push({ kind, start: this.at, end });
    this.at = Math.max(end, this.at + 1);
  }

  /** The place behind the next `sign`, else the text's end. */
  behind(sign: string, from: number): number {
    const found = this.text.indexOf(sign, from);
    return found < 0 ? this.text.length : found + sign.length;
  }

  lineEnd(): number {
    const found = this.text.indexOf("\n", this.at);
    return found < 0 ? this.text.length : found;
  }
}

function scanCode(scanner: Scanner, language: Language): void {
  const { text } = scanner;
  const word = language.hyphens ? HYPHENED : WORD;
  const starts = (sign: string): boolean => text.startsWith(sign, scanner.at);
  while (scanner.more) {
    const space = scanner.match(SPACE);
    if (space) {
      scanner.at += space.length;
      continue;
    }
    const block = language.block?.find(([open]) => starts(open));
    if (block) {
      scanner.take(scanner.behind(block[1], scanner.at + block[0].length), "comment");
      continue;
    }
    // In a shell, `a#b` is a word.
    const open = scanner.at === 0 || /[\s;({]/.test(text[scanner.at - 1] ?? "");
    if (language.line?.some((sign) => starts(sign) && (open || (sign !== "#" && sign !== ";")))) {
      scanner.take(scanner.lineEnd(), "comment");
      continue;
    }
    const quote = language.strings?.find(({ sign }) => starts(sign));
    if (quote) {
      const end = stringEnd(text, scanner.at, quote);
      scanner.take(end, language.key !== undefined && isKey(text, end, language.key) ? "key" : "string");
      continue;
    }
    const character = language.characters ? scanner.match(CHARACTER) : undefined;
    if (character) {
      scanner.take(scanner.at + character.length, "string");
      continue;
    }
    const number = scanner.match(NUMBER);
    if (number) {
      scanner.take(scanner.at + number.length, "number");
      continue;
    }
    const marked = language.marks?.includes(text[scanner.at] ?? " ") ? scanner.match(MARKED) : undefined;
    if (marked) {
      scanner.take(scanner.at + marked.length, "mark");
      continue;
    }
    const name = scanner.match(word);
    if (name) scanner.take(scanner.at + name.length, kindOf(name, text, scanner.at + name.length, language));
    else scanner.at += 1;
  }
}

function stringEnd(text: string, start: number, { sign, lines, raw }: { sign: string; lines?: boolean; raw?: boolean }): number {
  const close = sign === "[[" ? "]]" : sign;
  let at = start + sign.length;
  while (at < text.length) {
    if (!raw && text[at] === "\\") at += 2;
    else if (text.startsWith(close, at)) return at + close.length;
    else if (!lines && text[at] === "\n") return at;
    else at += 1;
  }
  return text.length;
}

function kindOf(name: string, text: string, end: number, language: Language): Kind | undefined {
  const plain = language.anyCase ? name.toLowerCase() : name;
  if (language.constants?.has(plain)) return "constant";
  if (language.keywords?.has(plain)) return "keyword";
  if (language.key !== undefined && isKey(text, end, language.key)) return "key";
  if (text[end] === "(") return "function";
  if (language.types && /^\p{Lu}/u.test(name)) return "type";
  return undefined;
}

/** Whether the sign follows, after spaces at most. */
function isKey(text: string, end: number, sign: string): boolean {
  let at = end;
  while (text[at] === " " && at - end < 80) at += 1;
  return text[at] === sign;
}

function scanMarkup(scanner: Scanner): void {
  const { text } = scanner;
  let inside = false;
  while (scanner.more) {
    if (text.startsWith("<!--", scanner.at)) {
      scanner.take(scanner.behind("-->", scanner.at + 4), "comment");
      continue;
    }
    if (!inside) {
      const tag = scanner.match(TAG);
      if (tag) {
        inside = true;
        scanner.take(scanner.at + tag.length, "keyword");
      } else {
        const next = text.indexOf("<", scanner.at + 1);
        scanner.at = next < 0 ? text.length : next;
      }
      continue;
    }
    const sign = text[scanner.at];
    const attribute = scanner.match(ATTRIBUTE);
    if (sign === ">") {
      inside = false;
      scanner.at += 1;
    } else if (sign === '"' || sign === "'") {
      scanner.take(scanner.behind(sign, scanner.at + 1), "string");
    } else if (attribute) {
      scanner.take(scanner.at + attribute.length, "key");
    } else {
      scanner.at += 1;
    }
  }
}

function scanDiff(scanner: Scanner): void {
  while (scanner.more) {
    const end = scanner.lineEnd();
    const line = scanner.text.slice(scanner.at, end);
    const kind = /^(\+\+\+|---|diff |index )/.test(line) ? "comment" : line.startsWith("@@") ? "mark" : line.startsWith("+") ? "added" : line.startsWith("-") ? "removed" : undefined;
    scanner.take(end, kind);
    if (scanner.text[scanner.at] === "\n") scanner.at += 1;
  }
}
