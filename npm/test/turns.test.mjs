/** Who may use a model, when others wait: a reader that has gone does not hold it. */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { Channel } from "../dist/channel.js";
import { Generations } from "../dist/generations.js";
import { linked, unlessAborted, untilAborted } from "../dist/signals.js";
import { PATIENCE } from "../dist/turns.js";

function line() {
  const port = { sent: [], post: (message) => port.sent.push(message), onMessage: (listener) => (port.say = listener), onFailure: () => {}, terminate: () => {} };
  const generations = new Generations(new Channel(port), 1, () => {});
  return { port, generations, calls: () => port.sent.map(({ call, note }) => call ?? note) };
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A stream of which one piece was read, and a second one that waits. */
async function one(both, signal) {
  const stream = both.generations.run({ ids: [1] }, {}, signal);
  const first = stream.next();
  await settle();
  both.port.say({ id: both.port.sent[0].id, event: { text: "x", id: 1 } });
  await first;
  return stream;
}

test("an abort ends the turn of a stream that nobody reads any more", async () => {
  const both = line();
  const stop = new AbortController();
  await one(both, stop.signal);
  const next = both.generations.run({ ids: [2] }, {}, undefined).next();
  await settle();
  assert.deepEqual(both.calls(), ["generate"]);
  stop.abort();
  await settle();
  assert.deepEqual(both.calls(), ["generate", "abort", "generate"]);
  both.port.say({ id: both.port.sent[2].id, event: { text: "y", id: 2 } });
  assert.equal((await next).value.id, 2);
});

test("so does the end of the call, with pieces still to be read", async () => {
  const both = line();
  const stream = await one(both);
  const { id } = both.port.sent[0];
  both.port.say({ id, event: { text: "z", id: 3 } });
  both.port.say({ id, result: { finishReason: "stop" } });
  both.generations.run({ ids: [2] }, {}, undefined).next();
  await settle();
  assert.deepEqual(both.calls(), ["generate", "generate"]);
  assert.equal((await stream.next()).value.id, 3);
  assert.deepEqual((await stream.next()).value, { finishReason: "stop" });
});

test("a stream that is left alone is stopped once others have waited long enough, and says so", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const said = t.mock.method(console, "warn", () => {});
  const both = line();
  const stream = await one(both);
  // Nobody waits: it may take its time.
  t.mock.timers.tick(10 * PATIENCE);
  assert.deepEqual(both.calls(), ["generate"]);
  both.generations.run({ ids: [2] }, {}, undefined).next();
  await settle();
  t.mock.timers.tick(PATIENCE - 1);
  await settle();
  assert.deepEqual(both.calls(), ["generate"]);
  t.mock.timers.tick(1);
  await settle();
  assert.deepEqual(both.calls(), ["generate", "abort", "generate"]);
  assert.match(said.mock.calls[0].arguments[0], /left alone for 60 seconds.*return\(\)/);
  await assert.rejects(stream.next(), { code: "aborted", message: /left alone/ });
});

test("a reader that comes back in time goes on, however many wait", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const both = line();
  const stream = await one(both);
  for (const ids of [[2], [3]]) both.generations.run({ ids }, {}, undefined).next();
  for (let piece = 0; piece < 5; piece++) {
    await settle();
    t.mock.timers.tick(PATIENCE - 1);
    both.port.say({ id: both.port.sent[0].id, event: { text: "x", id: piece } });
    assert.equal((await stream.next()).value.id, piece);
  }
  // While the reader waits for the engine, no time counts.
  const last = stream.next();
  await settle();
  t.mock.timers.tick(10 * PATIENCE);
  both.port.say({ id: both.port.sent[0].id, result: { finishReason: "stop" } });
  assert.equal((await last).done, true);
});

test("nothing stays at a signal that outlives its calls", async () => {
  const both = line();
  const stop = new AbortController();
  for (let time = 0; time < 20; time++) {
    const stream = both.generations.run({ ids: [1] }, {}, stop.signal);
    const first = stream.next();
    await settle();
    const { id } = both.port.sent.findLast(({ call }) => call);
    both.port.say({ id, event: { text: "x", id: 1 } });
    await first;
    if (time % 2) both.port.say({ id, result: { finishReason: "stop" } });
    await stream.return();
  }
  assert.equal(getEventListeners(stop.signal, "abort").length, 0);
});

test("linked signals abort with the first, for its reason, and let go of the others", () => {
  const [a, b] = [new AbortController(), new AbortController()];
  const both = linked(a.signal, undefined, b.signal);
  b.abort(new Error("b"));
  a.abort(new Error("a"));
  assert.equal(both.signal.reason.message, "b");
  assert.equal(getEventListeners(a.signal, "abort").length, 0);
  assert.equal(linked(AbortSignal.abort(new Error("before")), b.signal).signal.reason.message, "before");
  const free = linked(new AbortController().signal);
  free.release();
  assert.equal(free.signal.aborted, false);
});

test("what never comes is not waited for after an abort", async () => {
  const stop = new AbortController();
  const [never, values] = [unlessAborted(new Promise(() => {}), stop.signal), untilAborted((async function* () {
    yield 1;
    await new Promise(() => {});
  })(), stop.signal)];
  assert.equal((await values.next()).value, 1);
  const second = values.next();
  stop.abort();
  await assert.rejects(never, { code: "aborted" });
  await assert.rejects(second, { code: "aborted" });
  assert.equal(await unlessAborted(Promise.resolve(2), new AbortController().signal), 2);
});
