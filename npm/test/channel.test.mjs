/** The conversation between page and worker, seen from the page: the worker's side is written out here. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Channel } from "../dist/channel.js";
import { chatOf } from "../dist/chat.js";
import { CraneError } from "../dist/errors.js";
import { Generations } from "../dist/generations.js";
import { WINDOW } from "../dist/protocol.js";

const END = {
  finishReason: "stop",
  usage: { prompt_tokens: 1, completion_tokens: 2, total_tokens: 3, prompt_tokens_details: { cached_tokens: 0 } },
  timings: { time_to_first_token_ms: 1, prefill_tokens_per_second: 2, decode_tokens_per_second: 3 },
};

/** A port whose other end is in the test's hands. */
function line() {
  const port = {
    sent: [],
    terminated: false,
    post: (message) => port.sent.push(message),
    onMessage: (listener) => (port.say = listener),
    onFailure: (listener) => (port.fail = listener),
    terminate: () => (port.terminated = true),
  };
  const channel = new Channel(port);
  return { port, channel, generations: new Generations(channel, 1, () => {}) };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));
const code = (expected) => (error) => error instanceof CraneError && error.code === expected;

test("answers find their calls, in any order", async () => {
  const { port, channel } = line();
  const one = channel.call("tokenize", { model: 1, text: "a", addSpecialTokens: false });
  const two = channel.call("memory", {});
  assert.deepEqual(port.sent.map(({ call }) => call), ["tokenize", "memory"]);
  port.say({ id: port.sent[1].id, result: { wasmBytes: 5 } });
  port.say({ id: port.sent[0].id, error: { code: "tokenizer", message: "no", hint: "try" } });
  assert.deepEqual(await two, { wasmBytes: 5 });
  await assert.rejects(one, (error) => code("tokenizer")(error) && error.hint === "try");
});

test("an abort rejects at once and is told to the worker, whose late answer is not heard", async () => {
  const { port, channel } = line();
  const stop = new AbortController();
  const call = channel.call("memory", {}, { signal: stop.signal });
  stop.abort(new Error("enough"));
  await assert.rejects(call, (error) => code("aborted")(error) && error.cause.message === "enough");
  assert.deepEqual(port.sent[1], { id: port.sent[0].id, note: "abort" });
  port.say({ id: port.sent[0].id, result: { wasmBytes: 1 } });
  const next = channel.call("memory", {});
  port.say({ id: port.sent[2].id, result: { wasmBytes: 2 } });
  assert.deepEqual(await next, { wasmBytes: 2 });
});

test("a worker that does not stop is ended, unless it says something", async (t) => {
  t.mock.timers.enable({ apis: ["setInterval"] });
  for (const [said, ended] of [[undefined, true], [{ event: { text: "x" } }, false], [{ error: { code: "aborted", message: "" } }, false]]) {
    const { port, channel } = line();
    const stop = new AbortController();
    channel.call("memory", {}, { signal: stop.signal }).catch(() => {});
    stop.abort();
    const later = channel.call("memory", {}).then(() => "answered", ({ code }) => code);
    t.mock.timers.tick(110_000);
    assert.equal(port.terminated, false);
    if (said) port.say({ id: port.sent[0].id, ...said });
    t.mock.timers.tick(60_000);
    assert.equal(port.terminated, ended);
    if (!ended) port.say({ id: port.sent[2].id, result: { wasmBytes: 1 } });
    assert.equal(await later, ended ? "crashed" : "answered");
  }
});

test("an abort before the call sends nothing", async () => {
  const { port, channel } = line();
  await assert.rejects(channel.call("memory", {}, { signal: AbortSignal.abort() }), code("aborted"));
  assert.deepEqual(port.sent, []);
});

test("after a crash or a dead worker every call fails, those under way too", async () => {
  for (const end of [
    ({ port }) => port.say({ id: port.sent[0].id, error: { code: "crashed", message: "boom" } }),
    ({ port }) => port.fail(new CraneError("crashed", "boom")),
    ({ channel }) => channel.close(new CraneError("crashed", "boom")),
  ]) {
    const both = line();
    const under = both.channel.call("memory", {});
    const other = both.channel.call("memory", {});
    end(both);
    for (const call of [under, other, both.channel.call("memory", {})]) await assert.rejects(call, code("crashed"));
    assert.ok(both.port.terminated);
  }
});

test("a generation starts when it is read, acknowledges what was read, and ends with its result", async () => {
  const { port, generations } = line();
  const pieces = generations.run({ ids: [1] }, {}, undefined);
  await settle();
  assert.deepEqual(port.sent, []);
  const first = pieces.next();
  await settle();
  const { id } = port.sent[0];
  for (let number = 0; number < WINDOW; number++) port.say({ id, event: { text: "x", id: number } });
  port.say({ id, result: END });
  const ids = [(await first).value.id];
  let next;
  while (!(next = await pieces.next()).done) ids.push(next.value.id);
  assert.deepEqual(ids, Array.from({ length: WINDOW }, (_, number) => number));
  assert.deepEqual(next.value, END);
  assert.equal(port.sent.filter(({ note }) => note === "ack").reduce((sum, { count }) => sum + count, 0), WINDOW);
  assert.ok(!port.sent.some(({ note }) => note === "abort"));
});

test("leaving the loop stops the worker and lets the next generation begin", async () => {
  const { port, generations } = line();
  const one = generations.run({ ids: [1] }, {}, undefined);
  const two = generations.run({ ids: [2] }, {}, undefined);
  const first = one.next();
  const second = two.next();
  await settle();
  assert.equal(port.sent.length, 1);
  port.say({ id: port.sent[0].id, event: { text: "x", id: 1 } });
  await first;
  await one.return();
  await settle();
  assert.deepEqual(port.sent.map(({ call, note }) => call ?? note), ["generate", "abort", "generate"]);
  port.say({ id: port.sent[2].id, result: END });
  assert.deepEqual((await second).value, END);
});

test("a generation that waits can be aborted, and those behind it still get their turn", async () => {
  const { port, generations } = line();
  const stop = new AbortController();
  const one = generations.run({ ids: [1] }, {}, undefined).next();
  const two = generations.run({ ids: [2] }, {}, stop.signal).next();
  const three = generations.run({ ids: [3] }, {}, undefined).next();
  await settle();
  stop.abort();
  await assert.rejects(two, code("aborted"));
  assert.equal(port.sent.length, 1);
  port.say({ id: port.sent[0].id, error: { code: "context_overflow", message: "too long" } });
  await assert.rejects(one, code("context_overflow"));
  await settle();
  port.say({ id: port.sent[1].id, result: END });
  assert.deepEqual((await three).value, END);
});

test("chat completions have OpenAI's shape, streamed and whole", async () => {
  const { port, generations } = line();
  const { completions } = chatOf(generations, "m.gguf");
  const messages = [{ role: "user", content: "Hi" }];
  const serve = async (index) => {
    await settle();
    const { id } = port.sent[index];
    port.say({ id, event: { text: "Hel", id: 1 } });
    port.say({ id, event: { text: "", id: 2 } });
    port.say({ id, event: { text: "lo" } });
    port.say({ id, result: END });
  };
  const chunks = [];
  const stream = await completions.create({ messages, stream: true, stream_options: { include_usage: true } });
  const served = serve(0);
  for await (const chunk of stream) chunks.push(chunk);
  await served;
  assert.deepEqual(
    chunks.map(({ choices, usage, timings }) => [choices.map(({ delta, finish_reason }) => [delta, finish_reason]), usage, timings]),
    [
      [[[{ role: "assistant", content: "" }, null]], undefined, undefined],
      [[[{ content: "Hel" }, null]], undefined, undefined],
      [[[{ content: "lo" }, null]], undefined, undefined],
      [[[{}, "stop"]], undefined, END.timings],
      [[], END.usage, undefined],
    ],
  );
  assert.ok(chunks.every(({ object, model, id }) => object === "chat.completion.chunk" && model === "m.gguf" && id === chunks[0].id));

  const whole = completions.create({ messages });
  await serve(1);
  const { choices, usage, object } = await whole;
  assert.equal(object, "chat.completion");
  assert.deepEqual(choices, [{ index: 0, message: { role: "assistant", content: "Hello" }, finish_reason: "stop", logprobs: null }]);
  assert.deepEqual(usage, END.usage);
});
