/** Code in an answer: its language, a button that copies it, colours. */
import { copyFrom } from "./clipboard.js";
import { languageOf } from "./markdown.js";

type Highlighter = typeof import("./highlight.js");

let highlighter: Highlighter | undefined;
let asked = false;
/** Code that came before the highlighter. */
const waiting = new Set<HTMLElement>();

/** Completes the code below `target` that has not been yet. */
export function completeCode(target: HTMLElement): void {
  for (const pre of target.querySelectorAll("pre")) {
    const code = pre.querySelector("code");
    if (!code || pre.querySelector(".code-bar")) continue;
    const language = languageOf(code);
    const bar = document.createElement("div");
    bar.className = "code-bar";
    const name = document.createElement("span");
    name.textContent = language || "text";
    const copy = document.createElement("button");
    copy.type = "button";
    copy.className = "quiet small";
    copy.textContent = "Copy";
    copy.setAttribute("aria-label", "Copy code");
    copy.addEventListener("click", () => void copyFrom(copy, (code.textContent ?? "").replace(/\n$/, "")));
    bar.append(name, copy);
    pre.prepend(bar);
    // What is too wide can be moved by the keyboard.
    code.tabIndex = 0;
    if (language) colour(code);
  }
}

function colour(code: HTMLElement): void {
  if (highlighter) {
    highlighter.highlight(code, code.textContent ?? "", languageOf(code));
    return;
  }
  waiting.add(code);
  if (asked) return;
  asked = true;
  import("./highlight.js").then(
    (module) => {
      highlighter = module;
      for (const element of waiting) if (element.isConnected) colour(element);
      waiting.clear();
    },
    (error: unknown) => {
      // It is asked for again with the next code.
      asked = false;
      waiting.clear();
      console.warn(`code is shown without colours: ${String(error)}`);
    },
  );
}
