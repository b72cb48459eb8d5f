// The model, for every page of the extension: one connection is one question and its answer.
import { Crane } from "./crane-wasm/dist/index.js";
import { MODEL } from "./model.js";

const loading = Crane.create().then((crane) => crane.load(MODEL));
// Each question that waits for it is told.
loading.catch(() => {});

chrome.runtime.onConnect.addListener((port) => {
  if (port.name !== "question") return;
  const stop = new AbortController();
  port.onDisconnect.addListener(() => stop.abort());
  const post = (message) => stop.signal.aborted || port.postMessage(message);
  port.onMessage.addListener(async (content) => {
    try {
      const llm = await loading;
      const stream = await llm.chat.completions.create({ messages: [{ role: "user", content }], stream: true, temperature: 0, max_tokens: 256 }, { signal: stop.signal });
      for await (const chunk of stream) post({ text: chunk.choices[0]?.delta.content ?? "" });
      post({ done: true });
    } catch (error) {
      post({ error: [error.message, error.hint].filter(Boolean).join(": ") });
    }
  });
});
