/** The card that chooses a model, brings it into the browser and loads it. */
import { Crane, CraneError, type Llm, type LoadOptions, type ModelSource, type Progress } from "crane-wasm";
import { describe, isGone } from "./describe.js";
import { element } from "./elements.js";
import { choices, idOf, megabytes, named, offersOf, type Choice } from "./models.js";
import { recall, remember } from "./memory.js";
import { workOffline } from "./offline.js";
import { chosen, lockChoices, pick, setDeviceMemory, showChoices } from "./picker.js";

const form = element("loader", HTMLFormElement);
const url = element("url", HTMLInputElement);
const file = element("file", HTMLInputElement);
const bar = element("bar", HTMLProgressElement);
const progressText = element("progress-text", HTMLLabelElement);
const failure = element("load-failure", HTMLParagraphElement);
const pause = element("pause-load", HTMLButtonElement);
const load = element("load", HTMLButtonElement);

/** Tokens of conversation that are kept in memory. */
const CONTEXT = 4096;

const PHASES: Record<Progress["phase"], string> = {
  download: "Downloading",
  copy: "Copying",
  verify: "Verifying what was downloaded before",
  build: "Loading the model",
};

const offline = workOffline();
let listed: Parameters<typeof choices>[1] = [];
let linked: string | undefined;
let engine: Promise<Crane> | undefined;

/** The engine; `?hub=` of the page's address names a mirror of the Hub. */
function start(): Promise<Crane> {
  const hub = new URLSearchParams(location.search).get("hub");
  engine ??= offline.then(() => Crane.create(hub === null ? {} : { hubUrl: hub }));
  // One that could not start must not stand in the way of the next try.
  engine.catch(() => (engine = undefined));
  return engine;
}

/** Shows the card; calls `onLoaded` when a model is there, with what went wrong that it was loaded without. */
export async function startLoader(onLoaded: (llm: Llm, warning: CraneError | undefined) => void): Promise<void> {
  form.addEventListener("change", showFields);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const entry = chosen();
    const source = entry === "url" ? url.value.trim() : entry === "file" ? file.files?.[0] : entry?.source;
    if (source) void run(source, onLoaded);
  });
  // Shown at once, and again when it is known what is stored.
  show([]);
  await refresh();
}

/** Shows the card again, after an error if there was one; where that ended the engine, with a new one. */
export async function showLoader(error?: unknown): Promise<void> {
  form.hidden = false;
  failure.hidden = true;
  if (error !== undefined) tell(describe(error));
  if (isGone(error)) engine = undefined;
  await refresh();
  form.querySelector<HTMLInputElement>("input:checked")?.focus();
}

/** Offers the model of a link, or no longer; it is chosen, not loaded. */
export function offerLinked(source: string | undefined): void {
  linked = source;
  if (source !== undefined) pick(idOf(source));
  show(listed);
}

/** Loads a model with the page's context, or with the model's own where that is shorter. */
async function loadModel(source: ModelSource, options: LoadOptions): Promise<Llm> {
  const crane = await start();
  try {
    return await crane.load(source, { ...options, context: CONTEXT });
  } catch (error) {
    // Without a context the model's own is taken. If that was not the reason, the same error comes again.
    if (!(error instanceof CraneError && error.code === "invalid_argument")) throw error;
    return crane.load(source, options);
  }
}

async function refresh(): Promise<void> {
  try {
    const crane = await start();
    setDeviceMemory(crane.capabilities.memory.deviceBytes);
    show(crane.capabilities.storage.kind === "none" ? [] : await crane.models.list());
  } catch (error) {
    tell(describe(error));
  }
}

function show(stored: Parameters<typeof choices>[1]): void {
  listed = stored;
  const first = [...(linked === undefined ? [] : [named(linked)]), ...offersOf(location.search, document)];
  const asked = linked ?? new URLSearchParams(location.search).get("model");
  const preferred = asked === null ? recall("model") : idOf(asked);
  showChoices(choices(first, stored), preferred, (choice) => void remove(choice));
  showFields();
}

async function remove({ source }: Choice): Promise<void> {
  try {
    await (await start()).models.remove(source);
  } catch (error) {
    tell(describe(error));
  }
  await refresh();
}

function showFields(): void {
  const entry = chosen();
  element("url-field", HTMLDivElement).hidden = entry !== "url";
  element("file-field", HTMLDivElement).hidden = entry !== "file";
  url.required = entry === "url";
  file.required = entry === "file";
  const stored = typeof entry === "object" ? entry.stored : undefined;
  load.textContent = stored === undefined ? "Load" : stored.complete ? "Start" : "Resume";
}

async function run(source: ModelSource, onLoaded: (llm: Llm, warning: CraneError | undefined) => void): Promise<void> {
  const stop = new AbortController();
  pause.onclick = () => stop.abort();
  setBusy(true);
  failure.hidden = true;
  progressText.textContent = "Starting…";
  bar.removeAttribute("value");
  let warning: CraneError | undefined;
  try {
    const llm = await loadModel(source, { signal: stop.signal, onProgress: showProgress, onWarning: (told) => (warning = told) });
    if (typeof source === "string") remember("model", idOf(source));
    form.hidden = true;
    onLoaded(llm, warning);
  } catch (error) {
    if (isGone(error)) engine = undefined;
    if (!stop.signal.aborted) tell(describe(error));
    await refresh();
  } finally {
    setBusy(false);
  }
}

function tell(what: string): void {
  failure.textContent = what;
  failure.hidden = false;
}

function setBusy(busy: boolean): void {
  element("progress", HTMLDivElement).hidden = !busy;
  pause.hidden = !busy;
  load.hidden = busy;
  for (const control of [url, file]) control.disabled = busy;
  lockChoices(busy);
}

function showProgress({ phase, loaded, total, bytesPerSecond }: Progress): void {
  if (total === undefined) bar.removeAttribute("value");
  else bar.value = total === 0 ? 1 : loaded / total;
  pause.textContent = phase === "build" ? "Cancel" : "Pause";
  const size = total === undefined ? megabytes(loaded) : `${megabytes(loaded)} of ${megabytes(total)}`;
  const left = total !== undefined && bytesPerSecond > 0 && phase === "download" ? `, ${minutes((total - loaded) / bytesPerSecond)} left` : "";
  progressText.textContent = `${PHASES[phase]}: ${size}, ${megabytes(bytesPerSecond)}/s${left}`;
}

function minutes(seconds: number): string {
  return seconds < 90 ? `${Math.ceil(seconds)} s` : `${Math.ceil(seconds / 60)} min`;
}

/** What a link can name of what is chosen: nothing for a file of this device. */
export function chosenModel(): string | undefined {
  const entry = chosen();
  return entry === "url" ? url.value.trim() : typeof entry === "object" ? entry.source : undefined;
}
