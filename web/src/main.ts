/** The page: load a model, then talk to it. */
import type { ChatMessage, CraneError, Llm } from "crane-wasm";
import { answer, stopAnswer, isAnswering } from "./answer.js";
import { copyFrom } from "./clipboard.js";
import { countContext } from "./context_meter.js";
import { addMessage, clearMessages, type Actions } from "./conversation.js";
import { searchList, showCurrent, startList, toggleList } from "./conversation_list.js";
import { ConversationStore, newConversation, type Conversation } from "./conversation_store.js";
import { describe } from "./describe.js";
import { element } from "./elements.js";
import { chosenModel, offerLinked, showLoader, startLoader } from "./loader.js";
import { recall, remember } from "./memory.js";
import { isReading, read, READ_ALOUD, startReader, stopReading } from "./reader.js";
import { current as currentSettings, showKept, showShared, startSettings, systemMessage } from "./settings.js";
import { makeLink, readLink } from "./shared_link.js";
import { showShortcuts, startShortcuts } from "./shortcuts.js";
import { startTheme } from "./theme.js";

const status = element("status", HTMLParagraphElement);
const warning = element("load-warning", HTMLParagraphElement);
const chat = element("chat", HTMLElement);
const composer = element("composer", HTMLFormElement);
const prompt = element("prompt", HTMLTextAreaElement);
const send = element("send", HTMLButtonElement);
const stop = element("stop", HTMLButtonElement);
const settings = element("settings-dialog", HTMLDialogElement);
const fromLink = element("from-link", HTMLParagraphElement);
const fromLinkText = element("from-link-text", HTMLSpanElement);

let llm: Llm | undefined;
let store: ConversationStore | undefined;
let conversation = newConversation();

startTheme();
startSettings(dropFragment);
startReader();
void startLoader(loaded);
applyLink();
addEventListener("hashchange", applyLink);
void ConversationStore.open().then((opened) => {
  store = opened;
  startList(opened, {
    open: ({ id }) => {
      const found = opened.get(id);
      // The one that was open last is not shown yet where there is no model.
      if (found && (id !== conversation.id || chat.hidden)) show(found);
    },
    renamed: (renamed) => renamed.id === conversation.id && Object.assign(conversation, { title: renamed.title, named: renamed.named, updated: renamed.updated }),
    removed: (id) => id === conversation.id && show(newConversation()),
  });
  // Somebody may have been quicker than the storage.
  if (conversation.messages.length > 0) return void opened.save(conversation).then(kept);
  const last = opened.get(recall("conversation") ?? "") ?? opened.list()[0];
  if (last) show(last, false);
});

function loaded(model: Llm, told: CraneError | undefined): void {
  llm = model;
  warning.hidden = told === undefined;
  warning.textContent = told === undefined ? "" : describe(told);
  status.textContent = `${model.name} · ${parameters(model.info.parameters)} parameters · ${model.info.precision}`;
  status.title = status.textContent;
  chat.hidden = composer.hidden = false;
  redraw();
  prompt.focus();
}

function parameters(count: number): string {
  return count >= 1e9 ? `${(count / 1e9).toFixed(1)}B` : count >= 1e6 ? `${(count / 1e6).toFixed(0)}M` : count.toLocaleString("en");
}

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = prompt.value.trim();
  if (text === "" || isAnswering() || !llm) return;
  prompt.value = "";
  // A question that got no answer must not stand in the way of the next: templates want them in turns.
  if (conversation.messages.at(-1)?.role === "user") cut(conversation.messages.length - 1);
  conversation.messages.push({ role: "user", content: text });
  addMessage("user", text, "", actionsOf(conversation, conversation.messages.length - 1));
  save(conversation);
  void reply();
});

prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});

stop.addEventListener("click", stopAnswer);
element("new-chat", HTMLButtonElement).addEventListener("click", startChat);
element("open-settings", HTMLButtonElement).addEventListener("click", () => settings.showModal());
element("open-shortcuts", HTMLButtonElement).addEventListener("click", () => {
  settings.close();
  showShortcuts();
});
element("copy-link", HTMLButtonElement).addEventListener("click", (event) => {
  const button = event.currentTarget;
  if (button instanceof HTMLButtonElement) void copyFrom(button, makeLink(location.href, { model: chosenModel() ?? "", ...currentSettings() }));
});
element("change-model", HTMLButtonElement).addEventListener("click", () => {
  stopAnswer();
  // An engine that has crashed has nothing left to free.
  void llm?.dispose().catch(() => {});
  settings.close();
  leave();
});
element("drop-link", HTMLButtonElement).addEventListener("click", () => {
  showKept();
  offerLinked(undefined);
  dropFragment();
});

startShortcuts([
  { what: "Stop the answer or the voice", key: "Escape", act: () => stopAnswer() || stopReading() },
  { what: "Edit the last message", key: "ArrowUp", act: editLast },
  { what: "New chat", key: "o", control: true, shift: true, act: startChat },
  { what: "Search conversations", key: "k", control: true, act: searchList },
  { what: "Show or hide conversations", key: "b", control: true, act: toggleList },
  { what: "Settings", key: ",", control: true, act: () => settings.showModal() },
]);

/** Goes back to the choice of a model, because of an error if there was one. */
function leave(error?: unknown): void {
  llm = undefined;
  chat.hidden = composer.hidden = warning.hidden = true;
  status.textContent = "No model loaded";
  status.title = "";
  void showLoader(error);
}

function startChat(): void {
  show(newConversation());
  prompt.focus();
}

/** Shows a conversation; what was being answered is stopped, and kept as far as it came. */
function show(next: Conversation, chosen = true): void {
  stopAnswer();
  stopReading();
  conversation = next;
  // Old conversations can be read before a model is loaded.
  chat.hidden = !llm && !(chosen && next.messages.length > 0);
  redraw();
  kept();
}

/** Remembers which conversation is open. */
function kept(): void {
  remember("conversation", conversation.id);
  showCurrent(conversation.id);
}

function save(changed: Conversation): void {
  void store?.save(changed).then(() => changed === conversation && kept());
}

/** Ends the conversation after its first `length` messages. */
function cut(length: number): void {
  stopAnswer();
  stopReading();
  conversation.messages = conversation.messages.slice(0, length);
  save(conversation);
  redraw();
}

function redraw(): void {
  clearMessages();
  for (const [index, { role, content, note = "" }] of conversation.messages.entries()) addMessage(role, content, note, actionsOf(conversation, index));
  if (llm) void countContext(llm, told());
}

/** What the model is told: the system prompt, then the conversation. */
function told(): ChatMessage[] {
  return [...systemMessage(), ...conversation.messages.map(({ role, content }) => ({ role, content }))];
}

function actionsOf(shown: Conversation, index: number): Actions {
  const content = (): string => shown.messages[index]?.content ?? "";
  if (shown.messages[index]?.role === "user") {
    return { Copy: (button) => void copyFrom(button, content()), Edit: () => edit(index) };
  }
  return {
    Copy: (button) => void copyFrom(button, content()),
    Regenerate: () => {
      if (!llm) return;
      cut(index);
      void reply();
    },
    [READ_ALOUD]: (button) => {
      if (isReading(button)) stopReading();
      else read(content(), button).catch((error: unknown) => (warning.textContent = describe(error), (warning.hidden = false)));
    },
  };
}

function edit(index: number): void {
  const { content = "" } = conversation.messages[index] ?? {};
  if (!llm) return;
  cut(index);
  prompt.value = content;
  prompt.focus();
}

/** In an empty field, the key that goes back in a shell goes back here, too. */
function editLast(): boolean {
  const last = conversation.messages.findLastIndex(({ role }) => role === "user");
  if (document.activeElement !== prompt || prompt.value !== "" || last < 0 || isAnswering()) return false;
  edit(last);
  return true;
}

/** Answers the conversation, whose last message is a question. */
async function reply(): Promise<void> {
  if (!llm) return;
  const asked = conversation;
  asked.model = llm.name;
  await answer(llm, asked, told(), actionsOf(asked, asked.messages.length), {
    begun: () => showAnswering(true),
    ended: () => showAnswering(false),
    save: () => save(asked),
    // A stored model is there again in a moment.
    gone: leave,
  });
}

function showAnswering(busy: boolean): void {
  send.hidden = busy;
  stop.hidden = !busy;
}

/** Fills in what the address's fragment holds. */
function applyLink(): void {
  if (location.hash.length < 2) return;
  const { shared, refused } = readLink(location.hash);
  const names = Object.keys(shared);
  if (names.length === 0 && refused.length === 0) return;
  showShared(shared);
  offerLinked(shared.model);
  const parts = [
    names.length > 0 ? `This link sets: ${names.map((name) => name.replace("-", " ")).join(", ")}.` : "",
    shared.system ? `System prompt: “${shared.system}”` : "",
    refused.length > 0 ? `Left out, because it is not valid: ${refused.join(", ")}.` : "",
  ];
  fromLinkText.textContent = parts.filter(Boolean).join(" ");
  fromLink.hidden = false;
}

/** The settings are the person's own from now on. */
function dropFragment(): void {
  fromLink.hidden = true;
  if (location.hash !== "") history.replaceState(null, "", location.pathname + location.search);
}
