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
  event.respondWith(/\/assets\//.test(url.pathname) ? cacheFirst(event) : networkFirst(event));
});

async function cacheFirst(event) {
  return (await kept(event.request)) ?? keep(event, await fetch(event.request));
}

async function networkFirst(event) {
  let response;
  try {
    response = await fetch(event.request);
  } catch (error) {
    const last = await kept(event.request, { ignoreSearch: event.request.mode === "navigate" });
    if (last) return last;
    throw error;
  }
  return keep(event, response);
}

// A storage that cannot be read holds nothing: the page is online as before.
async function kept(request, options) {
  try {
    return await caches.match(request, options);
  } catch (error) {
    console.warn(`what was kept of the page cannot be read: ${error}`);
    return undefined;
  }
}

// Keeps a copy beside the answer, which does not wait for it: a full storage, or none, must not break a page that is online.
function keep(event, response) {
  if (response.status === 200) event.waitUntil(put(event.request, response.clone()));
  return response;
}

async function put(request, copy) {
  try {
    await (await caches.open(CACHE)).put(request, copy);
  } catch (error) {
    // Its body has to be read or dropped, so that the other half does not pile up.
    await copy.body?.cancel().catch(() => {});
    console.warn(`${request.url} is not kept, and the page may not open offline: ${error}`);
  }
}
