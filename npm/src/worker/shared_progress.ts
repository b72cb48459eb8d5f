/** The numbers of a pull, for other tabs of the origin that wait for the same model. */
import type { Progress } from "../types.js";

type Report = (progress: Progress) => void;

/** What goes over the channel: numbers, or the question of a tab that has come later. */
type Message = Progress | "how far?";

/** Tells what is reported to those who listen, too, until `close`. */
export function announce(key: string, report: Report): { report: Report; close: () => void } {
  const channel = open(key);
  let last: Progress | undefined;
  if (channel) {
    channel.onmessage = ({ data }: MessageEvent<Message>) => {
      if (data === "how far?" && last) channel.postMessage(last);
    };
  }
  return {
    report: (progress) => {
      last = progress;
      channel?.postMessage(progress);
      report(progress);
    },
    close: () => channel?.close(),
  };
}

/** Reports what another worker announces, from where it is, until the function that it returns is called. */
export function listen(key: string, report: Report): () => void {
  const channel = open(key);
  if (channel) {
    channel.onmessage = ({ data }: MessageEvent<Message>) => {
      if (data !== "how far?") report(data);
    };
    channel.postMessage("how far?");
  }
  return () => channel?.close();
}

function open(key: string): BroadcastChannel | undefined {
  if (typeof BroadcastChannel !== "function") return undefined;
  const channel = new BroadcastChannel(`crane:${key}`);
  // In Node an open channel would keep the worker alive.
  (channel as { unref?: () => void }).unref?.();
  return channel;
}
