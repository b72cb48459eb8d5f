/** Keyboard shortcuts, and the list of them. */
import { element } from "./elements.js";

const dialog = element("shortcuts-dialog", HTMLDialogElement);
const table = element("shortcuts", HTMLTableElement);

const MAC = /Mac|iPhone|iPad/.test(navigator.platform);

/** A shortcut; `control` is the command key on a Mac. */
export interface Shortcut {
  what: string;
  key: string;
  control?: boolean;
  shift?: boolean;
  /** Returns whether there was anything to do; if not, the browser has the key. */
  act: () => boolean | void;
}

/** What the fields themselves do with keys, for the list. */
const FIELDS: [string, string[]][] = [
  ["Send the message", ["Enter"]],
  ["New line", ["Shift", "Enter"]],
];

/** Listens for the shortcuts, and fills the list of them. */
export function startShortcuts(shortcuts: Shortcut[]): void {
  const own: Shortcut = { what: "Show this list", key: "/", control: true, act: showShortcuts };
  const all = [...shortcuts, own];
  for (const [what, keys] of [...FIELDS, ...all.map((shortcut) => [shortcut.what, keysOf(shortcut)] as [string, string[]])]) table.append(row(what, keys));
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing || event.altKey) return;
    // A dialog has its own keys.
    if (document.querySelector("dialog[open]")) return;
    const pressed = all.find(({ key, control = false, shift = false }) => event.key.toLowerCase() === key.toLowerCase() && (event.ctrlKey || event.metaKey) === control && event.shiftKey === shift)
      // On some keyboards `/` is above a number.
      ?? (event.key === "/" && (event.ctrlKey || event.metaKey) ? own : undefined);
    if (pressed && pressed.act() !== false) event.preventDefault();
  });
}

/** Shows the list. */
export function showShortcuts(): void {
  dialog.showModal();
}

function keysOf({ key, control, shift }: Shortcut): string[] {
  return [...(control ? [MAC ? "⌘" : "Ctrl"] : []), ...(shift ? ["Shift"] : []), key];
}

function row(what: string, keys: string[]): HTMLTableRowElement {
  const made = document.createElement("tr");
  const name = document.createElement("th");
  name.scope = "row";
  name.textContent = what;
  const shown = document.createElement("td");
  keys.forEach((key, index) => {
    const sign = document.createElement("kbd");
    sign.textContent = key.length === 1 ? key.toUpperCase() : key === "Escape" ? "Esc" : key;
    shown.append(index > 0 ? " + " : "", sign);
  });
  made.append(name, shown);
  return made;
}
