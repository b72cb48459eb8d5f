// Asks the offscreen document; closing the popup closes the connection, which stops the answer.
const form = document.getElementById("ask");
const answer = document.getElementById("answer");
let port;

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  port?.disconnect();
  answer.textContent = "";
  delete answer.dataset.done;
  const { error } = await chrome.runtime.sendMessage("open offscreen");
  if (error) return void (answer.textContent = error);
  port = chrome.runtime.connect({ name: "question" });
  port.onMessage.addListener(({ text, done, error }) => {
    answer.append(text ?? error ?? "");
    if (done || error) answer.dataset.done = "true";
  });
  port.postMessage(document.getElementById("question").value);
});
