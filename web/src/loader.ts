/** The card that chooses a model and loads it. */
import { Crane, CraneError, type Llm, type Progress, type ModelSource } from "crane-wasm";
import { element } from "./elements.js";
import { choices } from "./models.js";

const form = element("loader", HTMLFormElement);
const picker = element("model", HTMLSelectElement);
const url = element("url", HTMLInputElement);
const file = element("file", HTMLInputElement);
const bar = element("bar", HTMLProgressElement);
const progressText = element("progress-text", HTMLLabelElement);
const failure = element("load-failure", HTMLParagraphElement);
const cancel = element("cancel-load", HTMLButtonElement);
const load = element("load", HTMLButtonElement);

/** Tokens of conversation that are kept in memory. */
const CONTEXT = 4096;

const PHASES: Record<Progress["phase"], string> = {
  download: "Loading",
  copy: "Copying",
  verify: "Checking what was loaded before",
  build: "Building the model",
};

let engine: Promise<Crane> | undefined;

/** Shows the card; calls `onLoaded` when a model is there. */
export function startLoader(onLoaded: (llm: Llm) => void): void {
  const offered = choices(location.search);
  picker.replaceChildren(...offered.map(({ id, label }) => new Option(label, id)));
  const showFields = (): void => {
    element("url-field", HTMLDivElement).hidden = picker.value !== "url";
    element("file-field", HTMLDivElement).hidden = picker.value !== "file";
    url.required = picker.value === "url";
    file.required = picker.value === "file";
  };
  picker.addEventListener("change", showFields);
  showFields();
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const source = picker.value === "url" ? url.value : picker.value === "file" ? file.files?.[0] : offered.find(({ id }) => id === picker.value)?.url;
    if (source !== undefined) void run(source, onLoaded);
  });
}

/** Shows the card again. */
export function showLoader(): void {
  form.hidden = false;
  picker.focus();
}

async function run(source: ModelSource, onLoaded: (llm: Llm) => void): Promise<void> {
  const stop = new AbortController();
  cancel.onclick = () => stop.abort();
  setBusy(true);
  failure.hidden = true;
  progressText.textContent = "Starting…";
  bar.removeAttribute("value");
  try {
    engine ??= Crane.create();
    const llm = await (await engine).load(source, { signal: stop.signal, onProgress: showProgress, context: CONTEXT });
    form.hidden = true;
    onLoaded(llm);
  } catch (error) {
    if (error instanceof CraneError && (error.code === "crashed" || error.code === "worker")) engine = undefined;
    failure.textContent = stop.signal.aborted ? "" : describe(error);
    failure.hidden = stop.signal.aborted;
  } finally {
    setBusy(false);
  }
}

function setBusy(busy: boolean): void {
  element("progress", HTMLDivElement).hidden = !busy;
  cancel.hidden = !busy;
  for (const control of [load, picker, url, file]) control.disabled = busy;
}

function showProgress({ phase, loaded, total, bytesPerSecond }: Progress): void {
  if (total === undefined) bar.removeAttribute("value");
  else bar.value = total === 0 ? 1 : loaded / total;
  const size = total === undefined ? megabytes(loaded) : `${megabytes(loaded)} of ${megabytes(total)}`;
  progressText.textContent = `${PHASES[phase]}: ${size}, ${megabytes(bytesPerSecond)}/s`;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

/** An error as a person reads it. */
export function describe(error: unknown): string {
  if (error instanceof CraneError) return error.hint ? `${error.message} — ${error.hint}.` : error.message;
  return String(error);
}
