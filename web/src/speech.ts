/** The speech page: text in, sound out, drawn while it plays. */
import { Crane, type Tts } from "crane-wasm";
import { describe, isGone } from "./describe.js";
import { element } from "./elements.js";
import { workOffline } from "./offline.js";
import { toWav } from "./wav.js";
import { Waveform } from "./waveform.js";

const status = element("status", HTMLParagraphElement);
const form = element("speech", HTMLFormElement);
const text = element("text", HTMLTextAreaElement);
const voice = element("voice", HTMLSelectElement);
const speed = element("speed", HTMLInputElement);
const speedShown = element("speed-shown", HTMLOutputElement);
const speak = element("speak", HTMLButtonElement);
const stop = element("stop", HTMLButtonElement);
const failure = element("failure", HTMLParagraphElement);
const figures = element("figures", HTMLParagraphElement);
const download = element("download", HTMLAnchorElement);
const waveform = new Waveform(element("waveform", HTMLCanvasElement));

let tts: Tts | undefined;
let speaking: AbortController | undefined;

void load();

async function load(): Promise<void> {
  try {
    const crane = await Crane.create();
    tts = await crane.load("hibari", {
      onProgress: ({ phase, loaded, total }) => {
        const part = total ? ` ${Math.round((100 * loaded) / total)} %` : "";
        status.textContent = phase === "build" ? "Preparing the voice…" : `Loading the voice…${part}`;
      },
    });
    voice.replaceChildren(...tts.info.voices.map((name) => new Option(name, name, false, name === tts?.info.defaultVoice)));
    status.textContent = "The voice is ready.";
    void workOffline();
    speak.disabled = false;
  } catch (error) {
    status.textContent = "The voice could not be loaded.";
    fail(error);
  }
}

speed.addEventListener("input", () => (speedShown.value = Number(speed.value).toFixed(1)));
stop.addEventListener("click", () => speaking?.abort());
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (tts && !speaking) void say(tts);
});

async function say(tts: Tts): Promise<void> {
  const stopper = new AbortController();
  speaking = stopper;
  failure.hidden = figures.hidden = download.hidden = true;
  stop.hidden = false;
  speak.hidden = true;
  const rate = tts.info.sampleRate;
  const pieces: Float32Array[] = [];
  const leftOut = new Set<string>();
  const began = performance.now();
  let first: number | undefined;
  waveform.begin(rate);
  try {
    const speech = tts.speak(text.value, {
      voice: voice.value,
      speed: Number(speed.value),
      signal: stopper.signal,
      onLeftOut: (characters) => [...characters].forEach((each) => leftOut.add(each)),
    });
    const { samples, underruns } = await speech.play(undefined, {
      onSamples: (piece) => {
        first ??= performance.now() - began;
        pieces.push(piece);
        waveform.add(piece);
      },
      onTime: (seconds) => waveform.at(seconds),
    });
    const told = [`${(samples / rate).toFixed(1)} s of speech`, `first sound after ${Math.round(first ?? 0)} ms`];
    if (underruns > 0) told.push(`${underruns} ${underruns === 1 ? "gap" : "gaps"}`);
    if (leftOut.size > 0) told.push(`left out: ${[...leftOut].join(" ")}`);
    figures.textContent = told.join(", ");
    figures.hidden = false;
  } catch (error) {
    if (!stopper.signal.aborted) fail(error);
    if (isGone(error)) {
      speak.disabled = true;
      void load();
    }
  } finally {
    speaking = undefined;
    stop.hidden = true;
    speak.hidden = false;
    if (pieces.length > 0) {
      URL.revokeObjectURL(download.href);
      download.href = URL.createObjectURL(toWav(pieces, rate));
      download.hidden = false;
    }
  }
}

function fail(error: unknown): void {
  failure.textContent = describe(error);
  failure.hidden = false;
}
