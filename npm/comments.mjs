// Takes comments out of the scripts that a page fetches; the types keep theirs, and bundlers the ones that speak to them.
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const FOLDERS = ["dist", "wasm"];
// Whole lines alone: what stands inside a line may be text, or words for a bundler.
const BLOCKS = /^[ \t]*\/\*\*(?:(?!\*\/)[\s\S])*\*\/[ \t]*\n/gm;
const LINES = /^[ \t]*\/\/(?![#@]).*\n/gm;

for (const folder of FOLDERS) {
  for (const name of readdirSync(folder, { recursive: true })) {
    const path = join(folder, name);
    if (!path.endsWith(".js")) continue;
    const text = readFileSync(path, "utf8");
    const bare = text.replace(BLOCKS, "").replace(LINES, "");
    if (bare !== text) writeFileSync(path, bare);
  }
}
