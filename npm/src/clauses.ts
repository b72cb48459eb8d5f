/** Text that arrives bit by bit, cut where a voice can begin to read it: after sentences. */
import { CraneError, shown } from "./errors.js";

/**
 * A sentence's end: its mark, closing quotes or brackets, and white space; or the end of a paragraph. It begins with the first of several
 * marks: from each of a thousand dots the other ones would be read again.
 */
const END = /(?<![.!?…])[.!?…]+["'”’)\]]*\s+|\n\s*/g;

/** Words before a full stop that do not end a sentence. */
const ABBREVIATION = /(?:^|\s)(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|No)\.\s*$/;

/** Sentences that are too short to be said alone sound chopped: they wait for the next one. */
const SHORTEST = 12;

/** Characters after which a text without an end is cut at a space, or where there is none: what waits is read again with each bit. */
const LONGEST = 2000;

/** Characters at the end of a sentence in which an abbreviation is looked for: more than the longest one has. */
const LAST_WORD = 8;

/** Gives whole sentences as soon as they are known to be whole, and what is left at the end. */
export async function* sentencesOf(text: AsyncIterable<string | null | undefined>): AsyncGenerator<string, void, undefined> {
  let waiting = "";
  // Marks before this place are known not to end a sentence.
  let seen = 0;
  for await (const bit of text) {
    // Deltas of a chat's chunks may be empty.
    if (bit === undefined || bit === null) continue;
    if (typeof bit !== "string") throw new CraneError("invalid_argument", `text: it gives ${shown(bit)}, which is not a text`);
    // A bit may itself be a whole text.
    for (let taken = 0; taken < bit.length; taken += LONGEST) {
      waiting += bit.slice(taken, taken + LONGEST);
      let start = 0;
      const end = new RegExp(END);
      end.lastIndex = seen;
      for (let found = end.exec(waiting); found !== null; found = end.exec(waiting)) {
        const [mark] = found;
        const next = waiting[end.lastIndex];
        // The next letter shows whether a sentence begins; until it is there, the last mark may be one of several.
        if (next === undefined) break;
        seen = end.lastIndex;
        if (!mark.includes("\n") && /\p{Ll}/u.test(next)) continue;
        const sentence = waiting.slice(start, seen);
        const said = sentence.trim();
        if (said.length < SHORTEST || ABBREVIATION.test(said.slice(-LAST_WORD))) continue;
        yield sentence;
        start = seen;
      }
      waiting = waiting.slice(start);
      seen -= start;
      if (waiting.length > LONGEST) {
        const space = waiting.lastIndexOf(" ", LONGEST);
        const cut = space > 0 ? space + 1 : LONGEST;
        yield waiting.slice(0, cut);
        waiting = waiting.slice(cut);
        seen = Math.max(0, seen - cut);
      }
    }
  }
  if (waiting.trim() !== "") yield waiting;
}
