/** A Markdown text in parts that can be rendered apart, so that a text which grows is not parsed anew as a whole. */

/** Characters that a part has at least, if the text goes on: parts of a few words would each cost a parser's start. */
const LEAST = 2000;
/** The same for a part that ends where fenced code begins, which may be long. */
const LEAST_BEFORE_CODE = 200;

/** The most characters of link definitions that are given to every part. */
const DEFINITIONS = 4000;

const FENCE = /^ {0,3}(`{3,}(?!.*`)|~{3,})/;
const ITEM = /^ {0,3}(?:[-+*]|\d{1,9}[.)])(?:\s|$)/;
const DEFINITION = /^ {0,3}\[[^\]\n]{1,200}\]: *\S/;

/**
 * Cuts a text before fenced code, and at blank lines after which a new block begins whatever came before: not inside of fenced code, and not
 * before a line that goes on with a list or with indented code. All parts but the last stay the same while text is added at the end.
 */
export function partsOf(text: string): string[] {
  const parts: string[] = [];
  const definitions: string[] = [];
  let fence: string | undefined;
  let [start, position] = [0, 0];
  let [blank, list] = [false, false];
  for (const line of text.split("\n")) {
    const item = ITEM.test(line);
    const empty = line.trim() === "";
    const opened = fence === undefined ? FENCE.exec(line)?.[1] : undefined;
    const begins = blank && position - start >= LEAST && !(item && list);
    if (!empty && fence === undefined && (begins || (opened !== undefined && position - start >= LEAST_BEFORE_CODE)) && !/^\s/.test(line)) {
      parts.push(text.slice(start, position));
      start = position;
      list = false;
    }
    if (fence === undefined) {
      fence = opened;
      list ||= item;
      if (DEFINITION.test(line)) definitions.push(line);
    } else if (closes(fence, line)) {
      fence = undefined;
    }
    blank = empty;
    position += line.length + 1;
  }
  if (start < text.length) parts.push(text.slice(start));
  return parts.length > 1 ? withDefinitions(parts, definitions.join("\n")) : parts;
}

/** Whether a line ends fenced code: at least as many of the same signs, and nothing else. */
function closes(fence: string, line: string): boolean {
  const signs = line.trim();
  return signs.length >= fence.length && /^ {0,3}\S/.test(line) && [...signs].every((sign) => sign === fence[0]);
}

/** A link may be defined in another part than the one that names it. */
function withDefinitions(parts: string[], definitions: string): string[] {
  if (definitions === "" || definitions.length > DEFINITIONS) return parts;
  return parts.map((part) => (part.includes("[") ? `${part}\n\n${definitions}` : part));
}
