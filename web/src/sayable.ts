/** What of an answer can be said: its words, without the marks of Markdown, and without code. */

const FENCE = /^ {0,3}(`{3,}|~{3,})/;

/** The words of a text, line by line. */
export async function* sayable(text: AsyncIterable<string> | string): AsyncGenerator<string, void, undefined> {
  let fence: string | undefined;
  let line = "";
  const finish = (): string => {
    const mark = FENCE.exec(line)?.[1];
    const spoken = fence === undefined && mark === undefined ? words(line) : "";
    if (mark !== undefined && fence === undefined) fence = mark[0];
    else if (mark !== undefined && mark[0] === fence) fence = undefined;
    line = "";
    return spoken;
  };
  for await (const bit of typeof text === "string" ? [text] : text) {
    const [first = "", ...rest] = bit.split("\n");
    line += first;
    for (const next of rest) {
      yield `${finish()}\n`;
      line = next;
    }
    // Whole sentences do not wait for the end of their paragraph.
    const end = fence === undefined && !FENCE.test(line) ? /^.*[.!?…]["')\]]*\s/s.exec(line)?.[0] : undefined;
    if (end !== undefined && balanced(end)) {
      yield words(end);
      line = line.slice(end.length);
    }
  }
  const last = finish();
  if (last) yield last;
}

/** Whether no link or code is cut at the end of a text. */
function balanced(text: string): boolean {
  return (text.split("`").length - 1) % 2 === 0 && text.lastIndexOf("[") <= text.lastIndexOf("]");
}

function words(line: string): string {
  return line
    .replace(/^\s{0,3}(#{1,6}|>+|[-+*])\s+/, "")
    .replace(/!?\[([^\]\n]{0,300})\]\([^)\n]{0,600}\)/g, "$1")
    .replaceAll(/[*_`#>|]/g, "");
}
