/** What ends the engine: every call is answered, with what happened and what to do, and a new engine works. */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { Crane, CraneError } from "../dist/index.js";
import { toMessage } from "../dist/errors.js";
import { crashOf } from "../dist/worker/crash.js";

const FOLDER = new URL("../../crane-sdk/tests/fixtures/qwen2_tied/", import.meta.url);
const FILES = Object.fromEntries(readdirSync(FOLDER).filter((name) => !name.startsWith("golden")).map((name) => [name, new URL(name, FOLDER)]));
const workerUrl = new URL("failing_worker.mjs", import.meta.url);

/** The error that a promise ends with; one that never ends fails the test. */
const errorOf = (promise) =>
  Promise.race([
    promise.then(() => assert.fail("it succeeded"), (error) => error),
    new Promise((_, reject) => setTimeout(() => reject(new Error("it never ended")), 60_000).unref()),
  ]);

for (const [fault, code, message] of [
  ["overflow", "crashed", /its stack overflowed/],
  ["trap", "crashed", /the engine stopped: unreachable; no reason was named/],
  ["exit", "worker", /it ended with code 3/],
  ["stray", "worker", /nobody caught it/],
]) {
  test(`after ${fault} every call ends with an error that says what to do`, async () => {
    const crane = await Crane.create({ workerUrl });
    const llm = await crane.load(FILES, { context: 256 });
    const other = await crane.load(FILES, { context: 64 });
    await llm.tokenize(fault);
    const generate = (model) => collect(model.generate([5, 6, 7], { ignore_eos: true, max_tokens: 60 }));
    const calls = [generate(llm), generate(other), generate(llm), crane.load(FILES, { context: 64 })];
    for (const error of await Promise.all(calls.map(errorOf))) {
      assert.ok(error instanceof CraneError, String(error));
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.match(error.hint, /Crane\.create\(\) again/);
    }
    for (const call of [llm.tokenize("x"), crane.memory(), crane.models.list()]) assert.equal((await errorOf(call)).code, code);
    const again = await Crane.create();
    const loaded = await again.load(FILES, { context: 64 });
    assert.ok((await loaded.tokenize("The quick brown fox")).length > 0);
    again.dispose();
  });
}

async function collect(pieces) {
  const all = [];
  for await (const piece of pieces) all.push(piece);
  return all;
}

test("an overflow is known by what each browser says, and other errors are none", () => {
  for (const text of ["Maximum call stack size exceeded", "too much recursion", "Maximum call stack size exceeded."]) {
    assert.equal(crashOf(new RangeError(text), undefined).code, "crashed");
  }
  assert.match(crashOf(new WebAssembly.RuntimeError("unreachable"), "panicked at x").message, /panicked at x/);
  for (const harmless of [new RangeError("Array buffer allocation failed"), new TypeError("x"), new CraneError("invalid_argument", "grammar: too much recursion"), Object.assign(new Error("schema: stack overflow"), { code: "invalid_argument" }), "text", null]) {
    assert.equal(crashOf(harmless, undefined), undefined);
  }
});

test("whatever is thrown has a message", () => {
  for (const thrown of [undefined, null, 5, "x", Object.create(null), { toString: () => { throw new Error(); } }, Symbol("s")]) {
    assert.equal(toMessage(thrown).code, "internal");
    assert.equal(typeof toMessage(thrown).message, "string");
  }
});
