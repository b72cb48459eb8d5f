/** The list of models: one can be chosen, those that are stored can be removed. */
import { element } from "./elements.js";
import { megabytes, speedOf, type Choice } from "./models.js";

const list = element("models", HTMLDivElement);

/** What is chosen: a model of the list, an address, or a file. */
export type Chosen = Choice | "url" | "file";

let shown: Chosen[] = [];
/** The device's memory, as roughly as the browser says it. */
let deviceBytes: number | undefined;
/** What the person has chosen, if anything. */
let picked: string | undefined;

list.addEventListener("change", () => (picked = list.querySelector<HTMLInputElement>("input:checked")?.value));

/** Says how much memory the device has. */
export function setDeviceMemory(bytes: number | undefined): void {
  deviceBytes = bytes;
}

/** Chooses a model of the list as a person does. */
export function pick(id: string): void {
  picked = id;
}

/** Shows the models; chosen is what the person chose before, else the preferred one, else the first. */
export function showChoices(offered: Choice[], preferred: string | undefined, onRemove: (choice: Choice) => void): void {
  shown = [...offered, "url", "file"];
  list.replaceChildren(...shown.map((entry) => row(entry, onRemove)));
  const radios = [...list.querySelectorAll("input")];
  const radio = [picked, preferred].map((wanted) => radios.find(({ value }) => value === wanted)).find(Boolean) ?? radios[0];
  if (radio) radio.checked = true;
}

/** What is chosen now. */
export function chosen(): Chosen | undefined {
  const radio = list.querySelector<HTMLInputElement>("input:checked");
  return shown.find((entry) => valueOf(entry) === radio?.value);
}

/** Locks the list while a model is loaded. */
export function lockChoices(locked: boolean): void {
  for (const control of list.querySelectorAll<HTMLInputElement | HTMLButtonElement>("input, button")) control.disabled = locked;
}

function valueOf(entry: Chosen): string {
  return typeof entry === "string" ? entry : entry.id;
}

function row(entry: Chosen, onRemove: (choice: Choice) => void): HTMLDivElement {
  const made = document.createElement("div");
  made.className = "model";
  const label = document.createElement("label");
  const radio = document.createElement("input");
  radio.type = "radio";
  radio.name = "model";
  radio.value = valueOf(entry);
  const title = document.createElement("span");
  title.className = "title";
  const state = document.createElement("span");
  state.className = "state";
  label.append(radio, title, state);
  made.append(label);
  if (typeof entry === "string") {
    title.textContent = entry === "url" ? "Another model…" : "A file on this device…";
    state.textContent = entry === "url" ? "from Hugging Face, or a URL" : "GGUF";
    return made;
  }
  title.textContent = entry.title;
  state.textContent = stateOf(entry);
  made.classList.toggle("stored", entry.stored?.complete === true);
  if (entry.stored) {
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "quiet small";
    remove.textContent = "Remove";
    remove.setAttribute("aria-label", `Remove ${entry.title} from this browser`);
    remove.addEventListener("click", () => onRemove(entry));
    made.append(remove);
  }
  return made;
}

function stateOf({ bytes, stored }: Choice): string {
  const size = bytes === undefined ? "" : megabytes(bytes);
  const speed = bytes === undefined ? "" : speedOf(bytes);
  if (stored && !stored.complete) return `${megabytes(stored.storedBytes)}${size ? ` of ${size}` : ""} · paused`;
  const memory = bytes !== undefined && deviceBytes !== undefined && bytes > deviceBytes / 2 ? "may not fit into this device’s memory" : "";
  return [size, speed, stored ? "in this browser" : "", memory].filter(Boolean).join(" · ");
}
