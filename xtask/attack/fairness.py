"""One API key fills the queue; another sends one request."""

import contextlib
import selectors
import threading
import time

from rows import Row
from server import TINY, Server, open_socket, raise_file_limit, raw_request

HOSTILE = 1000
PARALLEL = 4


def one_key(crane: str) -> list[Row]:
    raise_file_limit()
    arguments = ("--ctx", "2048", "--parallel", str(PARALLEL), "--queue", str(HOSTILE), "--api-key", "hostile", "--api-key", "quiet")
    with Server(crane, TINY, *arguments) as server, contextlib.ExitStack() as stack:
        key = {"Authorization": "Bearer quiet"}
        server.first_token("warm", **key)
        ended, refused, stop = [], [0], threading.Event()
        watch = stack.enter_context(selectors.DefaultSelector())
        for number in range(HOSTILE):
            body = {"user": f"u{number}", "messages": [{"role": "user", "content": f"go on {number}"}], "max_tokens": 64, "ignore_eos": True}
            plain = stack.enter_context(open_socket(server.port))
            plain.sendall(raw_request(body, Authorization="Bearer hostile"))
            watch.register(plain, selectors.EVENT_READ)

        def see() -> None:
            """When each hostile reply came."""
            while not stop.is_set() and watch.get_map():
                for event, _ in watch.select(0.2):
                    with contextlib.suppress(OSError):
                        refused[0] += b" 429 " in event.fileobj.recv(64)
                    ended.append(time.perf_counter())
                    watch.unregister(event.fileobj)

        watcher = threading.Thread(target=see)
        watcher.start()
        try:
            time.sleep(0.3)
            health = server.ask("/ready", None)[0]
            begin = time.perf_counter()
            waited = server.first_token("hello", **key)
            end = time.perf_counter()
            still = HOSTILE - len(ended)
        finally:
            stop.set()
            watcher.join()
        between = sum(begin <= when <= end for when in ended)
        admitted = HOSTILE - refused[0]
        alive = server.is_alive()
    wrong = []
    if not alive:
        wrong.append("the server ended")
    # What ran when it came may end, and as many may end in the same step as its own first token.
    if between > 2 * PARALLEL:
        wrong.append(f"{between} hostile replies ended before its first token")
    if still <= PARALLEL:
        wrong.append("the queue was empty before the quiet one had its turn: nothing was measured")
    if health != 200:
        wrong.append(f"/ready says {health} to other keys")
    told = f"{between} of {admitted} queued replies ended before its first token, after {1000 * waited:.0f} ms"
    numbers = {"hostile": HOSTILE, "admitted": admitted, "ended_before": between, "waited_ms": round(1000 * waited, 1), "left": still}
    reach = f"the quiet one waits for one running step, not for the queue (at most {2 * PARALLEL} of the others' replies end before)"
    return [Row(f"one hostile key with {HOSTILE:,} queued requests, one quiet key", reach, told, wrong, numbers)]
