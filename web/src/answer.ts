/** One answer at a time: asked for, shown and read aloud while it is written, kept, stopped. */
import type { ChatMessage, ChatParamsStreaming, Llm, Timings } from "crane-wasm";
import { showContext } from "./context_meter.js";
import { addMessage, figures, type Actions, type MessageView } from "./conversation.js";
import type { Conversation, Message } from "./conversation_store.js";
import { describe, isGone } from "./describe.js";
import { read, READ_ALOUD, readsAloud } from "./reader.js";
import { sampling } from "./settings.js";
import { TextFeed } from "./text_feed.js";

/** Milliseconds after which an answer that is being written is kept again, in case the tab is closed. */
const KEEP = 2000;

/** What an answer tells the page. */
export interface AnswerEvents {
  begun(): void;
  ended(): void;
  /** The conversation has something to keep. */
  save(): void;
  /** The engine is gone. */
  gone(error: unknown): void;
}

let answering: AbortController | undefined;

/** Whether an answer is being written. */
export function isAnswering(): boolean {
  return answering !== undefined;
}

/** Stops the answer; whether there was one. */
export function stopAnswer(): boolean {
  if (!answering) return false;
  answering.abort();
  return true;
}

/** Answers a conversation whose last message is a question; `told` is what the model is given. */
export async function answer(llm: Llm, conversation: Conversation, told: ChatMessage[], actions: Actions, events: AnswerEvents): Promise<void> {
  const view = addMessage("assistant", "", "", actions, true);
  const stopper = new AbortController();
  answering = stopper;
  events.begun();
  const { messages } = conversation;
  const written: Message = { role: "assistant", content: "" };
  const aloud = readsAloud() ? new TextFeed() : undefined;
  const button = view.button(READ_ALOUD);
  if (aloud && button) void read(aloud, button).catch((error: unknown) => view.note(describe(error)));
  let saved = performance.now();
  const keep = (): void => {
    // What was cut away meanwhile does not come back.
    if (conversation.messages !== messages || written.content === "") return;
    if (messages.at(-1) !== written) messages.push(written);
    saved = performance.now();
    events.save();
  };
  try {
    const note = await stream(llm, told, view, stopper.signal, (bit) => {
      written.content += bit;
      aloud?.add(bit);
      if (performance.now() - saved > KEEP) keep();
      return written.content;
    });
    written.note = note;
    view.finish(note);
  } catch (error) {
    if (stopper.signal.aborted) view.finish((written.note = "Stopped."));
    else view.finish(describe(error), true);
    if (isGone(error)) events.gone(error);
  } finally {
    aloud?.end();
    keep();
    if (answering === stopper) {
      answering = undefined;
      events.ended();
    }
  }
}

async function stream(llm: Llm, messages: ChatMessage[], view: MessageView, signal: AbortSignal, add: (bit: string) => string): Promise<string> {
  const body: ChatParamsStreaming = { messages, stream: true, stream_options: { include_usage: true }, ...sampling() };
  let timings: Timings | undefined;
  let tokens = 0;
  let cut = false;
  for await (const chunk of await llm.chat.completions.create(body, { signal })) {
    const bit = chunk.choices[0]?.delta.content;
    if (bit) view.show(add(bit));
    timings = chunk.timings ?? timings;
    cut ||= chunk.choices[0]?.finish_reason === "length";
    tokens = chunk.usage?.completion_tokens ?? tokens;
    if (chunk.usage && !signal.aborted) showContext(chunk.usage.total_tokens, llm.info.contextLength);
  }
  const why = cut ? ". The answer was cut off at the maximum tokens or the end of the context." : "";
  return timings ? figures(timings, tokens) + why : "";
}
