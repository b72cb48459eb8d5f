"""Connections that say nothing, say half, or never read, while somebody else chats."""

import contextlib
import time
import uuid

from rows import Row
from server import CHAT, TINY, Server, median, open_socket, raise_file_limit, raw_request

IDLE, STALLED, HALF = 2000, 200, 200
# The one who behaves comes from another address.
QUIET = "127.0.0.2"
ROUNDS = 15
# Below this the first token's time is the noise of a machine that has other work.
LEAST = 0.02
HEALTH = 0.1


def prompt() -> str:
    """A prompt of some length whose beginning nobody has sent before."""
    return f"{uuid.uuid4()} " + "What does the river carry in spring? " * 12


def settled(server: Server) -> tuple[float, float]:
    """The median times to the first token and of /health: a single one may meet the machine at other work."""
    times, health = [], []
    for _ in range(ROUNDS):
        times.append(server.first_token(prompt(), QUIET))
        health.append(server.health())
    return median(times), median(health)


def crowd(crane: str) -> list[Row]:
    raise_file_limit()
    sockets, refused = [], 0
    with Server(crane, TINY, "--ctx", "2048", "--timeout", "60") as server, contextlib.ExitStack() as stack:
        server.first_token(prompt(), QUIET)
        usual, _ = settled(server)

        def connect(count: int, said: bytes, buffer: int | None = None) -> None:
            nonlocal refused
            for _ in range(count):
                try:
                    plain = stack.enter_context(open_socket(server.port, buffer=buffer))
                    plain.sendall(said)
                    sockets.append(plain)
                except OSError:
                    refused += 1

        connect(IDLE, b"")
        body = {"messages": [{"role": "user", "content": "go on"}], "max_tokens": 500, "ignore_eos": True, "stream": True, "logprobs": True, "top_logprobs": 20}
        connect(STALLED, raw_request(body), buffer=2048)
        connect(HALF, b"POST " + CHAT.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Le")
        time.sleep(2)
        crowded, health = settled(server)
        alive = server.is_alive()
    wrong = []
    ratio = crowded / max(usual, LEAST)
    if not alive:
        wrong.append("the server ended")
    if ratio > 2:
        wrong.append(f"the first token takes {1000 * crowded:.0f} ms, usually {1000 * usual:.0f} ms")
    if health > HEALTH:
        wrong.append(f"/health took {1000 * health:.0f} ms")
    told = f"first token {1000 * usual:.0f} ms, then {1000 * crowded:.0f} ms; /health {1000 * health:.0f} ms"
    numbers = {"usual_ms": round(1000 * usual, 1), "crowded_ms": round(1000 * crowded, 1), "health_ms": round(1000 * health, 1), "connections": len(sockets), "refused": refused}
    attack = f"{IDLE} idle, {STALLED} stalled, {HALF} half-open connections, while one client (from {QUIET}) chats"
    return [Row(attack, "its first token within 2 x its usual time, `/health` < 100 ms", told, wrong, numbers)]
