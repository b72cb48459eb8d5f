/** The conversation's view: messages, and what can be done with each. */
import type { Timings } from "crane-wasm";
import { element } from "./elements.js";
import { renderMarkdown } from "./markdown.js";

const log = element("log", HTMLOListElement);
const empty = element("empty", HTMLParagraphElement);

/** How many times as long as showing a text takes the page is left alone before it is shown again. */
const SHARE = 4;

/** A message on the page. */
export interface MessageView {
  /** Shows the text so far. */
  show(text: string): void;
  /** Says that no more comes, and what the answer cost or why it failed. */
  finish(note: string, failed?: boolean): void;
  /** Says what failed beside the answer. */
  note(failure: string): void;
}

/** What a person can do with a message besides reading it. */
export type Actions = Record<string, () => void>;

/** Puts a message at the end of the log. */
export function addMessage(role: "user" | "assistant", content: string, actions: Actions, busy = false): MessageView {
  const item = document.createElement("li");
  item.className = `message ${role}`;
  const text = document.createElement("div");
  text.className = "text";
  const foot = document.createElement("div");
  foot.className = "foot";
  item.append(paragraph("who", role === "user" ? "You" : "Crane"), text, foot);
  const render = (now: string): void => {
    if (role === "user") text.textContent = now;
    else renderMarkdown(text, now);
  };
  render(content);
  const addActions = (): void => {
    for (const [name, act] of Object.entries(actions)) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "quiet small";
      button.textContent = name;
      button.addEventListener("click", act);
      foot.append(button);
    }
  };
  if (busy) {
    item.classList.add("busy");
    // The answer is read out when it is complete, not syllable by syllable.
    item.setAttribute("aria-busy", "true");
  } else {
    addActions();
  }
  log.append(item);
  empty.hidden = true;
  scrollToEnd(true);

  let latest = content;
  let frame = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let [painted, cost] = [0, 0];
  const paint = (): void => {
    frame = 0;
    const follow = nearEnd();
    painted = performance.now();
    render(latest);
    scrollToEnd(follow);
    cost = performance.now() - painted;
  };
  const plan = (): void => {
    timer = undefined;
    // Tokens may come faster than pictures.
    frame ||= requestAnimationFrame(paint);
  };
  return {
    show: (now) => {
      latest = now;
      if (frame || timer) return;
      // Most of the time is the person's: a text that is slow to show is shown less often.
      const wait = painted + SHARE * cost - performance.now();
      if (wait > 0) timer = setTimeout(plan, wait);
      else plan();
    },
    finish: (note, failed = false) => {
      cancelAnimationFrame(frame);
      clearTimeout(timer);
      const follow = nearEnd();
      render(latest);
      item.classList.remove("busy");
      item.removeAttribute("aria-busy");
      if (note) foot.before(paragraph(failed ? "failure" : "figures", note));
      addActions();
      scrollToEnd(follow);
    },
    note: (failure) => foot.before(paragraph("failure", failure)),
  };
}

/** Takes all messages from the log. */
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
