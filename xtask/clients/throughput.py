#!/usr/bin/env python3
"""Chats with servers of one model many at a time, in turns, and tells how fast they answer.

    throughput.py MODEL CRANE [LLAMA_SERVER] [--clients 8] [--tokens 128] [--threads 2] [--rounds 3] [--record FILE]

Every client asks its own question and reads a streamed reply of so many tokens. Told are the median over the rounds of: tokens of
all replies in a second, from the first request to the last token; the median and 95th percentile of the time between two
pieces of a reply; and how long one client alone waits for the first piece of a reply to a long prompt, and to another prompt
that begins with the same 1,500 tokens or so.
"""

import argparse
import http.client
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

TOPICS = ["rivers", "bread", "the moon", "bees", "glass", "ships", "salt", "clocks", "wool", "bridges", "tea", "iron"]


def question(index: int) -> str:
    return f"Write a long text about {TOPICS[index % len(TOPICS)]}, with everything that a curious reader wants to know."


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server in a child process."""

    def __init__(self, command: list[str], port: int):
        self.port = port
        self.child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if self.child.poll() is not None:
                sys.exit(f"{command[0]} ended with {self.child.returncode}")
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        sys.exit(f"{command[0]} did not become ready")

    def chat(self, text: str, tokens: int) -> list[float]:
        """When each piece of a reply came."""
        body = {
            "messages": [{"role": "user", "content": text}],
            "max_tokens": tokens,
            "temperature": 0,
            "ignore_eos": True,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            sys.exit(f"refused: {response.read().decode()}")
        came, said = [], 0
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            chunk = json.loads(line[6:])
            if chunk["choices"] and chunk["choices"][0]["delta"].get("content"):
                came.append(time.perf_counter())
            said = (chunk.get("usage") or {}).get("completion_tokens", said)
        if said != tokens:
            sys.exit(f"a reply has {said} tokens, not {tokens}")
        return came

    def stop(self) -> None:
        self.child.terminate()
        self.child.wait()


def first_piece(server: Server, text: str) -> float:
    start = time.perf_counter()
    return 1000 * (server.chat(text, 8)[0] - start)


def measure(server: Server, clients: int, tokens: int) -> dict[str, float]:
    server.chat("Hello!", 8)
    prefix = " ".join(f"{topic} {number}" for number in range(35) for topic in TOPICS)
    long = [first_piece(server, f"{prefix}\n{end}") for end in ("Which of these is red?", "How many are alive?")]
    came: list[list[float]] = [[] for _ in range(clients)]

    def ask(index: int) -> None:
        came[index] = server.chat(question(index), tokens)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    end = max(times[-1] for times in came)
    gaps = sorted(b - a for times in came for a, b in zip(times, times[1:]))
    return {
        "tokens_per_second": clients * tokens / (end - start),
        "first_token_ms": 1000 * statistics.median(times[0] - start for times in came),
        "gap_p50_ms": 1000 * gaps[len(gaps) // 2],
        "gap_p95_ms": 1000 * gaps[int(len(gaps) * 0.95)],
        "long_prompt_ms": long[0],
        "same_beginning_ms": long[1],
    }


def processor() -> str:
    if os.path.exists("/proc/cpuinfo"):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("crane")
    parser.add_argument("llama_server", nargs="?")
    for name, default in (("clients", 8), ("tokens", 128), ("threads", 2), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--record", help="write the measurements to this file")
    args = parser.parse_args()

    context, threads = 2048, str(args.threads)

    def commands(port: int) -> dict[str, list[str]]:
        crane = [args.crane, "serve", args.model, "--port", str(port), "--parallel", str(args.clients)]
        all_commands = {"crane serve": [*crane, "--ctx", str(context), "--threads", threads, "--quiet"]}
        if args.llama_server:
            llama = [args.llama_server, "-m", args.model, "--port", str(port), "--parallel", str(args.clients)]
            llama += ["-c", str(context * args.clients), "-t", threads, "-tb", threads]
            all_commands["llama-server"] = llama
        return all_commands

    results: dict[str, list[dict[str, float]]] = {}
    for _ in range(args.rounds):
        for name in commands(0):
            port = free_port()
            server = Server(commands(port)[name], port)
            try:
                results.setdefault(name, []).append(measure(server, args.clients, args.tokens))
            finally:
                server.stop()
    print(f"{args.clients} clients, {args.tokens} tokens each, {args.threads} threads, {Path(args.model).name}")
    heads = ("tokens/s", "first token", "gap p50", "gap p95", "long prompt", "again")
    print(f"{'':14}" + "".join(f"{head:>13}" for head in heads))
    for name, rounds in results.items():
        median = {key: statistics.median(turn[key] for turn in rounds) for key in rounds[0]}
        row = [f"{median['tokens_per_second']:.1f}"] + [f"{median[key]:.1f} ms" for key in list(median)[1:]]
        print(f"{name:14}" + "".join(f"{cell:>13}" for cell in row))
    if args.record:
        record = {
            "model": Path(args.model).name,
            "date": time.strftime("%Y-%m-%d"),
            "processor": processor(),
            "clients": args.clients,
            "tokens": args.tokens,
            "threads": args.threads,
            "rounds": results,
        }
        Path(args.record).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
