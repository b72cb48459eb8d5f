/** Reads answers aloud while they are written, with a voice in a worker of its own, so that neither waits for the other. */
import { Crane, type Tts } from "crane-wasm";
import { isGone } from "./describe.js";
import { element } from "./elements.js";
import { recall, remember } from "./memory.js";

const choice = element("read-aloud", HTMLInputElement);
let voice: Promise<Tts> | undefined;

/** Fills in what was kept; the voice is loaded when it is wanted for the first time. */
export function startReader(): void {
  choice.checked = recall("aloud") ?? false;
  choice.addEventListener("change", () => {
    remember("aloud", choice.checked);
    if (choice.checked) void load().catch(() => {});
  });
}

/** Whether answers are to be read aloud. */
export function readsAloud(): boolean {
  return choice.checked;
}

/** Reads a text that is still being written; resolves when it has been heard. */
export async function read(text: AsyncIterable<string>, signal: AbortSignal): Promise<void> {
  const tts = await load();
  try {
    await tts.speak(plain(text), { signal }).play();
  } catch (error) {
    // The next answer gets a new voice.
    if (isGone(error)) voice = undefined;
    throw error;
  }
}

function load(): Promise<Tts> {
  voice ??= Crane.create().then((crane) => crane.load("hibari"));
  voice.catch(() => (voice = undefined));
  return voice;
}

/** Without the marks of Markdown, which are not words. */
async function* plain(text: AsyncIterable<string>): AsyncGenerator<string, void, undefined> {
  for await (const bit of text) yield bit.replaceAll(/[*_`#>|]/g, "");
}
