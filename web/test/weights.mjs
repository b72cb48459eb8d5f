/** The real weights and what they must answer. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { MODELS } from "./serve.mjs";

/** The model of the tests. */
export const SMOLLM2 = "smollm2-135m-instruct-q4_1.gguf";
/** A larger one, for what must hold of both. */
export const QWEN = "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const BINARY = process.env.CRANE_BIN ?? join(ROOT, "target", "release", "crane");

/** Skips a test that lacks something, unless the environment demands that everything is there. */
export function lacking(test, what) {
  if (process.env.CRANE_REQUIRE_MODELS === "1") throw new Error(`${what} is missing`);
  test.skip(`skipped: ${what} is missing; run \`cargo xtask setup\``);
  return true;
}

/** Whether the weights are missing; the test is then skipped. */
export function lacksWeights(test, model = SMOLLM2) {
  return !existsSync(join(MODELS, model)) && lacking(test, join(MODELS, model));
}

/** Whether the native program is missing; the test is then skipped. */
export function lacksBinary(test) {
  return !existsSync(BINARY) && lacking(test, `${BINARY} (cargo build --release --bin crane)`);
}

/** Chats with prompt ids and greedy output ids, made by the reference implementation in f32. */
export function references(model = SMOLLM2) {
  const name = model === QWEN ? "qwen" : "smollm2";
  return JSON.parse(readFileSync(join(ROOT, `crane-sdk/tests/fixtures/refs/${name}.json`), "utf8")).cases;
}

/** What the native program answers, greedily: the object that `crane run --json` prints. */
export function answerNatively(messages, tokens, name = SMOLLM2) {
  const folder = mkdtempSync(join(tmpdir(), "crane-"));
  try {
    const file = join(folder, "messages.json");
    writeFileSync(file, JSON.stringify(messages));
    const model = join(MODELS, name);
    const options = ["run", "-m", model, "-t", "1", "--temp", "0", "-n", String(tokens), "--json", "--messages", file];
    return JSON.parse(execFileSync(BINARY, options, { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"] }));
  } finally {
    rmSync(folder, { recursive: true });
  }
}
