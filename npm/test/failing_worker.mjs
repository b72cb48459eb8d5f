/** The package's worker in Node, whose engine fails in the middle of its work once a text to tokenise has told it how: the clock, which it asks then, does it. */
import { parentPort } from "node:worker_threads";

const FAULTS = {
  overflow: function deeper() {
    return deeper() + 1;
  },
  trap: () => {
    throw new WebAssembly.RuntimeError("unreachable");
  },
  exit: () => process.exit(3),
  stray: () => {
    setTimeout(() => {
      throw new Error("nobody caught it");
    });
    return now();
  },
};

const now = performance.now.bind(performance);
let fault = now;
performance.now = () => fault();

const arm = ({ call, params }) => {
  const named = call === "tokenize" ? FAULTS[params.text] : undefined;
  if (named) fault = named;
};
// The page's first messages come while the module is on its way.
const early = [];
const keep = (message) => early.push(message);
parentPort.on("message", keep);
await import("../dist/worker/main.js");
parentPort.off("message", keep);
parentPort.on("message", arm);
for (const message of early) parentPort.emit("message", message);
