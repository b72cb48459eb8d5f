/** The conversation: what was said, and its view. */
import type { ChatMessage, Timings } from "crane-wasm";
import { element } from "./elements.js";

const log = element("log", HTMLOListElement);
const empty = element("empty", HTMLParagraphElement);

/** A message on the page. */
export interface MessageView {
  /** Adds to the text. */
  append(text: string): void;
  /** Says that no more comes, and what the answer cost or why it failed. */
  finish(note: string, failed?: boolean): void;
}

/** Puts a message at the end of the log. */
export function addMessage({ role, content }: ChatMessage): MessageView {
  const item = document.createElement("li");
  item.className = `message ${role}`;
  const who = paragraph("who", role === "user" ? "You" : "Crane");
  const text = paragraph("text", content);
  item.append(who, text);
  if (role === "assistant") {
    item.classList.add("busy");
    // The answer is read out when it is complete, not syllable by syllable.
    item.setAttribute("aria-busy", "true");
  }
  log.append(item);
  empty.hidden = true;
  scrollToEnd(true);
  return {
    append: (more) => {
      const follow = nearEnd();
      text.append(more);
      scrollToEnd(follow);
    },
    finish: (note, failed = false) => {
      const follow = nearEnd();
      item.classList.remove("busy");
      item.removeAttribute("aria-busy");
      if (note) item.append(paragraph(failed ? "failure" : "figures", note));
      scrollToEnd(follow);
    },
  };
}

/** Empties the log. */
export function clearMessages(): void {
  log.replaceChildren();
  empty.hidden = false;
}

/** What an answer cost, for the line below it. */
export function figures(timings: Timings, tokens: number): string {
  const seconds = (timings.time_to_first_token_ms / 1000).toFixed(1);
  return `${tokens} tokens, ${timings.decode_tokens_per_second.toFixed(1)} a second, first after ${seconds} s`;
}

function paragraph(name: string, content: string): HTMLParagraphElement {
  const made = document.createElement("p");
  made.className = name;
  made.textContent = content;
  return made;
}

/** Whether the reader is at the end, and wants to stay there. */
function nearEnd(): boolean {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 80;
}

function scrollToEnd(follow: boolean): void {
  if (follow) document.documentElement.scrollTop = document.documentElement.scrollHeight;
}
