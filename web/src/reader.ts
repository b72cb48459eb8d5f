/**
 * Reads answers aloud with a voice in a worker of its own, so that neither waits for the other. One answer is read at a time; the button
 * below each starts and stops it.
 */
import { Crane, type Tts } from "crane-wasm";
import { isGone } from "./describe.js";
import { element } from "./elements.js";
import { recall, remember } from "./memory.js";
import { sayable } from "./sayable.js";

const choice = element("read-aloud", HTMLInputElement);
const READ = "Read aloud";
const STOP = "Stop reading";

let voice: Promise<Tts> | undefined;
let reading: { stop: AbortController; button: HTMLButtonElement } | undefined;

/** Fills in what was kept; the voice is loaded when it is wanted for the first time. */
export function startReader(): void {
  choice.checked = recall("aloud") ?? false;
  choice.addEventListener("change", () => {
    remember("aloud", choice.checked);
    if (choice.checked) void load().catch(() => {});
    else stopReading();
  });
}

/** Whether answers are to be read aloud. */
export function readsAloud(): boolean {
  return choice.checked;
}

/** The name of a button that reads an answer. */
export const READ_ALOUD = READ;

/** Whether this button's answer is being read. */
export function isReading(button: HTMLButtonElement): boolean {
  return reading?.button === button;
}

/** Ends what is being read; whether there was anything. */
export function stopReading(): boolean {
  if (!reading) return false;
  reading.stop.abort();
  finish(reading.button);
  return true;
}

/** Reads a text, which may still be being written; resolves when it has been heard or was stopped. `button` stops it. */
export async function read(text: AsyncIterable<string> | string, button: HTMLButtonElement): Promise<void> {
  stopReading();
  const stop = new AbortController();
  reading = { stop, button };
  button.textContent = STOP;
  button.classList.add("reading");
  try {
    const tts = await load();
    if (stop.signal.aborted) return;
    await tts.speak(sayable(text), { signal: stop.signal }).play();
  } catch (error) {
    // The next answer gets a new voice.
    if (isGone(error)) voice = undefined;
    if (!stop.signal.aborted) throw error;
  } finally {
    finish(button, stop);
  }
}

function finish(button: HTMLButtonElement, stop?: AbortController): void {
  // The same button may have begun anew meanwhile.
  if (stop && reading?.button === button && reading.stop !== stop) return;
  if (reading?.button === button) reading = undefined;
  button.textContent = READ;
  button.classList.remove("reading");
}

function load(): Promise<Tts> {
  voice ??= Crane.create().then((crane) => crane.load("hibari"));
  voice.catch(() => (voice = undefined));
  return voice;
}
