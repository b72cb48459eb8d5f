/** The list of conversations beside the chat: found, opened, renamed, deleted, saved as files. */
import type { Conversation, ConversationStore } from "./conversation_store.js";
import { element } from "./elements.js";
import { recall, remember } from "./memory.js";
import { fileName, saveFile, toJson, toMarkdown } from "./transcript.js";

const panel = element("history", HTMLElement);
const toggle = element("toggle-history", HTMLButtonElement);
const search = element("history-search", HTMLInputElement);
const list = element("history-list", HTMLOListElement);
const note = element("history-note", HTMLParagraphElement);
const trouble = element("history-trouble", HTMLParagraphElement);
const deleted = element("history-deleted", HTMLParagraphElement);
const deletedTitle = element("history-deleted-title", HTMLSpanElement);
const covered = [document.querySelector("main"), element("composer", HTMLFormElement), document.querySelector("header")];

/** The list lies over the chat where there is no room beside it. */
const narrow = matchMedia("(max-width: 63.99rem)");

/** Conversations that are shown; a search finds the others. */
const SHOWN = 200;

/** What the list tells the page. */
export interface ListEvents {
  open(conversation: Conversation): void;
  renamed(conversation: Conversation): void;
  removed(id: string): void;
}

let store: ConversationStore | undefined;
let events: ListEvents | undefined;
let current = "";
/** The entry whose actions are shown. */
let expanded = "";
let gone: Conversation | undefined;

/** Shows the list, and keeps it up to date. */
export function startList(conversations: ConversationStore, told: ListEvents): void {
  [store, events] = [conversations, told];
  conversations.onChange = redraw;
  search.addEventListener("input", redraw);
  toggle.addEventListener("click", () => setOpen(Boolean(panel.hidden), true));
  element("close-history", HTMLButtonElement).addEventListener("click", () => setOpen(false, true));
  element("history-undo", HTMLButtonElement).addEventListener("click", () => {
    if (gone) void conversations.save(gone);
    gone = undefined;
    deleted.hidden = true;
    search.focus();
  });
  panel.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.defaultPrevented || !narrow.matches) return;
    event.preventDefault();
    setOpen(false, true);
  });
  narrow.addEventListener("change", () => setOpen(!narrow.matches && recall("history") !== false));
  setOpen(!narrow.matches && recall("history") !== false);
  redraw();
}

/** Marks the conversation that is open. */
export function showCurrent(id: string): void {
  current = id;
  redraw();
}

/** Opens the list, or closes it. */
export function toggleList(): void {
  setOpen(Boolean(panel.hidden), true);
}

/** Opens the list at its search. */
export function searchList(): void {
  setOpen(true, true);
  search.focus();
  search.select();
}

/** `chosen` says that a person wants it so, now and the next time. */
function setOpen(open: boolean, chosen = false): void {
  panel.hidden = !open;
  toggle.setAttribute("aria-expanded", String(open));
  document.body.classList.toggle("with-history", open);
  // What lies below it must not be reached by the keyboard.
  for (const part of covered) part?.toggleAttribute("inert", open && narrow.matches);
  if (!chosen) return;
  if (!narrow.matches) remember("history", open);
  if (!open) toggle.focus();
  else if (narrow.matches) search.focus();
}

function redraw(): void {
  if (!store) return;
  const found = store.list(search.value);
  list.replaceChildren(...found.slice(0, SHOWN).map(entry));
  const more = found.length - SHOWN;
  const query = search.value.trim();
  note.textContent = more > 0 ? `${more} more: search to find them.` : found.length > 0 ? "" : query ? "No conversation has these words." : "Your conversations will be listed here.";
  note.hidden = note.textContent === "";
  trouble.textContent = store.trouble ?? "";
  trouble.hidden = store.trouble === undefined;
}

function entry(conversation: Conversation): HTMLLIElement {
  const item = document.createElement("li");
  const open = document.createElement("button");
  open.type = "button";
  open.className = "open";
  if (conversation.id === current) open.setAttribute("aria-current", "true");
  open.append(span("title", conversation.title || "Untitled"), span("when", when(conversation.updated)));
  open.addEventListener("click", () => {
    events?.open(conversation);
    if (narrow.matches) setOpen(false, true);
  });
  const more = button("⋯", () => {
    expanded = expanded === conversation.id ? "" : conversation.id;
    redraw();
    list.querySelector<HTMLButtonElement>(`[data-more="${conversation.id}"]`)?.focus();
  });
  more.dataset["more"] = conversation.id;
  more.setAttribute("aria-label", `Actions for ${conversation.title || "Untitled"}`);
  more.setAttribute("aria-expanded", String(expanded === conversation.id));
  item.append(open, more);
  if (expanded === conversation.id) item.append(actions(conversation, open));
  return item;
}

function actions(conversation: Conversation, open: HTMLButtonElement): HTMLDivElement {
  const made = document.createElement("div");
  made.className = "actions";
  const save = (end: string, text: (conversation: Conversation) => string, type: string): void =>
    saveFile(fileName(conversation.title, end), text(conversation), type);
  made.append(
    button("Rename", () => rename(conversation, open)),
    button("Export JSON", () => save("json", toJson, "application/json")),
    button("Export Markdown", () => save("md", toMarkdown, "text/markdown")),
    button("Delete", () => remove(conversation)),
  );
  return made;
}

/** The title becomes a field: Enter keeps what is written, Escape what was there. */
function rename(conversation: Conversation, open: HTMLButtonElement): void {
  const field = document.createElement("input");
  field.type = "text";
  field.value = conversation.title;
  field.maxLength = 200;
  field.setAttribute("aria-label", "Title");
  let done = false;
  const end = (keep: boolean): void => {
    if (done) return;
    done = true;
    expanded = "";
    const renamed = keep && field.value.trim() !== conversation.title ? store?.get(conversation.id) : undefined;
    if (renamed) void store?.rename(renamed, field.value).then(() => events?.renamed(renamed));
    else redraw();
  };
  field.addEventListener("keydown", (event) => {
    if (event.isComposing || (event.key !== "Enter" && event.key !== "Escape")) return;
    event.preventDefault();
    end(event.key === "Enter");
    list.querySelector<HTMLButtonElement>(`[data-more="${conversation.id}"]`)?.focus();
  });
  field.addEventListener("blur", () => end(true));
  open.replaceWith(field);
  field.focus();
  field.select();
}

function remove(conversation: Conversation): void {
  gone = store?.get(conversation.id);
  expanded = "";
  deletedTitle.textContent = `Deleted “${conversation.title || "Untitled"}”.`;
  deleted.hidden = false;
  void store?.remove(conversation.id);
  events?.removed(conversation.id);
  element("history-undo", HTMLButtonElement).focus();
}

function button(name: string, act: () => void): HTMLButtonElement {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "quiet small";
  made.textContent = name;
  made.addEventListener("click", act);
  return made;
}

function span(name: string, text: string): HTMLSpanElement {
  const made = document.createElement("span");
  made.className = name;
  made.textContent = text;
  return made;
}

/** A time of today, or a day. */
function when(time: number): string {
  const [date, now] = [new Date(time), new Date()];
  if (date.toDateString() === now.toDateString()) return date.toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  const year = date.getFullYear() === now.getFullYear() ? undefined : "numeric";
  return date.toLocaleDateString(undefined, { day: "numeric", month: "short", year });
}
