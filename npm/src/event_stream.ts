/** The events of a call as an async iterable that the worker does not run far ahead of. */
import type { Channel } from "./channel.js";
import { CraneError } from "./errors.js";
import { WINDOW, type CallName, type Calls } from "./protocol.js";
import { PATIENCE, type Turn } from "./turns.js";

/**
 * Makes a call when it is first asked for an event; returns the call's result. Leaving the loop stops the worker, which
 * is at most a window of events ahead of the reader.
 *
 * The turn is over with the call, whether the reader comes back or not; and where it does not while others wait.
 */
export async function* eventsOf<N extends CallName>(
  channel: Channel,
  name: N,
  params: Calls[N]["params"],
  signal: AbortSignal | undefined,
  turn: Turn,
): AsyncGenerator<Calls[N]["event"], Calls[N]["result"], undefined> {
  const ready: Calls[N]["event"][] = [];
  let wake: () => void = () => {};
  let call = 0;
  let ended: { result: Calls[N]["result"] } | { failure: unknown } | undefined;
  const drop = (): void => {
    const failure = new CraneError("aborted", `a stream was left alone for ${PATIENCE / 1000} seconds while another call waited for its model, and was stopped`, {
      hint: "leave the loop over it with break, call its return(), or abort its signal",
    });
    ended = { failure };
    channel.abandon(call);
    // Who left it will not ask.
    console.warn(`${failure.message}: ${failure.hint}`);
  };
  channel
    .call(name, params, {
      signal,
      onId: (id) => (call = id),
      onEvent: (event) => {
        ready.push(event);
        wake();
      },
    })
    .then(
      (result) => (ended = { result }),
      (failure: unknown) => (ended = { failure: failure ?? new CraneError("internal", "the call failed") }),
    )
    .finally(() => {
      turn.free();
      wake();
    });
  try {
    let consumed = 0;
    for (;;) {
      if (ended && "failure" in ended) throw ended.failure;
      if (ready.length > 0) {
        const event = ready.shift() as Calls[N]["event"];
        if (!ended) turn.lend(drop);
        yield event;
        turn.resume();
        if (++consumed >= WINDOW / 2) {
          channel.acknowledge(call, consumed);
          consumed = 0;
        }
      } else if (ended) {
        return ended.result;
      } else {
        await new Promise<void>((resolve) => (wake = resolve));
      }
    }
  } finally {
    channel.abandon(call);
    turn.free();
  }
}
