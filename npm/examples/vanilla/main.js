// Plain modules, no bundler: any static host serves this folder and node_modules beside it.
// `?model=` names another model: one on the Hub, or the address of a .gguf file.
import { Crane } from "./node_modules/crane-wasm/dist/index.js";

const model = new URLSearchParams(location.search).get("model") ?? "HuggingFaceTB/SmolLM2-135M-Instruct";
const answer = document.getElementById("answer");
const form = document.getElementById("ask");

const crane = await Crane.create();
const llm = await crane.load(model, {
  onProgress: ({ phase, loaded, total }) => (answer.textContent = `${phase}: ${loaded} of ${total ?? "?"} bytes`),
});
answer.textContent = "Ready.";
form.querySelector("button").disabled = false;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  answer.textContent = "";
  const stream = await llm.chat.completions.create({
    messages: [{ role: "user", content: form.querySelector("input").value }],
    stream: true,
    temperature: 0,
  });
  for await (const chunk of stream) answer.append(chunk.choices[0]?.delta.content ?? "");
  answer.dataset.done = "true";
});
