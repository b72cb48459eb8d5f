/** Plays samples while they are made, on an audio worklet that fills every block: no gaps, no clicks between pieces. */
import { CraneError, shown } from "./errors.js";
import { linked, unlessAborted } from "./signals.js";
import type { Playback, PlayOptions } from "./types.js";

/** How many seconds of sound may wait to be played: the voice is not run further ahead than this. */
const AHEAD = 20;

/** Milliseconds after which a context that the browser does not let begin counts as silent. */
const BEGIN = 10_000;

/** What the worklet says: seconds that were played and that wait, blocks that found nothing to play, and that the end was reached. */
interface Report {
  time: number;
  waiting: number;
  underruns: number;
  played: boolean;
}

/** Plays `pieces` of `rate` samples a second; resolves when the last one has been heard. */
export async function play(
  pieces: AsyncGenerator<Float32Array, void, undefined>,
  rate: number,
  given: AudioContext | undefined,
  signal: AbortSignal,
  options: PlayOptions,
): Promise<Playback> {
  let context: AudioContext | undefined;
  let node: AudioWorkletNode | undefined;
  let watch: Watch | undefined;
  try {
    context = given === undefined ? ownContext(rate) : checked(given);
    watch = watched(context, given === undefined, signal);
    await begin(context, watch.signal);
    node = await workletOf(context, rate, watch.signal);
    return await feed(node, pieces, watch, options);
  } finally {
    watch?.release();
    // Not waited for: a voice that is in the middle of its work is told by its signal, and others wait for their turn alone.
    void pieces.return().catch(() => {});
    node?.disconnect();
    node?.port.close();
    // One that was closed cannot be closed.
    if (given === undefined) void context?.close().catch(() => {});
  }
}

function ownContext(rate: number): AudioContext {
  if (typeof AudioContext !== "function") {
    throw new CraneError("unsupported", "play: there is no sound output here", { hint: "take the samples from the loop and write them where they are wanted" });
  }
  try {
    return new AudioContext({ sampleRate: rate });
  } catch (cause) {
    throw new CraneError("unsupported", `play: the browser gives no AudioContext: ${shown(cause)}`, { hint: "close contexts that are not needed any more, or pass the page's own: play(context)", cause });
  }
}

function checked(given: AudioContext): AudioContext {
  // Not `instanceof`: a context of another window plays, too.
  const tag = Object.prototype.toString.call(given);
  if (tag !== "[object AudioContext]" && tag !== "[object webkitAudioContext]") {
    throw new CraneError("invalid_argument", `context: ${shown(given)} is not an AudioContext`, { hint: "leave it out, or pass new AudioContext(); an OfflineAudioContext does not play: take the samples from the loop" });
  }
  return given;
}

/** An abort, the context's end and what goes wrong in the worklet, as one signal. */
interface Watch {
  signal: AbortSignal;
  fail: (cause: CraneError) => void;
  release: () => void;
}

function watched(context: AudioContext, own: boolean, signal: AbortSignal): Watch {
  const failure = new AbortController();
  const fail = (cause: CraneError): void => failure.abort(cause);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const changed = (): void => {
    clearTimeout(timer);
    if (context.state === "closed") {
      fail(new CraneError("aborted", "play: the AudioContext was closed", { hint: "close it after play() has resolved, or make a new one" }));
    } else if (own && context.state !== "running") {
      // A call came in, or the output is gone. The caller's own context is the caller's to pause and to go on with.
      void context.resume().catch(() => {});
      timer = setTimeout(() => fail(new CraneError("unsupported", `play: the AudioContext is ${context.state} and does not go on`, { hint: "the machine's sound output may be gone" })), BEGIN);
    }
  };
  context.addEventListener("statechange", changed);
  if (context.state === "closed") changed();
  const both = linked(signal, failure.signal);
  return {
    signal: both.signal,
    fail,
    release: () => {
      clearTimeout(timer);
      context.removeEventListener("statechange", changed);
      both.release();
    },
  };
}

/** Lets the sound begin, which browsers do only after a click or a key. */
async function begin(context: AudioContext, signal: AbortSignal): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const why = `the AudioContext is still ${context.state} after ${BEGIN / 1000} seconds`;
      reject(new CraneError("unsupported", `play: ${why}`, { hint: "browsers play sound only after a click or a key: call play() in its handler; the machine may also have no sound output" }));
    }, BEGIN);
  });
  try {
    await unlessAborted(Promise.race([context.resume(), late]), signal);
  } catch (cause) {
    throw cause instanceof CraneError ? cause : new CraneError("unsupported", `play: the AudioContext does not begin: ${shown(cause)}`, { hint: "make a new one", cause });
  } finally {
    clearTimeout(timer);
  }
}

async function workletOf(context: AudioContext, rate: number, signal: AbortSignal): Promise<AudioWorkletNode> {
  // The property is missing where a page is not secure.
  const worklet = context.audioWorklet as AudioWorklet | undefined;
  if (worklet === undefined || typeof AudioWorkletNode !== "function") {
    throw new CraneError("unsupported", "play: there are no audio worklets here", { hint: "serve the page by https or from localhost; the samples can be taken from the loop anywhere" });
  }
  // Vite writes a file as small as this one into a data: address, which a policy of the page may forbid.
  const module = new URL("./playback_worklet.js?no-inline", import.meta.url);
  try {
    await unlessAborted(worklet.addModule(module), signal);
    const node = new AudioWorkletNode(context, "crane-playback", { numberOfInputs: 0, outputChannelCount: [1], processorOptions: { rate } });
    node.connect(context.destination);
    return node;
  } catch (cause) {
    if (cause instanceof CraneError) throw cause;
    throw new CraneError("worker", `play: ${module.href} could not be made ready: ${shown(cause)}`, { hint: "another origin must allow this page (CORS), and a CSP must allow it in script-src", cause });
  }
}

async function feed(node: AudioWorkletNode, pieces: AsyncGenerator<Float32Array, void, undefined>, { signal, fail }: Watch, { onSamples, onTime }: PlayOptions): Promise<Playback> {
  let report: Report = { time: 0, waiting: 0, underruns: 0, played: false };
  let wake: () => void = () => {};
  let thrown: { cause: unknown } | undefined;
  node.port.onmessage = ({ data }: MessageEvent<Report>) => {
    report = data;
    try {
      onTime?.(data.time);
    } catch (cause) {
      thrown ??= { cause };
    }
    wake();
  };
  node.onprocessorerror = () => fail(new CraneError("internal", "play: the sound's worklet failed"));
  const until = async (done: () => boolean): Promise<void> => {
    while (thrown === undefined && !done()) await unlessAborted(new Promise<void>((resolve) => (wake = resolve)), signal);
    // What a listener threw is the caller's own.
    if (thrown !== undefined) throw thrown.cause;
  };
  try {
    let samples = 0;
    for (;;) {
      const piece = await unlessAborted(pieces.next(), signal);
      if (piece.done) break;
      samples += piece.value.length;
      onSamples?.(piece.value);
      node.port.postMessage({ samples: piece.value });
      await until(() => report.waiting < AHEAD);
    }
    node.port.postMessage({ end: true });
    await until(() => report.played);
    return { samples, underruns: report.underruns };
  } finally {
    node.port.postMessage({ stop: true });
  }
}
