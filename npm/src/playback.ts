/** Plays samples while they are made, on an audio worklet that fills every block: no gaps, no clicks between pieces. */
import { aborted, CraneError } from "./errors.js";
import type { Playback, PlayOptions } from "./types.js";

/** How many seconds of sound may wait to be played: the voice is not run further ahead than this. */
const AHEAD = 20;

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
  signal: AbortSignal | undefined,
  options: PlayOptions,
): Promise<Playback> {
  if (typeof AudioContext !== "function") {
    throw new CraneError("unsupported", "play: there is no sound output here", { hint: "take the samples from the loop and write them where they are wanted" });
  }
  const context = given ?? new AudioContext({ sampleRate: rate });
  let node: AudioWorkletNode | undefined;
  try {
    await context.resume();
    await context.audioWorklet.addModule(new URL("./playback_worklet.js", import.meta.url));
    node = new AudioWorkletNode(context, "crane-playback", { numberOfInputs: 0, outputChannelCount: [1], processorOptions: { rate } });
    node.connect(context.destination);
    return await feed(node, pieces, signal, options);
  } finally {
    await pieces.return();
    node?.disconnect();
    node?.port.close();
    if (given === undefined) await context.close();
  }
}

async function feed(
  node: AudioWorkletNode,
  pieces: AsyncGenerator<Float32Array, void, undefined>,
  signal: AbortSignal | undefined,
  { onSamples, onTime }: PlayOptions,
): Promise<Playback> {
  let report: Report = { time: 0, waiting: 0, underruns: 0, played: false };
  let wake: () => void = () => {};
  node.port.onmessage = ({ data }: MessageEvent<Report>) => {
    report = data;
    onTime?.(data.time);
    wake();
  };
  const stop = (): void => wake();
  signal?.addEventListener("abort", stop);
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) {
      if (signal?.aborted) throw aborted(signal);
      await new Promise<void>((resolve) => (wake = resolve));
    }
  };
  try {
    let samples = 0;
    for await (const piece of pieces) {
      samples += piece.length;
      onSamples?.(piece);
      node.port.postMessage({ samples: piece });
      await until(() => report.waiting < AHEAD);
    }
    node.port.postMessage({ end: true });
    await until(() => report.played);
    return { samples, underruns: report.underruns };
  } finally {
    signal?.removeEventListener("abort", stop);
    node.port.postMessage({ stop: true });
  }
}
