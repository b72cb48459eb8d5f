// A service worker cannot start the engine's worker, and ends when it is idle: the model lives in an offscreen document.
let opening;

async function openOffscreen() {
  if (await chrome.offscreen.hasDocument()) return;
  opening ??= chrome.offscreen
    .createDocument({ url: "offscreen.html", reasons: ["WORKERS"], justification: "A language model runs in a worker." })
    .finally(() => (opening = undefined));
  await opening;
}

chrome.runtime.onMessage.addListener((message, _sender, respond) => {
  if (message !== "open offscreen") return undefined;
  openOffscreen().then(() => respond({}), (error) => respond({ error: String(error) }));
  return true; // The answer comes later.
});
