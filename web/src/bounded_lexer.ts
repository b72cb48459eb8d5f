/**
 * The Markdown parser with limits. A model's text is a stranger's: a thousand quotes in each other overflow the parser's stack, and
 * its search for the ends of emphasis takes quadratic time. What is beyond a limit is shown as it was written.
 */
import { getDefaults, Lexer, Parser, Renderer, Tokenizer, type MarkedOptions, type Token, type Tokens, type TokensList } from "marked";

/** Quotes and lists in each other. */
const BLOCK_DEPTH = 16;
/** Emphasis and links in each other. */
const INLINE_DEPTH = 16;
/** How often the text is read for quotes and lists in each other, and for lines that go on with them. */
const READINGS = 24;
/** Blocks times the characters from each to the end: a parser that looks for the end of a table or a paragraph may read all of them. */
const BLOCKS = 6_000_000;
/** Signs that a run of text has, times its length: what looking for each one's partner costs, for any text and for each character. */
const SEARCH = 250_000;
const SEARCH_PER_CHARACTER = 100;

/** Signs for whose partner the parser looks. */
const SIGNS = /[*_~[\]!`<&@:\\]/g;

/** HTML is no part of an answer: a tag is text, except the break that tables use. */
class TextTokenizer extends Tokenizer {
  #blocks = BLOCKS;

  /** The first question that the parser asks of each block. */
  override space(src: string): Tokens.Space | undefined {
    this.#blocks -= src.length;
    if (this.#blocks < 0) throw new RangeError("it has too many blocks");
    return super.space(src);
  }

  override html(): undefined {
    return undefined;
  }

  override tag(src: string): Tokens.Tag | undefined {
    const [raw] = /^<br\s{0,8}\/?>/i.exec(src) ?? [];
    // The parser takes whatever token it is given.
    return raw === undefined ? undefined : ({ type: "br", raw } as unknown as Tokens.Tag);
  }
}

/** A task's box as a sign: a control that nobody can use is none. */
class TextRenderer extends Renderer {
  override checkbox({ checked }: Tokens.Checkbox): string {
    return checked ? "☑ " : "☐ ";
  }
}

class BoundedLexer extends Lexer {
  #blocks = 0;
  #inlines = 0;
  #readings: number;
  #search: number;

  constructor(options: MarkedOptions, length: number) {
    super(options);
    this.#readings = READINGS * length;
    this.#search = SEARCH + SEARCH_PER_CHARACTER * length;
  }

  override blockTokens(src: string, tokens?: Token[], lastParagraphClipped?: boolean): Token[];
  override blockTokens(src: string, tokens?: TokensList, lastParagraphClipped?: boolean): TokensList;
  override blockTokens(src: string, tokens: Token[] = [], lastParagraphClipped = false): Token[] {
    this.#readings -= src.length;
    if (this.#blocks >= BLOCK_DEPTH || this.#readings < 0) {
      tokens.push({ type: "code", raw: src, text: src });
      return tokens;
    }
    this.#blocks += 1;
    try {
      return super.blockTokens(src, tokens, lastParagraphClipped);
    } finally {
      this.#blocks -= 1;
    }
  }

  override inlineTokens(src: string, tokens: Token[] = []): Token[] {
    this.#search -= (src.match(SIGNS)?.length ?? 0) * src.length;
    if (this.#inlines >= INLINE_DEPTH || this.#search < 0) {
      tokens.push({ type: "text", raw: src, text: src, escaped: false });
      return tokens;
    }
    this.#inlines += 1;
    try {
      return super.inlineTokens(src, tokens);
    } finally {
      this.#inlines -= 1;
    }
  }
}

/** The HTML of a Markdown text. It is not safe yet: links may have any address. Throws where there are too many blocks. */
export function toHtml(text: string): string {
  const options: MarkedOptions = { ...getDefaults(), gfm: true, breaks: true, tokenizer: new TextTokenizer(), renderer: new TextRenderer() };
  return Parser.parse(new BoundedLexer(options, text.length).lex(text), options);
}
