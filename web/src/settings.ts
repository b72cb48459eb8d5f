/** The settings of answers; they are kept between visits. */
import type { ChatMessage, SamplingOptions } from "crane-wasm";
import { element } from "./elements.js";
import { recall, remember } from "./memory.js";

const form = element("settings", HTMLFormElement);
const system = element("system", HTMLTextAreaElement);
const numbers = {
  temperature: element("temperature", HTMLInputElement),
  top_p: element("top-p", HTMLInputElement),
  max_tokens: element("max-tokens", HTMLInputElement),
  seed: element("seed", HTMLInputElement),
};
const fields = [system, ...Object.values(numbers)];

/** Fills in what was kept, and keeps what is changed. */
export function startSettings(): void {
  const kept = recall("settings") ?? {};
  for (const field of fields) field.value = kept[field.id] ?? field.value;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => remember("settings", Object.fromEntries(fields.map(({ id, value }) => [id, value]))));
}

/** What the model is told first, if anything. */
export function systemMessage(): ChatMessage[] {
  const content = system.value.trim();
  return content === "" ? [] : [{ role: "system", content }];
}

/** The options of an answer; an empty field leaves the choice to the model's authors. */
export function sampling(): SamplingOptions {
  const set = Object.entries(numbers).filter(([, { value, validity }]) => value !== "" && validity.valid);
  return Object.fromEntries(set.map(([name, { valueAsNumber }]) => [name, valueAsNumber]));
}
