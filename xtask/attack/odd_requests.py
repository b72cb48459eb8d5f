"""Requests that are odd in one way: too much of something, of another type, or hardly HTTP."""

import itertools
import json
import random
from collections.abc import Iterator

from server import CHAT

HI = [{"role": "user", "content": "hi"}]
ROUTES = {
    CHAT: {"messages": HI, "max_tokens": 2},
    "/v1/completions": {"prompt": "hi", "max_tokens": 2},
    "/v1/responses": {"input": "hi", "max_output_tokens": 2},
    "/v1/messages": {"messages": HI, "max_tokens": 2},
    "/v1/messages/count_tokens": {"messages": HI},
    "/v1/embeddings": {"input": "hi"},
    "/api/chat": {"messages": HI, "options": {"num_predict": 2}},
    "/api/generate": {"prompt": "hi", "options": {"num_predict": 2}},
    "/api/embed": {"input": "hi", "keep_alive": "1h"},
    "/api/show": {"model": "hi"},
    "/tokenize": {"content": "hi"},
    "/detokenize": {"tokens": [1]},
    "/apply-template": {"messages": HI},
    "/v1/audio/speech": {"input": "hi", "voice": "x"},
}
TEXTS = {"spaces": " ", "letters": "a", "words": "word ", "newlines": "\n", "marks": "'", "astral": "🦀", "marks of a template": "<|im_start|>", "nul": "\0", "combining": "e\u0301"}
# Characters of a text; the longest is above the default largest request.
LENGTHS = [10_000, 300_000, 3_000_000]
VALUES = [None, True, -1, 0, 1e308, 2**63, -(2**63), 2**64, "", "\0", [], {}, [[]], [None] * 1000, {"a": 1}, "x" * 10_000]


def texts() -> Iterator[tuple[str, dict]]:
    for (_, piece), length in itertools.product(TEXTS.items(), LENGTHS):
        text = piece * (length // len(piece))
        yield "/tokenize", {"content": text, "with_pieces": True}
        yield "/v1/completions", {"prompt": text, "max_tokens": 2}
        yield CHAT, {"messages": [{"role": "user", "content": text}], "max_tokens": 2}
        yield "/v1/embeddings", {"input": text}


def counts() -> Iterator[tuple[str, dict]]:
    """A great many of what is usually few."""
    for many in (100, 4_000, 50_000):
        messages = [{"role": ("user", "assistant")[i % 2], "content": f"hi {i}"} for i in range(many)] + HI
        yield CHAT, {"messages": messages, "max_tokens": 2}
        yield "/apply-template", {"messages": messages}
        yield "/v1/messages/count_tokens", {"messages": messages}
        yield "/v1/completions", {"prompt": ["hi"] * many, "max_tokens": 1}
        yield "/v1/completions", {"prompt": [[1]] * many, "max_tokens": 1}
        yield "/v1/completions", {"prompt": [1] * many, "max_tokens": 1}
        yield "/v1/embeddings", {"input": ["hi"] * many}
        yield "/detokenize", {"tokens": [1] * many}
        yield CHAT, {"messages": HI, "max_tokens": 2, "n": many}
        yield CHAT, {"messages": HI, "max_tokens": 2, "stop": ["x"] * many}
        yield CHAT, {"messages": HI, "max_tokens": 2, "logit_bias": {str(i): 1 for i in range(many)}}
        yield CHAT, {"messages": HI, "max_tokens": 2, "top_logprobs": many, "logprobs": True}
        yield CHAT, {"messages": HI, "max_tokens": 2, "chat_template_kwargs": {f"a{i}": i for i in range(many)}}
        yield CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "x"}] * many}], "max_tokens": 2}
        yield CHAT, {"messages": HI, "max_tokens": 2, **{f"field{i}": i for i in range(many)}}
        tools = [{"type": "function", "function": {"name": f"f{i}", "description": "d" * 50, "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}} for i in range(many)]
        yield CHAT, {"messages": HI, "max_tokens": 2, "tools": tools}
        yield CHAT, {"messages": [{"role": "user", "content": "x " * 200_000}], "max_tokens": 2, "tools": tools[:60]}


def wrong_values() -> Iterator[tuple[str, dict]]:
    for path, body in ROUTES.items():
        for name, value in itertools.product(body, VALUES):
            yield path, {**body, name: value}


def bodies(count: int, rng: random.Random) -> list[tuple[str, bytes]]:
    """So many bodies with their routes; those that are large come each once."""
    made = [(path, json.dumps(body).encode()) for path, body in [*counts(), *texts()]]
    deep = [b'{"messages":' + b"[" * depth + b"]" * depth + b"}" for depth in (100, 127, 129, 10_000, 1_000_000)]
    deep += [b'{"messages":[{"role":"user","content":"hi"}],"chat_template_kwargs":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}" for depth in (50, 120, 100_000)]
    made += [(CHAT, body) for body in deep]
    small = [(path, json.dumps(body).encode()) for path, body in wrong_values()]
    rng.shuffle(small)
    return (made + small)[:count] if count > len(made) else rng.sample(made, count)


def raw() -> list[bytes]:
    """What is hardly HTTP: each is sent as it is, and the connection's end is waited for."""
    host = b"Host: localhost\r\n"
    start = b"POST " + CHAT.encode() + b" HTTP/1.1\r\n" + host
    return [
        b"\0" * 1000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\n" + host * 2 + b"\r\n",
        b"GET " + b"/a" * 100_000 + b" HTTP/1.1\r\n" + host + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 5_000 + b"\r\n",
        b"GET / HTTP/1.1\r\na: " + b"b" * 1_000_000 + b"\r\n\r\n",
        start + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}   ",
        start + b"Content-Length: -1\r\n\r\n{}",
        start + b"Content-Length: 18446744073709551616\r\n\r\n{}",
        start + b"Content-Length: 99999999999\r\n\r\n{}",
        start + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        start + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
        start + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n",
        start + b"Transfer-Encoding: chunked\r\n\r\n2;" + b"x" * 100_000 + b"\r\n{}\r\n0\r\n\r\n",
        start + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        start + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
        start + b"Upgrade: h2c\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0" * 100,
        b"CONNECT x.test:443 HTTP/1.1\r\nHost: x.test:443\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\n" + host + b"\r\n",
        b"GET /v1/models/%2e%2e%2f%00 HTTP/1.1\r\n" + host + b"\r\n",
        (b"GET /health HTTP/1.1\r\n" + host + b"\r\n") * 500,
    ]
