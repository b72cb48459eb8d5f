#!/usr/bin/env python3
"""Sends a server thousands of requests, most of them bad in some way, and looks at what it answers and how it grows.

    robustness.py CRANE MODEL [--requests 10000]

No answer may be of status 500 or of another shape than the documentation says, the server must live to the end and end
well, and the memory that it holds may not grow by more than 5 % in the second half. The room of the largest bodies
(1 MB, of 34) stays with each thread that happened to read one, the first of them now and then in the second half; so a
half that grew is followed by another, up to four in all: such a step does not come back, and a leak does.
"""

import argparse
import contextlib
import http.client
import json
import random
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

KINDS = {
    "whole": 20, "streamed": 10, "left": 12, "mutated": 25, "cut": 8, "noise": 5, "deep": 2, "large": 2, "lost": 4,
    "form": 8, "other": 10, "slow": 1,
}
CHAT = "/v1/chat/completions"
STATUSES = {200, 400, 404, 405, 413, 429}
CLIENTS = 6
# By how much the memory may grow in one half, and how many halves there may be until it rests.
GROWTH = 0.05
HALVES = 4
# What fields of the wrong kind are replaced by.
VALUES = [None, True, -1, 0, 1.5, 1e300, 2**63, "", "x", "\u0000", "𝄞" * 50, [], [[]], {}, {"a": {"b": [1]}}, [None], "a" * 5000]
SCHEMAS = [
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 1, "maximum": 9}}, "required": ["a"]},
    {"enum": ["a", 1, None]},
    {"type": "array", "items": {"type": "boolean"}, "maxItems": 3},
    {"type": "string", "pattern": "("},
    {"$ref": "#/nowhere"},
    {"type": "nothing"},
    {"allOf": [{"type": "string"}, {"type": "integer"}]},
    {"type": "string", "maxLength": 10**9},
]
GRAMMARS = ["start: /[a-z]{3}/", "start: start", "start: (", "", "start: \"a\" | missing", "start: /(a|b){1000}/"]


def chat(rng: random.Random) -> dict:
    return {
        "messages": [{"role": rng.choice(["user", "system"]), "content": rng.choice(["Hello", "wörld 𝄞", "a " * 40])}],
        "max_tokens": rng.randint(1, 12),
        "temperature": rng.choice([0, 1, 2]),
        "seed": rng.randint(0, 99),
    }


def mutate(rng: random.Random, value, depth: int = 0):
    """Replaces something in a body by something else."""
    if isinstance(value, dict) and value and (depth == 0 or rng.random() < 0.7):
        name = rng.choice(list(value))
        copy = dict(value)
        kind = rng.random()
        if kind < 0.1:
            del copy[name]
        elif kind < 0.2:
            copy[rng.choice(["", "n", "stop", "tools", "logit_bias", "x" * 100])] = rng.choice(VALUES)
        else:
            copy[name] = mutate(rng, value[name], depth + 1)
        return copy
    if isinstance(value, list) and value and rng.random() < 0.7:
        copy = list(value)
        index = rng.randrange(len(copy))
        copy[index] = mutate(rng, copy[index], depth + 1)
        return copy
    return rng.choice(VALUES)


class Client(threading.Thread):
    """Asks one thing after the other."""

    def __init__(self, port: int, seed: int, count: int):
        super().__init__()
        self.port, self.rng, self.count = port, random.Random(seed), count
        self.told: Counter = Counter()
        self.wrong: list[str] = []

    def run(self) -> None:
        for _ in range(self.count):
            kind = self.rng.choices(list(KINDS), KINDS.values())[0]
            try:
                status = getattr(self, kind)()
            except Exception as error:  # noqa: BLE001 (whatever goes wrong is a finding)
                self.wrong.append(f"{kind}: {error!r}")
                continue
            self.told[kind, status] += 1

    def send(self, path: str, body: bytes, method: str = "POST") -> http.client.HTTPResponse:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self.connection.request(method, path, body, {"Content-Type": "application/json"})
        return self.connection.getresponse()

    def check(self, path: str, body: bytes, method: str = "POST") -> int:
        """The status of an answer that is as it should be."""
        response = self.send(path, body, method)
        said = response.read()
        self.connection.close()
        about = f"{method} {path} {body[:300]!r}: {response.status} {said[:300]!r}"
        if response.status not in STATUSES:
            self.wrong.append(about)
        if response.headers["content-type"] == "text/event-stream":
            if not said.endswith(b"\n\n"):
                self.wrong.append(about)
            return response.status
        if response.headers["content-type"] == "application/x-ndjson":
            last = json.loads(said.splitlines()[-1])
            if not said.endswith(b"\n") or not (last.get("done") or last.get("error")):
                self.wrong.append(about)
            return response.status
        error = json.loads(said)
        # Ollama's errors are sentences.
        if response.status != 200 and not (error["error"] if path.startswith("/api/") else error["error"]["message"]):
            self.wrong.append(about)
        return response.status

    def whole(self) -> int:
        return self.check(CHAT, json.dumps(chat(self.rng)).encode())

    def streamed(self) -> int:
        body = {**chat(self.rng), "stream": True}
        response = self.send(CHAT, json.dumps(body).encode())
        said = response.read()
        if response.status == 200 and not said.endswith(b"data: [DONE]\n\n"):
            self.wrong.append(f"a stream ends with {said[-100:]!r}")
        return response.status

    def left(self) -> int:
        """A stream whose reader goes away."""
        body = {**chat(self.rng), "stream": True, "max_tokens": 400, "ignore_eos": True}
        response = self.send(CHAT, json.dumps(body).encode())
        if response.status == 200:
            for _ in range(self.rng.randint(0, 6)):
                response.readline()
        self.connection.close()
        return response.status

    def slow(self) -> int:
        """A stream whose reader takes its time."""
        body = {**chat(self.rng), "stream": True, "max_tokens": 60, "ignore_eos": True}
        response = self.send(CHAT, json.dumps(body).encode())
        while response.read(40):
            threading.Event().wait(0.001)
        return response.status

    def mutated(self) -> int:
        path, body = self.rng.choice([
            (CHAT, chat(self.rng)),
            ("/v1/completions", {"prompt": "Hello", "max_tokens": 3}),
            ("/v1/responses", {"input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}], "max_output_tokens": 3}),
            ("/v1/messages", {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}]}], "max_tokens": 3}),
            ("/v1/embeddings", {"input": ["x", "y"], "encoding_format": "float"}),
            ("/api/chat", {"messages": [{"role": "user", "content": "x"}], "options": {"num_predict": 3}, "think": False}),
            ("/api/embed", {"input": ["x", "y"], "keep_alive": "5m"}),
            ("/api/show", {"model": "x", "verbose": True}),
            ("/tokenize", {"content": "x", "with_pieces": True}),
            ("/detokenize", {"tokens": [1, 2, 3]}),
        ])
        changed = mutate(self.rng, body)
        # A reply of unbounded length is right, and takes long.
        if isinstance(changed, dict) and path == "/api/chat":
            if isinstance(changed.get("options"), dict):
                changed["options"]["num_predict"] = 3
            elif changed.get("options") is None:
                changed["options"] = {"num_predict": 3}
        elif isinstance(changed, dict) and path.startswith("/v1/") and path != "/v1/embeddings":
            limit = "max_output_tokens" if path == "/v1/responses" else "max_tokens"
            changed.setdefault(limit, 3)
            if not isinstance(changed[limit], int) or changed[limit] > 12:
                changed[limit] = 3
        return self.check(path, json.dumps(changed).encode())

    def cut(self) -> int:
        body = json.dumps(chat(self.rng)).encode()
        return self.check(CHAT, body[: self.rng.randrange(len(body))])

    def deep(self) -> int:
        return self.check(CHAT, b'{"messages":' + b"[" * self.rng.choice([100, 100_000]))

    def large(self) -> int:
        """More than the server takes."""
        try:
            return self.check(CHAT, b'{"messages": "' + b"x" * (1 << 21) + b'"}')
        except (BrokenPipeError, ConnectionResetError):
            # It need not listen to the end.
            return 413

    def lost(self) -> int:
        path = self.rng.choice(["/", "/v1", "/v1/chat", "/%00", "/../etc/passwd", "/v1/models/x", CHAT, "/health"])
        return self.check(path, b"", self.rng.choice(["GET", "PUT", "DELETE", "PATCH"]))

    def form(self) -> int:
        body = chat(self.rng)
        if self.rng.random() < 0.5:
            schema = self.rng.choice(SCHEMAS)
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        else:
            body["grammar"] = self.rng.choice(GRAMMARS)
        return self.check(CHAT, json.dumps(body).encode())

    def other(self) -> int:
        path, body = self.rng.choice([
            ("/v1/completions", {"prompt": ["Hello", "Bye"], "max_tokens": 4, "logprobs": 2}),
            ("/v1/responses", {"input": "Hello", "max_output_tokens": 4, "stream": True}),
            ("/v1/messages", {"messages": [{"role": "user", "content": "x"}], "max_tokens": 4, "stream": True}),
            ("/v1/embeddings", {"input": "Hello"}),
            ("/api/chat", {"messages": [{"role": "user", "content": "x"}], "options": {"num_predict": 4}}),
            ("/api/generate", {"prompt": "Hello", "raw": True, "options": {"num_predict": 4}, "stream": False}),
            ("/api/embed", {"input": "Hello"}),
        ])
        return self.check(path, json.dumps(body).encode())

    def noise(self) -> int:
        """Bytes that are no HTTP at all."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as plain:
            try:
                plain.sendall(self.rng.randbytes(self.rng.randint(1, 300)) + b"\r\n\r\n")
                plain.shutdown(socket.SHUT_WR)
                said = plain.recv(1000)
            except OSError:
                # The server hung up first.
                said = b""
        if said and not said.startswith(b"HTTP/1.1 400"):
            self.wrong.append(f"noise is answered by {said!r}")
        return 400


def resident(pid: int) -> int:
    """The memory that a process holds, in bytes; 0 where the system does not tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return 1024 * int(line.split()[1])
    return 0


def storm(port: int, seed: int, count: int) -> tuple[Counter, list[str]]:
    clients = [Client(port, seed + number, count // CLIENTS) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return sum((client.told for client in clients), Counter()), [each for client in clients for each in client.wrong]


def growth(memory: list[int]) -> float:
    """By which part the last reading is above the one before it; 0 where the system told nothing."""
    return memory[-1] / memory[-2] - 1 if memory[-2] else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crane")
    parser.add_argument("model")
    parser.add_argument("--requests", type=int, default=10_000)
    args = parser.parse_args()
    command = [args.crane, "serve", args.model, "--port", "0", "--ctx", "512", "--max-body", "1", "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        told, wrong, memory = Counter(), [], []
        while len(memory) < 2 or (len(memory) < HALVES and growth(memory) > GROWTH):
            more, also = storm(port, 1000 * len(memory), args.requests // 2)
            told, wrong = told + more, wrong + also
            memory.append(resident(server.pid))
        server.terminate()
        said = server.stderr.read()
    if server.returncode != 0 or "panicked" in said:
        wrong.append(f"the server ended with {server.returncode}: {said[-2000:]}")
    if growth(memory) > GROWTH:
        wrong.append(f"the server's memory grew by {growth(memory):.1%} in the last half")
    statuses = Counter()
    for (_, status), count in told.items():
        statuses[status] += count
    print(f"{sum(told.values())} answers: {dict(sorted(statuses.items()))}")
    print(f"memory after each half: {', '.join(f'{each / 1e6:.1f} MB' for each in memory)} ({growth(memory):+.1%})")
    for each in wrong[:20]:
        print(f"wrong: {each}")
    # In the words that `cargo xtask test` counts.
    print(f"{int(not wrong)} passed, {int(bool(wrong))} failed")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
