/** Lets the worker take its waiting messages. */

const channel = new MessageChannel();
const waiting: (() => void)[] = [];
channel.port1.onmessage = () => waiting.shift()?.();
// In Node an open port would keep the worker alive.
(channel.port1 as { unref?: () => void }).unref?.();

/** Resolves in a later task; unlike a timer this takes microseconds. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    channel.port2.postMessage(null);
  });
}
