"""Grammars and schemas that ask for more than any reply needs: chains, widths, depths, repeats, lies."""

import itertools
import random
from collections.abc import Iterator

SIZES = [3, 40, 300, 668, 3000, 20_000]
# Schemas of JSON cannot be deeper than what reads JSON allows; one above and one far above are among these.
DEPTHS = [10, 60, 100, 126, 129, 5000]


def nested(word: str, depth: int, many: bool = False) -> str:
    """A schema that lies in itself, as text: deep ones cannot be made by a serialiser."""
    left, right = (f'{{"{word}":[', "]}") if many else (f'{{"{word}":', "}")
    return left * depth + '{"type":"integer"}' + right * depth


def grammars() -> Iterator[str]:
    """Lark's notation."""
    for size in SIZES:
        yield "start: r0\n" + "".join(f"r{i}: r{i + 1}\n" for i in range(size)) + f'r{size}: "a"\n'
        yield "start: T0\n" + "".join(f"T{i}: T{i + 1}\n" for i in range(size)) + f"T{size}: /a/\n"
        yield "start: " + "(" * size + '"a"' + ")" * size
        yield "start: " + " | ".join(f'"k{i}"' for i in range(size))
        yield "start: " + " ".join(f"r{i}" for i in range(size)) + "\n" + "".join(f'r{i}: "x"?\n' for i in range(size))
        yield f'start: "a"{{{size}}}\n'
        yield f"start: /(ab?c){{{size}}}/\n"
        yield f"start: /{'(' * size}a{')' * size}/\n"
        yield f'start: "{"ab" * size}"\n'
        yield "start: a\n" + "".join(f"%ignore /x{i}+/\n" for i in range(size)) + 'a: "b"\n'
        yield "start: " + "(" * size + '"a"' + ")?" * size
        yield f"start: A\nA: /({'a|' * size}b)*c/\n"
    yield from ("start: start\n", "start: a\na: b\nb: a\n", 'start: "a" | missing\n', "", "start: (\n", "%ignore", "start: /[/\n", "\0" * 99)
    yield 'start: %json {"$ref": "#"}\n'
    yield "start: /(((a{1000}){1000}){1000}){1000}/\n"
    yield "start: /(.*a){200}/\n"
    yield "start: /\\p{L}{5000}&~(.*ab.*)/\n"


def schemas() -> Iterator[str | dict]:
    for size in SIZES:
        names = [f"p{i}" for i in range(size)]
        yield {"type": "object", "properties": {name: {"type": "integer"} for name in names}, "required": names, "additionalProperties": False}
        yield {"type": "object", "properties": {name: {"enum": [f"{name}{i}" for i in range(40)]} for name in names[:2000]}}
        yield {"enum": list(range(size * 5))}
        yield {"enum": [str(i) * 50 for i in range(size)]}
        yield {"$defs": {f"d{i}": {"$ref": f"#/$defs/d{i + 1}"} for i in range(size)} | {f"d{size}": {}}, "$ref": "#/$defs/d0"}
        yield {"anyOf": [{"type": "string", "pattern": f"^{i}a*b{{{i % 50}}}$"} for i in range(size)]}
        yield {"allOf": [{"type": "integer", "minimum": i} for i in range(size)]}
        yield {"type": "string", "pattern": f"^(a|b){{{size}}}$"}
        yield {"type": "string", "minLength": size * 100, "maxLength": size * 101}
        yield {"type": "array", "items": {"type": "object", "properties": {"a": {}}}, "minItems": size * 10}
        yield {"type": "array", "prefixItems": [{"const": i} for i in range(size)]}
        yield {"type": "object", "patternProperties": {f"^x{i}.*": {"type": "null"} for i in range(size)}}
        yield {"const": {"a": "b" * size * 20}}
        yield {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": size}
        yield {"oneOf": [{"const": i} for i in range(size)]}
        yield {"type": "string", "pattern": "(" * size + "a" + ")" * size}
    for depth, word in itertools.product(DEPTHS, ("items", "additionalProperties", "not")):
        yield nested(word, depth)
    for depth, word in itertools.product(DEPTHS, ("anyOf", "allOf", "oneOf", "prefixItems")):
        yield nested(word, depth, many=True)
    for number in (2, 7, 97, 1000, 65_537, 1_000_003, 99_999_999, 0.01, 1e-9, 3.14159265, 1e300, 0, -1, 2**62):
        yield {"type": "integer", "multipleOf": number}
        yield {"type": "number", "multipleOf": number, "minimum": -number, "maximum": 1e9}
        yield {"allOf": [{"type": "integer", "multipleOf": number}, {"multipleOf": 12345}]}
    for low, high in ((0, 2**63), (-(10**18), 10**18), (5, 3), (0.1, 0.2), (-1e308, 1e308), (1, 10**300)):
        yield {"type": "integer", "minimum": low, "maximum": high}
        yield {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": high}
    for kind in ("date-time", "email", "uuid", "ipv6", "uri", "regex", "hostname", "x" * 1000):
        yield {"type": "array", "items": {"type": "string", "format": kind}, "minItems": 50, "maxItems": 10**9}
    for pattern in ("(?=a)b", "(a*)*b", "(a|a)*c", "\\1", "(?P<x>a)", "[", "a{99999999}", "^.{1,100000}$", "(x+x+)+y", "\\p{Greek}{900}", "$^" * 500):
        yield {"type": "string", "pattern": pattern}
    yield from ({"$ref": "#"}, {"$ref": "http://x.test/y"}, {"$ref": "#/a/b"}, {"type": "nothing"}, {"type": ["string"] * 5000}, {"if": {}, "then": {}})


def tools(rng: random.Random) -> list[dict]:
    """Functions with parameters of the schemas above, a few at a time."""
    everything = [schema for schema in schemas() if isinstance(schema, dict) and schema.get("type") == "object"]
    picked = rng.sample(everything, min(3, len(everything)))
    return [{"type": "function", "function": {"name": f"f{i}", "parameters": schema}} for i, schema in enumerate(picked)]


def requests(count: int, rng: random.Random) -> Iterator[bytes]:
    """Bodies of chat requests whose replies must have such a form, each of the families among them."""
    import json

    head = b'{"messages":[{"role":"user","content":"hi"}],"max_tokens":4,'
    made = [head + b'"grammar":' + json.dumps(grammar).encode() + b"}" for grammar in grammars()]
    for schema in schemas():
        text = schema if isinstance(schema, str) else json.dumps(schema)
        made.append(head + b'"response_format":{"type":"json_schema","json_schema":{"name":"n","schema":' + text.encode() + b"}}}")
    for expression in ("a" * 100_000, "(" * 5000 + ")" * 5000, "(a{1000}){1000}", "[a-z]{1,1000000}", "(.*)*" * 300, "\\w+" * 2000, "a{4294967296}"):
        made.append(head + b'"grammar":' + json.dumps({"type": "regex", "value": expression}).encode() + b"}")
    made += [head + b'"tools":' + json.dumps(tools(rng)).encode() + b',"tool_choice":"required"}' for _ in range(8)]
    # Of each family another size first: the first so many are a fair part of all.
    rng.shuffle(made)
    while len(made) < count:
        made.append(varied(rng.choice(made), rng))
    yield from made[:count]


def varied(body: bytes, rng: random.Random) -> bytes:
    """A body in which the numbers of the form are others."""
    at = body.find(b'"max_tokens":4,') + 15
    form = bytearray(body[at:])
    digits = [i for i, byte in enumerate(form) if 48 <= byte <= 57]
    for i in rng.sample(digits, min(len(digits), 3)):
        form[i] = rng.randrange(49, 58)
    return body[:at] + bytes(form)
