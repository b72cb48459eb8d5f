/** How much of the model's context the conversation takes. */
import type { ChatMessage, Llm } from "crane-wasm";
import { keepEnd } from "./conversation.js";
import { element } from "./elements.js";

const place = element("context", HTMLDivElement);
const meter = element("context-meter", HTMLMeterElement);
const text = element("context-text", HTMLSpanElement);

/** The part of the context from which on it is said that it will be full. */
const NEARLY = 0.85;

let counting = 0;

/** Shows a number of tokens. */
export function showContext(tokens: number, length: number): void {
  counting += 1;
  const part = Math.min(1, tokens / length);
  meter.value = part;
  const numbers = `${tokens.toLocaleString("en")} of ${length.toLocaleString("en")} tokens of context used`;
  text.textContent = part < NEARLY ? numbers : `${numbers}: start a new chat soon`;
  place.classList.toggle("nearly", part >= NEARLY);
  // The field for the next message grows by it.
  keepEnd(() => (place.hidden = false));
}

/** Counts the tokens of a conversation and shows them; what cannot be counted is not shown. */
export async function countContext(llm: Llm, messages: ChatMessage[]): Promise<void> {
  counting += 1;
  const turn = counting;
  if (messages.length === 0) {
    showContext(0, llm.info.contextLength);
    return;
  }
  let tokens: number | undefined;
  try {
    tokens = (await llm.tokenizeChat(messages)).length;
  } catch (error) {
    console.warn(`the tokens of the conversation cannot be counted: ${String(error)}`);
  }
  // Something newer is shown already.
  if (turn !== counting) return;
  if (tokens === undefined) place.hidden = true;
  else showContext(tokens, llm.info.contextLength);
}
