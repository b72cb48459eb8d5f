/** The page: load a model, then talk to it. */
import type { ChatMessage, ChatParamsStreaming, Llm, Timings } from "crane-wasm";
import { addMessage, clearMessages, figures } from "./conversation.js";
import { element } from "./elements.js";
import { describe, showLoader, startLoader } from "./loader.js";

const status = element("status", HTMLParagraphElement);
const chat = element("chat", HTMLElement);
const composer = element("composer", HTMLFormElement);
const prompt = element("prompt", HTMLTextAreaElement);
const send = element("send", HTMLButtonElement);
const stop = element("stop", HTMLButtonElement);
const newChat = element("new-chat", HTMLButtonElement);
const temperature = element("temperature", HTMLInputElement);
const maxTokens = element("max-tokens", HTMLInputElement);

let llm: Llm | undefined;
let messages: ChatMessage[] = [];
let answering: AbortController | undefined;

startLoader((loaded) => {
  llm = loaded;
  status.textContent = `${loaded.name}, ${(loaded.info.parameters / 1e6).toFixed(0)} million weights (${loaded.info.precision})`;
  chat.hidden = composer.hidden = false;
  newChat.disabled = false;
  startOver();
});

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = prompt.value.trim();
  if (text !== "" && !answering) void answer(text);
});

prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  composer.requestSubmit();
});

stop.addEventListener("click", () => answering?.abort());
newChat.addEventListener("click", startOver);
element("change-model", HTMLButtonElement).addEventListener("click", () => {
  startOver();
  void llm?.dispose();
  llm = undefined;
  chat.hidden = composer.hidden = true;
  newChat.disabled = true;
  status.textContent = "No model is loaded.";
  showLoader();
});

function startOver(): void {
  answering?.abort();
  messages = [];
  clearMessages();
  prompt.focus();
}

async function answer(text: string): Promise<void> {
  if (!llm) return;
  const asked: ChatMessage = { role: "user", content: text };
  const conversation = messages;
  conversation.push(asked);
  addMessage(asked);
  prompt.value = "";

  const view = addMessage({ role: "assistant", content: "" });
  const stopper = new AbortController();
  answering = stopper;
  showAnswering(true);
  let answered = "";
  let failed = false;
  let timings: Timings | undefined;
  let tokens = 0;
  try {
    const stream = await llm.chat.completions.create(request(conversation), { signal: stopper.signal });
    for await (const chunk of stream) {
      const piece = chunk.choices[0]?.delta.content ?? "";
      answered += piece;
      view.append(piece);
      timings = chunk.timings ?? timings;
      tokens = chunk.usage?.completion_tokens ?? tokens;
    }
    view.finish(timings ? figures(timings, tokens) : "");
  } catch (error) {
    failed = !stopper.signal.aborted;
    view.finish(failed ? describe(error) : "Stopped.", failed);
  } finally {
    // A message that could not be answered must not stand in the way of the next.
    if (failed) conversation.pop();
    else conversation.push({ role: "assistant", content: answered });
    if (answering === stopper) {
      answering = undefined;
      showAnswering(false);
    }
  }
}

function request(conversation: ChatMessage[]): ChatParamsStreaming {
  return {
    messages: conversation,
    stream: true,
    stream_options: { include_usage: true },
    max_tokens: maxTokens.valueAsNumber,
    ...(temperature.value === "" ? {} : { temperature: temperature.valueAsNumber }),
  };
}

function showAnswering(busy: boolean): void {
  send.hidden = busy;
  stop.hidden = !busy;
}
