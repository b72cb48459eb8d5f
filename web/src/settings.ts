/** The settings of answers; they are kept between visits. */
import type { ChatMessage, SamplingOptions } from "crane-wasm";
import { element } from "./elements.js";
import { recall, remember } from "./memory.js";
import type { Shared } from "./shared_link.js";

const form = element("settings", HTMLFormElement);
const system = element("system", HTMLTextAreaElement);
const numbers = {
  temperature: element("temperature", HTMLInputElement),
  top_p: element("top-p", HTMLInputElement),
  max_tokens: element("max-tokens", HTMLInputElement),
  seed: element("seed", HTMLInputElement),
};
const fields = [system, ...Object.values(numbers)];
const defaults = Object.fromEntries(fields.map(({ id, value }) => [id, value]));

/** Fills in what was kept, and keeps what is changed; `onChange` is called then. */
export function startSettings(onChange: () => void): void {
  showKept();
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", ({ target }) => {
    if (!fields.some((field) => field === target)) return;
    remember("settings", current());
    onChange();
  });
}

/** Fills in what was kept. */
export function showKept(): void {
  const kept: Record<string, unknown> = recall("settings") ?? {};
  for (const field of fields) {
    const value = kept[field.id];
    field.value = typeof value === "string" ? value : (defaults[field.id] ?? "");
  }
}

/** Fills in the settings of a link, for this visit. Settings that the link leaves out have their defaults. */
export function showShared(shared: Shared): void {
  const given: Record<string, string> = { ...shared };
  for (const field of fields) field.value = given[field.id] ?? defaults[field.id] ?? "";
}

/** The settings as they are in the form. */
export function current(): Record<string, string> {
  return Object.fromEntries(fields.map(({ id, value }) => [id, value]));
}

/** The system prompt, if there is one. */
export function systemMessage(): ChatMessage[] {
  const content = system.value.trim();
  return content === "" ? [] : [{ role: "system", content }];
}

/** The options of an answer; an empty field leaves the choice to the model's authors. */
export function sampling(): SamplingOptions {
  const set = Object.entries(numbers).filter(([, { value, validity }]) => value !== "" && validity.valid);
  return Object.fromEntries(set.map(([name, { valueAsNumber }]) => [name, valueAsNumber]));
}
