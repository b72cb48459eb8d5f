/** The package's worker in a browser whose storage fails as the address says: `?write=BYTES` after so many, `?open`, `?root`, `?estimate`, `?read=TIMES`. */
const faults = new URL(import.meta.url).searchParams;
const refuse = (name) => Promise.reject(new DOMException("as the test wants it", name));
const { prototype } = FileSystemSyncAccessHandle;

if (faults.has("write")) {
  let room = Number(faults.get("write"));
  const { write } = prototype;
  prototype.write = function (bytes, options) {
    // As browsers do: a part of the bytes, or an error.
    if (bytes.length > room) throw new DOMException("as the test wants it", "QuotaExceededError");
    room -= bytes.length;
    return write.call(this, bytes, options);
  };
}
if (faults.has("read")) {
  let times = Number(faults.get("read"));
  const { read } = prototype;
  prototype.read = function (bytes, options) {
    if (times-- <= 0) throw new DOMException("as the test wants it", "InvalidStateError");
    return read.call(this, bytes, options);
  };
}
if (faults.has("open")) FileSystemFileHandle.prototype.createSyncAccessHandle = () => refuse("UnknownError");
if (faults.has("root")) StorageManager.prototype.getDirectory = () => refuse("SecurityError");
if (faults.has("estimate")) StorageManager.prototype.estimate = () => refuse("TypeError");

// The page's first messages come while the module is on its way.
const early = [];
const keep = (event) => early.push(event.data);
self.addEventListener("message", keep);
await import("../dist/worker/main.js");
self.removeEventListener("message", keep);
for (const data of early) self.dispatchEvent(new MessageEvent("message", { data }));
