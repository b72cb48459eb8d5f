/** Text that arrives bit by bit, cut where a voice can begin to read it: after sentences. */

/** A sentence's end: its mark, closing quotes or brackets, and white space; or the end of a paragraph. */
const END = /[.!?…]+["'”’)\]]*\s+|\n\s*/g;

/** Words before a full stop that do not end a sentence. */
const ABBREVIATION = /(?:^|\s)(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs|etc|e\.g|i\.e|No)\.\s*$/;

/** Sentences that are too short to be said alone sound chopped: they wait for the next one. */
const SHORTEST = 12;

/** Gives whole sentences as soon as they are known to be whole, and what is left at the end. */
export async function* sentencesOf(text: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  let waiting = "";
  for await (const bit of text) {
    waiting += bit;
    let start = 0;
    for (const { index, 0: mark } of waiting.matchAll(END)) {
      const end = index + mark.length;
      const sentence = waiting.slice(start, end);
      const next = waiting[end];
      // The next letter shows whether a sentence begins; until it is there, the last mark may be one of several.
      if (next === undefined || (!mark.includes("\n") && /\p{Ll}/u.test(next))) continue;
      if (sentence.trim().length < SHORTEST || ABBREVIATION.test(sentence)) continue;
      yield sentence;
      start = end;
    }
    waiting = waiting.slice(start);
  }
  if (waiting.trim() !== "") yield waiting;
}
