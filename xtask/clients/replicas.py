#!/usr/bin/env python3
"""Two replicas of a server behind HAProxy, with the configuration in `deploy/haproxy`.

    replicas.py CRANE MODEL HAPROXY    start `CRANE serve MODEL` twice and the proxy before them, and run every test
"""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import unittest
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHAT = "/v1/chat/completions"
# Longer than any test waits for what is sure to happen.
PATIENCE = 60


def free_ports(count: int) -> list[int]:
    """Ports on which nothing listens, all different."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def get(port: int, path: str) -> tuple[int, dict]:
    """The status and the body of an answer; 0 where nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    except (OSError, http.client.HTTPException, json.JSONDecodeError):
        return 0, {}
    finally:
        connection.close()


def wait_until(happens: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE
    while not happens():
        if time.monotonic() > end:
            raise AssertionError(f"{what} did not happen in {PATIENCE} s")
        time.sleep(0.05)


class Replica:
    """A server that can be killed and started again on its port."""

    def __init__(self, crane: str, model: str, port: int):
        self.port = port
        self.command = [crane, "serve", model, "--port", str(port), "--parallel", "16", "--ctx", "4096", "--queue", "4", "--quiet"]
        self.start()

    def start(self) -> None:
        self.child = subprocess.Popen(self.command, stdout=subprocess.DEVNULL)
        wait_until(lambda: get(self.port, "/ready")[0] == 200, "a replica's start")

    def stop(self, how: int) -> None:
        self.child.send_signal(how)
        self.child.wait()

    def running(self) -> int:
        return get(self.port, "/health")[1].get("running", 0)


def body(messages: list[dict], **options) -> dict:
    return {"messages": messages, "max_tokens": 8, "temperature": 0, "ignore_eos": True, **options}


def user(text: str) -> dict:
    return {"role": "user", "content": text}


class Proxy(unittest.TestCase):
    """What clients of the proxy meet."""

    port: int
    replicas: dict[str, Replica]

    def setUp(self):
        """Both replicas are there, and the proxy knows it."""
        for replica in self.replicas.values():
            if replica.child.poll() is not None:
                replica.start()
        wait_until(lambda: {self.served() for _ in range(4)} == set(self.replicas), "the return of a replica")

    def served(self) -> str | None:
        """Who answers a request that belongs to no conversation."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", "/ready")
        response = connection.getresponse()
        response.read()
        connection.close()
        return response.headers["x-served-by"]

    def open(self, path: str, asked: dict, headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        headers = {"Content-Type": "application/json", **(headers or {})}
        self.connection.request("POST", path, json.dumps(asked), headers)
        return self.connection.getresponse()

    def ask(self, path: str, asked: dict, headers: dict[str, str] | None = None) -> tuple[str, dict]:
        """Who answered, and what."""
        response = self.open(path, asked, headers)
        said = json.loads(response.read())
        self.connection.close()
        self.assertEqual(response.status, 200, said)
        return response.headers["x-served-by"], said

    def turn(self, messages: list[dict]) -> tuple[str, int, int]:
        """Has a conversation go on: who answered, tokens of the prompt, and those that were in a slot."""
        served, said = self.ask(CHAT, body(messages))
        messages += [said["choices"][0]["message"], user("And then?")]
        usage = said["usage"]
        return served, usage["prompt_tokens"], usage["prompt_tokens_details"]["cached_tokens"]

    def conversation_of(self, name: str, prefix: str) -> list[dict]:
        """A conversation that a replica has begun."""
        for number in range(64):
            messages = [user(f"{prefix} {number}: where does the river begin?")]
            if self.turn(messages)[0] == name:
                return messages
        self.fail(f"{name} begins no conversation")

    def test_conversations_stay_with_their_replica(self):
        # Most of each is its own: a conversation that shares most with another one would take its slot.
        stories = ["river", "mountain", "forest", "harbour", "desert", "island"]
        plain = [[user(f"{word} and " * 30)] for word in stories]
        instructed = [[{"role": "system", "content": "Be brief."}, user(f"{word} or " * 30)] for word in stories]
        conversations = plain + instructed
        first = [self.turn(messages) for messages in conversations]
        self.assertEqual({served for served, _, _ in first}, set(self.replicas))
        before = first
        for _ in range(2):
            # All others come between two turns.
            after = [self.turn(messages) for messages in conversations]
            for (served, prompt, _), (again, _, cached) in zip(before, after, strict=True):
                self.assertEqual(again, served)
                self.assertGreaterEqual(cached, prompt)
            before = after

    def test_every_kind_of_conversation_stays(self):
        kinds = {
            "/v1/messages": lambda n, more: body([user(f"Tale {n}"), *more]),
            "/v1/responses": lambda n, more: {"input": [user(f"Tale {n}"), *more], "max_output_tokens": 4},
            "/v1/completions": lambda n, _: {"prompt": f"Tale {n} begins", "max_tokens": 4},
        }
        more = [{"role": "assistant", "content": "So it went."}, user("And then?")]
        for path, asked in kinds.items():
            begun = [self.ask(path, asked(number, []))[0] for number in range(8)]
            self.assertEqual(set(begun), set(self.replicas), path)
            self.assertEqual([self.ask(path, asked(number, more))[0] for number in range(8)], begun, path)
        named = [self.ask(CHAT, body([user(f"Word {number}")]), {"x-session-id": "Ann"})[0] for number in range(8)]
        self.assertEqual(len(set(named)), 1)

    def test_streams_pass_as_they_come(self):
        asked = body([user("Tell me of the sea.")], max_tokens=2000, stream=True)
        start = time.monotonic()
        response = self.open(CHAT, asked)
        self.assertEqual(response.headers["content-type"], "text/event-stream")
        came, last = [], b""
        for line in response:
            if line.startswith(b"data: "):
                came.append(time.monotonic() - start)
                last = line
        self.assertEqual(last.strip(), b"data: [DONE]")
        # The first events are here long before the last, and the middle one in the middle.
        self.assertGreater(len(came), 1000)
        self.assertLess(came[10], came[-1] / 4)
        self.assertTrue(came[-1] / 5 < came[len(came) // 2] < came[-1] * 4 / 5, came[len(came) // 2] / came[-1])

    def test_who_leaves_a_stream_frees_the_slot(self):
        response = self.open(CHAT, body([user("Tell me of the wind.")], max_tokens=4000, stream=True))
        response.readline()
        replica = self.replicas[response.headers["x-served-by"]]
        self.assertEqual(replica.running(), 1)
        response.close()
        self.connection.close()
        wait_until(lambda: replica.running() == 0, "the end of a reply that nobody reads")

    def test_the_other_replica_takes_over_for_a_killed_one(self):
        lost, kept = (self.conversation_of(name, "Song") for name in self.replicas)
        (name, replica), (other, _) = self.replicas.items()
        replica.stop(signal.SIGKILL)
        # At once, before the proxy has looked at it.
        served, prompt, _ = self.turn(lost)
        self.assertEqual(served, other)
        self.assertEqual(self.turn(kept)[0], other)
        # The conversation goes on there, and has a slot there.
        served, _, cached = self.turn(lost)
        self.assertEqual(served, other)
        self.assertGreaterEqual(cached, prompt)
        # Once it is back it gets its conversations, and the others stay.
        replica.start()
        wait_until(lambda: self.turn(lost)[0] == name, "the return of a conversation")
        self.assertEqual(self.turn(kept)[0], other)

    def test_a_replica_that_ends_lets_its_streams_end(self):
        messages = self.conversation_of("two", "Poem")
        (other, _), (name, replica) = self.replicas.items()
        response = self.open(CHAT, body(messages, max_tokens=2500, stream=True))
        self.assertEqual(response.headers["x-served-by"], name)
        response.readline()
        connection = self.connection
        replica.child.send_signal(signal.SIGTERM)
        wait_until(lambda: {self.served() for _ in range(4)} == {other}, "the proxy's notice of a replica that ends")
        self.assertEqual(self.turn(list(messages))[0], other)
        self.assertTrue(response.read().endswith(b"data: [DONE]\n\n"))
        connection.close()
        self.assertEqual(replica.child.wait(), 0)


@contextlib.contextmanager
def proxied(crane: str, model: str, haproxy: str) -> Iterator[None]:
    """Two replicas and a proxy, all of which are gone at the end."""
    address, *ports = free_ports(3)
    places = {
        "CRANE_ADDRESS": f"127.0.0.1:{address}",
        "CRANE_REPLICA_ONE": f"127.0.0.1:{ports[0]}",
        "CRANE_REPLICA_TWO": f"127.0.0.1:{ports[1]}",
    }
    with contextlib.ExitStack() as stack:
        Proxy.port, Proxy.replicas = address, {}
        for name, port in zip(("one", "two"), ports, strict=True):
            replica = Replica(crane, model, port)
            stack.callback(lambda replica=replica: replica.stop(signal.SIGKILL))
            Proxy.replicas[name] = replica
        command = [haproxy, "-db", "-f", str(ROOT / "deploy/haproxy/haproxy.cfg")]
        proxy = stack.enter_context(subprocess.Popen(command, env={**os.environ, **places}))
        stack.callback(proxy.terminate)
        wait_until(lambda: get(address, "/ready")[0] == 200, "the proxy's start")
        yield


def main() -> None:
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    with proxied(*sys.argv[1:]):
        tests = unittest.defaultTestLoader.loadTestsFromTestCase(Proxy)
        result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2).run(tests)
    failed = len(result.failures) + len(result.errors)
    # In the words that `cargo xtask test` counts.
    print(f"{result.testsRun - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
