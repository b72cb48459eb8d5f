/** An answer's Markdown as elements. A model's text is a stranger's: no scripts, no styles, no pictures that would be fetched. */
import DOMPurify from "dompurify";
import { partsOf } from "./blocks.js";
import { toHtml } from "./bounded_lexer.js";

const ALLOWED = [
  "p", "br", "strong", "em", "del", "code", "pre", "blockquote", "hr", "ul", "ol", "li", "a",
  "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
];

/** Characters of a text, and of a part of it without fenced code, beyond which it is shown as it was written. */
const LONGEST_TEXT = 100_000;
const LONGEST_PART = 20_000;

/** A part of a text that is on the page. */
interface Shown {
  part: string;
  nodes: ChildNode[];
}

const shown = new WeakMap<HTMLElement, Shown[]>();
const languages = new WeakMap<Element, string>();

/** The language that an answer gives its code, as it is written there; `""` if it gives none. */
export function languageOf(code: Element): string {
  return languages.get(code) ?? "";
}

/** Puts the Markdown, whole or so far, into `target`. Parts that are there already stay as they are. */
export function renderMarkdown(target: HTMLElement, text: string): void {
  const parts = text.length > LONGEST_TEXT ? [text] : partsOf(text);
  const before = shown.get(target) ?? [];
  const same = parts.findIndex((part, index) => before[index]?.part !== part);
  const kept = before.slice(0, same < 0 ? parts.length : same);
  for (const { nodes } of before.slice(kept.length)) for (const node of nodes) node.remove();
  const added = parts.slice(kept.length).map((part) => {
    const nodes = [...render(part).childNodes];
    target.append(...nodes);
    return { part, nodes };
  });
  shown.set(target, [...kept, ...added]);
}

/** Whatever the parser makes of a text, something is shown. */
function render(part: string): DocumentFragment {
  if (part.length > LONGEST_PART && !/^(`{3}|~{3})/m.test(part)) return plain(part);
  try {
    const made = DOMPurify.sanitize(toHtml(part), {
      ALLOWED_TAGS: ALLOWED,
      ALLOWED_ATTR: ["href", "start", "class", "align"],
      // Else they were held to be addresses, and forbidden as such.
      ADD_URI_SAFE_ATTR: ["start", "align"],
      ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
      RETURN_DOM_FRAGMENT: true,
    });
    for (const element of made.querySelectorAll("[class]")) {
      // The parser writes the language of code there; the class itself would be a style of the page's own.
      const [, language] = /^language-([\w+#.-]{1,30})$/.exec(element.className) ?? [];
      if (language !== undefined) languages.set(element, language);
      element.removeAttribute("class");
    }
    for (const link of made.querySelectorAll("a")) {
      link.target = "_blank";
      link.rel = "noopener noreferrer";
    }
    return made;
  } catch (error) {
    console.warn(`an answer is shown without its Markdown: ${String(error)}`);
    return plain(part);
  }
}

function plain(text: string): DocumentFragment {
  const made = document.createDocumentFragment();
  const paragraph = document.createElement("p");
  paragraph.className = "plain";
  paragraph.textContent = text;
  made.append(paragraph);
  return made;
}
