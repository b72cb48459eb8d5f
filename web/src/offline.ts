/** Keeps the page itself in the browser, so that it opens without a network; models are kept by the engine. */

/** Milliseconds for which the page waits for its service worker when it is visited for the first time. */
const PATIENCE = 3000;

/**
 * Starts the service worker of the built page, and resolves when it answers the page's requests: what is fetched from then
 * on is kept, and what was fetched before is fetched through it once more. While developing there is none.
 */
export async function workOffline(): Promise<void> {
  if (!import.meta.env.PROD || !("serviceWorker" in navigator)) return;
  try {
    await navigator.serviceWorker.register("./offline.js");
    if (!navigator.serviceWorker.controller) await takenOver();
    if (!navigator.serviceWorker.controller) return;
    const fetched = performance.getEntriesByType("resource").map(({ name }) => name);
    const own = [location.origin + location.pathname, ...fetched].filter((url) => new URL(url).origin === location.origin);
    await Promise.all(own.map((url) => fetch(url)));
  } catch (error) {
    console.warn(`the page may not open offline: ${String(error)}`);
  }
}

function takenOver(): Promise<void> {
  return new Promise((resolve) => {
    navigator.serviceWorker.addEventListener("controllerchange", () => resolve(), { once: true });
    setTimeout(resolve, PATIENCE);
  });
}
