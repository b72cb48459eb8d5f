/** An answer's Markdown as elements. A model's text is a stranger's: no scripts, no styles, no pictures that would be fetched. */
import DOMPurify from "dompurify";
import { marked } from "marked";

const ALLOWED = [
  "p", "br", "strong", "em", "del", "code", "pre", "blockquote", "hr", "ul", "ol", "li", "a",
  "h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td",
];

/** Puts the Markdown, whole or so far, into `target`. */
export function renderMarkdown(target: HTMLElement, text: string): void {
  const html = marked.parse(text, { async: false, gfm: true, breaks: true });
  target.replaceChildren(
    DOMPurify.sanitize(html, { ALLOWED_TAGS: ALLOWED, ALLOWED_ATTR: ["href", "start"], RETURN_DOM_FRAGMENT: true }),
  );
  for (const link of target.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer";
  }
}
