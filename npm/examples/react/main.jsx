import { createRoot } from "react-dom/client";
import { Chat } from "./Chat.jsx";

const model = new URLSearchParams(location.search).get("model") ?? "HuggingFaceTB/SmolLM2-135M-Instruct";
createRoot(document.getElementById("root")).render(<Chat model={model} />);
