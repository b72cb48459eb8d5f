// The page's files: from the network where there is one, so that they are new, else as they were last. Files whose name
// has a hash of their content never change and are taken from the cache. Models ask with `no-store` and pass by: the engine
// keeps them itself.
const CACHE = "crane-page-1";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin || request.cache === "no-store" || request.headers.has("range")) return;
  event.respondWith(/\/assets\//.test(url.pathname) ? cacheFirst(request) : networkFirst(request));
});

async function cacheFirst(request) {
  return (await caches.match(request)) ?? keep(request, await fetch(request));
}

async function networkFirst(request) {
  try {
    return await keep(request, await fetch(request));
  } catch (error) {
    const kept = await caches.match(request, { ignoreSearch: request.mode === "navigate" });
    if (kept) return kept;
    throw error;
  }
}

async function keep(request, response) {
  if (response.status === 200) await (await caches.open(CACHE)).put(request, response.clone());
  return response;
}
