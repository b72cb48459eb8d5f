"""A server in a child process, as an attacker and as a well-behaved client see it."""

import contextlib
import http.client
import json
import os
import re
import select
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

CHAT = "/v1/chat/completions"
MIB = 1 << 20
# What no answer takes that is worth waiting for.
PATIENCE = 60
# A body of which a server may refuse to hear the end.
MUCH = 4 * MIB
JSON = {"Content-Type": "application/json"}


def status(pid: int, name: str) -> int:
    """A number of /proc/PID/status in bytes; 0 where there is none."""
    with contextlib.suppress(OSError):
        found = re.search(rf"^{name}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return 1024 * int(found[1]) if found else 0
    return 0


class Server:
    """`crane serve` on a free port. What it says is kept for the end."""

    def __init__(self, crane: str, *arguments: str):
        self.log = tempfile.TemporaryFile("w+")
        command = [crane, "serve", *arguments, "--port", "0", "--quiet"]
        # A folder without files: whatever is taken from the current one would be missed here.
        self.folder = tempfile.TemporaryDirectory()
        # Two models' start and a wait behind other programs.
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.log, cwd=self.folder.name)
        ready, _, _ = select.select([self.child.stdout], [], [], PATIENCE)
        line = self.child.stdout.readline().decode() if ready else ""
        if not line:
            self.child.kill()
            raise RuntimeError(f"the server did not start: {self.said()}")
        self.port = int(line.rsplit(":", 1)[1])

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(10)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.child.stdout.close()
        self.log.close()
        self.folder.cleanup()

    def is_alive(self) -> bool:
        return self.child.poll() is None

    def said(self) -> str:
        """The end of what it wrote on stderr."""
        self.log.seek(0)
        return self.log.read()[-2000:]

    def resident(self) -> int:
        return status(self.child.pid, "VmRSS")

    def ticks(self) -> int:
        """Hundredths of a second that its threads ran."""
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{self.child.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])
        return 0

    def connect(self, source: str = "127.0.0.1", timeout: float = PATIENCE) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout, source_address=(source, 0))

    def ask(self, path: str, body: bytes | dict | None, timeout: float = PATIENCE, source: str = "127.0.0.1", **headers: str) -> tuple[int, bytes]:
        """The status and the body of an answer; 0 where the connection ended without one."""
        connection = self.connect(source, timeout)
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        try:
            try:
                connection.request("GET" if body is None else "POST", path, data, {**JSON, **headers})
            except ConnectionError:
                # A server need not listen to the end of what is too much; its answer may be here all the same.
                if len(data or b"") > MUCH:
                    return 413, b""
                raise
            response = connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def first_token(self, text: str, source: str = "127.0.0.1", **headers: str) -> float:
        """Seconds from a request, its connection included, to its reply's first token."""
        body = {"messages": [{"role": "user", "content": text}], "max_tokens": 2, "temperature": 0, "ignore_eos": True, "stream": True}
        start = time.perf_counter()
        connection = self.connect(source)
        try:
            connection.request("POST", CHAT, json.dumps(body), {**JSON, **headers})
            response = connection.getresponse()
            if response.status != 200:
                raise RuntimeError(f"a well-behaved client gets {response.status}: {response.read()[:200]!r}")
            for line in response:
                if line.startswith(b"data: {") and json.loads(line[6:])["choices"]:
                    break
            took = time.perf_counter() - start
            response.read()
            return took
        finally:
            connection.close()

    def counter(self, name: str) -> float:
        """The sum of a counter of /metrics over the models."""
        text = self.ask("/metrics", None)[1].decode()
        return sum(float(value) for value in re.findall(rf"^{name}{{[^}}]*}} (\S+)$", text, re.MULTILINE))

    def health(self) -> float:
        """Seconds until /health answers; a failure is as long as the patience."""
        start = time.perf_counter()
        answered = self.ask("/health", None, 10)[0] == 200
        return time.perf_counter() - start if answered else float(PATIENCE)

    def memory_back_within(self, before: int, limit: int, seconds: float = 10) -> int:
        """By how many bytes its memory is above an earlier reading, once that is within the limit or the time is up."""
        end = time.monotonic() + seconds
        while (more := self.resident() - before) > limit and time.monotonic() < end:
            time.sleep(0.2)
        return max(more, 0)


def raise_file_limit() -> None:
    """As many open files as the system allows: an attacker's side needs thousands."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def raw_request(body: dict, path: str = CHAT, **headers: str) -> bytes:
    """A request as bytes, for sockets that behave badly."""
    data = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {len(data)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def open_socket(port: int, source: str = "127.0.0.1", buffer: int | None = None) -> socket.socket:
    """A connection; `buffer` is how many bytes it takes in unread."""
    plain = socket.socket()
    if buffer:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    plain.settimeout(10)
    plain.bind((source, 0))
    plain.connect(("127.0.0.1", port))
    return plain


def median(values: list[float]) -> float:
    return statistics.median(values)


TINY = str(Path(__file__).resolve().parents[2] / "crane-sdk/tests/fixtures/qwen2_tied")
FIXTURES = Path(TINY).parent
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1"}
