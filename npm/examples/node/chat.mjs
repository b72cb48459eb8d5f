// node chat.mjs MODEL QUESTION [CACHE_FOLDER]: MODEL is a name on the Hub, or a URL (file: too) of a .gguf file.
import { Crane } from "crane-wasm";

const [model, question, cacheDir] = process.argv.slice(2);
if (!model || !question) throw new Error("usage: node chat.mjs MODEL QUESTION [CACHE_FOLDER]");

const crane = await Crane.create(cacheDir ? { cacheDir } : {});
const llm = await crane.load(model);
await llm.chat(question, { temperature: 0, onText: (text) => process.stdout.write(text) });
process.stdout.write("\n");
crane.dispose();
