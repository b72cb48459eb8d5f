/** One worker at a time: of all tabs of the origin where the browser has Web Locks, else within this worker. */
import { stopIfAborted } from "../signals.js";

const waiting = new Map<string, Promise<unknown>>();

/** Runs `work` while nobody else runs work of this name. */
export async function exclusively<T>(name: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  const locks = (globalThis.navigator as { locks?: LockManager } | undefined)?.locks;
  if (locks) return locks.request(`crane:${name}`, signal ? { signal } : {}, work) as Promise<T>;
  const before = waiting.get(name) ?? Promise.resolve();
  const mine = before.then(() => {
    stopIfAborted(signal);
    return work();
  });
  // Whoever comes next starts however this one ends.
  const settled = mine.catch(() => {});
  waiting.set(name, settled);
  try {
    return await mine;
  } finally {
    if (waiting.get(name) === settled) waiting.delete(name);
  }
}
