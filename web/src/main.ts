/** The page: load a model, then talk to it. */
import type { ChatParamsStreaming, Llm, Timings } from "crane-wasm";
import { addMessage, clearMessages, figures, type Actions, type MessageView } from "./conversation.js";
import { describe, isGone } from "./describe.js";
import { element } from "./elements.js";
import { showLoader, startLoader } from "./loader.js";
import { recall, remember } from "./memory.js";
import { read, readsAloud, startReader } from "./reader.js";
import { sampling, startSettings, systemMessage } from "./settings.js";
import { TextFeed } from "./text_feed.js";

const status = element("status", HTMLParagraphElement);
const warning = element("load-warning", HTMLParagraphElement);
const chat = element("chat", HTMLElement);
const composer = element("composer", HTMLFormElement);
const prompt = element("prompt", HTMLTextAreaElement);
const send = element("send", HTMLButtonElement);
const stop = element("stop", HTMLButtonElement);
const newChat = element("new-chat", HTMLButtonElement);
const settings = element("settings-dialog", HTMLDialogElement);

interface Message {
  role: "user" | "assistant";
  content: string;
}

let llm: Llm | undefined;
let messages: Message[] = recall("messages") ?? [];
let answering: AbortController | undefined;

startSettings();
startReader();
void startLoader((loaded, told) => {
  llm = loaded;
  warning.hidden = told === undefined;
  warning.textContent = told === undefined ? "" : describe(told);
  status.textContent = `${loaded.name}, ${(loaded.info.parameters / 1e6).toFixed(0)} million weights (${loaded.info.precision})`;
  chat.hidden = composer.hidden = false;
  newChat.disabled = false;
  redraw();
  prompt.focus();
});

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = prompt.value.trim();
  if (text === "" || answering) return;
  prompt.value = "";
  // A question that got no answer must not stand in the way of the next: templates want them in turns.
  if (messages.at(-1)?.role === "user") cut(messages.length - 1);
  say({ role: "user", content: text });
  void answer();
});

prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});

stop.addEventListener("click", () => answering?.abort());
newChat.addEventListener("click", () => {
  cut(0);
  prompt.focus();
});
element("open-settings", HTMLButtonElement).addEventListener("click", () => settings.showModal());
element("change-model", HTMLButtonElement).addEventListener("click", () => {
  answering?.abort();
  // An engine that has crashed has nothing left to free.
  void llm?.dispose().catch(() => {});
  settings.close();
  leave();
});

/** Goes back to the choice of a model, because of an error if there was one. */
function leave(error?: unknown): void {
  llm = undefined;
  chat.hidden = composer.hidden = warning.hidden = true;
  newChat.disabled = true;
  status.textContent = "No model is loaded.";
  void showLoader(error);
}

/** Ends the conversation after its first `length` messages. */
function cut(length: number): void {
  answering?.abort();
  messages = messages.slice(0, length);
  remember("messages", messages);
  redraw();
}

function redraw(): void {
  clearMessages();
  for (const [index, message] of messages.entries()) addMessage(message.role, message.content, actionsOf(index));
}

function say(message: Message): void {
  messages.push(message);
  remember("messages", messages);
  addMessage(message.role, message.content, actionsOf(messages.length - 1));
}

function actionsOf(index: number): Actions {
  if (messages[index]?.role === "user") {
    return {
      Edit: () => {
        const { content = "" } = messages[index] ?? {};
        cut(index);
        prompt.value = content;
        prompt.focus();
      },
    };
  }
  return {
    Copy: () => void navigator.clipboard.writeText(messages[index]?.content ?? ""),
    Regenerate: () => {
      cut(index);
      void answer();
    },
  };
}

/** Answers the conversation, whose last message is a question. */
async function answer(): Promise<void> {
  if (!llm) return;
  const conversation = messages;
  const view = addMessage("assistant", "", actionsOf(conversation.length), true);
  const stopper = new AbortController();
  answering = stopper;
  showAnswering(true);
  const answered: Message = { role: "assistant", content: "" };
  const aloud = readsAloud() ? new TextFeed() : undefined;
  try {
    const heard = aloud && read(aloud, stopper.signal);
    // What becomes of the voice is looked at once the answer is there.
    heard?.catch(() => {});
    await stream(llm, conversation, answered, view, stopper.signal, aloud);
    await heard?.catch((error: unknown) => {
      if (!stopper.signal.aborted) view.note(describe(error));
    });
  } catch (error) {
    if (stopper.signal.aborted) view.finish("Stopped.");
    else view.finish(describe(error), true);
    // A stored model is there again in a moment.
    if (isGone(error)) leave(error);
  } finally {
    aloud?.end();
    if (conversation === messages && answered.content !== "") {
      messages.push(answered);
      remember("messages", messages);
    }
    if (answering === stopper) {
      answering = undefined;
      showAnswering(false);
    }
  }
}

async function stream(llm: Llm, conversation: Message[], answered: Message, view: MessageView, signal: AbortSignal, aloud: TextFeed | undefined): Promise<void> {
  const body: ChatParamsStreaming = {
    messages: [...systemMessage(), ...conversation],
    stream: true,
    stream_options: { include_usage: true },
    ...sampling(),
  };
  let timings: Timings | undefined;
  let tokens = 0;
  for await (const chunk of await llm.chat.completions.create(body, { signal })) {
    const bit = chunk.choices[0]?.delta.content ?? "";
    answered.content += bit;
    aloud?.add(bit);
    view.show(answered.content);
    timings = chunk.timings ?? timings;
    tokens = chunk.usage?.completion_tokens ?? tokens;
  }
  aloud?.end();
  view.finish(timings ? figures(timings, tokens) : "");
}

function showAnswering(busy: boolean): void {
  send.hidden = busy;
  stop.hidden = !busy;
}
