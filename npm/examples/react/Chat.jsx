// One engine for the page, one model for the component; leaving the page or the component stops the answer.
import { useEffect, useRef, useState } from "react";
import { Crane } from "crane-wasm";

const engine = Crane.create();

export function Chat({ model }) {
  const [llm, setLlm] = useState(null);
  const [status, setStatus] = useState("Loading…");
  const [messages, setMessages] = useState([]);
  const stop = useRef(new AbortController());

  useEffect(() => {
    const loading = new AbortController();
    let loaded;
    engine
      .then((crane) => crane.load(model, { signal: loading.signal, onProgress: ({ phase, loaded }) => setStatus(`${phase}: ${loaded} bytes`) }))
      .then((llm) => {
        loaded = llm;
        if (loading.signal.aborted) return llm.dispose();
        setLlm(llm);
        setStatus("Ready.");
      })
      .catch((error) => error.code !== "aborted" && setStatus(`${error.message} ${error.hint ?? ""}`));
    return () => {
      loading.abort();
      stop.current.abort();
      void loaded?.dispose();
    };
  }, [model]);

  async function ask(event) {
    event.preventDefault();
    const question = { role: "user", content: new FormData(event.currentTarget).get("question") };
    const asked = [...messages, question];
    stop.current = new AbortController();
    const stream = await llm.chat.completions.create({ messages: asked, stream: true, temperature: 0 }, { signal: stop.current.signal });
    let content = "";
    for await (const chunk of stream) {
      content += chunk.choices[0]?.delta.content ?? "";
      setMessages([...asked, { role: "assistant", content }]);
    }
    setStatus("Answered.");
  }

  return (
    <main>
      <p role="status">{status}</p>
      <ol>
        {messages.map(({ role, content }, index) => (
          <li key={index} className={role}>{content}</li>
        ))}
      </ol>
      <form onSubmit={ask}>
        <input name="question" aria-label="Question" defaultValue="What is the capital of France?" />
        <button disabled={!llm}>Ask</button>
      </form>
    </main>
  );
}
