/** The conversation's view: messages, and what can be done with each. */
import type { Timings } from "crane-wasm";
import { completeCode } from "./code_block.js";
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
  /** The button of an action. */
  button(name: string): HTMLButtonElement | undefined;
  /** Says what failed beside the answer. */
  note(failure: string): void;
}

/** What a person can do with a message besides reading it; the button's name may say what it will do next. */
export type Actions = Record<string, (button: HTMLButtonElement) => void>;

/** Puts a message at the end of the log, with what stands below it. While it is `busy`, only the action that is under way can be chosen. */
export function addMessage(role: "user" | "assistant", content: string, note: string, actions: Actions, busy = false): MessageView {
  const item = document.createElement("li");
  item.className = `message ${role}`;
  const text = document.createElement("div");
  text.className = "text";
  const foot = document.createElement("div");
  foot.className = "foot";
  item.append(paragraph("who", role === "user" ? "You" : "Crane"), text, foot);
  const render = (now: string): void => {
    if (role === "user") text.textContent = now;
    else {
      renderMarkdown(text, now);
      completeCode(text);
    }
  };
  render(content);
  const buttons = Object.entries(actions).map(([name, act]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet small";
    button.textContent = name;
    button.addEventListener("click", () => act(button));
    foot.append(button);
    return [name, button] as const;
  });
  if (busy) {
    item.classList.add("busy");
    // The answer is read out when it is complete, not syllable by syllable.
    item.setAttribute("aria-busy", "true");
  }
  if (note) foot.before(paragraph("figures", note));
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
      scrollToEnd(follow);
    },
    button: (name) => buttons.find(([own]) => own === name)?.[1],
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
  const speed = timings.decode_tokens_per_second;
  // An answer of one token has no speed.
  const rate = Number.isFinite(speed) && speed > 0 ? `, ${speed.toFixed(1)} tokens/s` : "";
  return `${tokens} ${tokens === 1 ? "token" : "tokens"}${rate}, first token after ${seconds} s`;
}

function paragraph(name: string, content: string): HTMLParagraphElement {
  const made = document.createElement("p");
  made.className = name;
  made.textContent = content;
  return made;
}

/** Changes what is on the page; who reads its end sees it afterwards, too. */
export function keepEnd(change: () => void): void {
  const follow = nearEnd();
  change();
  scrollToEnd(follow);
}

/** Whether the reader is at the end, and wants to stay there. */
function nearEnd(): boolean {
  const page = document.documentElement;
  return page.scrollHeight - page.scrollTop - page.clientHeight < 80;
}

function scrollToEnd(follow: boolean): void {
  // What is not shown must not move what is.
  if (follow && log.getClientRects().length > 0) document.documentElement.scrollTop = document.documentElement.scrollHeight;
}
