"""Model files that lie: each format with wrong numbers, cut, doubled, deep. `crane` loads each in a process of its own."""

import importlib.util
import json
import os
import random
import struct
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rows import Row
from server import ENVIRONMENT, FIXTURES, MIB, TINY

# What ends a command in an orderly way; a panic is 101, an abort or a kill is a signal.
ORDERLY = {0, 1, 2, 3, 4, 5}
# Beyond four times the file, and beyond what a sound model of the kind takes.
MEMORY = 64 * MIB
# Loading these takes milliseconds; a machine may be busy.
SECONDS = 10
NUMBERS = {
    1: [0, 1, 0x7F, 0x80, 0xFF],
    2: [0, 0x7FFF, 0xFFFF],
    4: [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x10000000],
    8: [0, 1, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, 0xFFFFFFFFFFFFFFFF, 1 << 40, 1 << 32],
}
VALUES = [None, True, 0, -1, 1, 1e308, 2**31, 2**63, 2**64 - 1, 0.5, "", "x" * 10_000, [], {}, [[]], ["a", 1], "NaN", "\u0000"]


def writers():
    """The functions that write the fuzzer's seeds."""
    specification = importlib.util.spec_from_file_location("make_seeds", FIXTURES.parents[2] / "fuzz/make_seeds.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def damaged(data: bytes, rng: random.Random, head: int) -> bytes:
    """Bytes with a number in their first `head` bytes replaced, a cut, or a piece that comes twice."""
    kind, head = rng.random(), min(head, len(data))
    place = rng.randrange(max(head, 1))
    if kind < 0.55:
        width = rng.choice(list(NUMBERS))
        lie = rng.choice(NUMBERS[width]).to_bytes(width, "little")
        return data[:place] + lie + data[place + width:]
    if kind < 0.7:
        return data[: rng.randrange(len(data) + 1)]
    if kind < 0.85:
        length = rng.randrange(1, 64)
        return data[:place] + data[place : place + length] * rng.choice([2, 3, 1000]) + data[place + length :]
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        changed[rng.randrange(max(head, 1))] = rng.randrange(256)
    return bytes(changed)


def lie(value, rng: random.Random, depth: int = 0):
    """JSON in which something is another thing, far too many, or deep in itself."""
    if isinstance(value, dict) and value and rng.random() < (1 if depth == 0 else 0.7):
        name = rng.choice(list(value))
        return {**value, name: lie(value[name], rng, depth + 1)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        index = rng.randrange(min(len(value), 50))
        return [*value[:index], lie(value[index], rng, depth + 1), *value[index + 1 :]]
    kind = rng.random()
    if kind < 0.1:
        # Many of a small thing: of a vocabulary it would be gigabytes.
        return [value if not isinstance(value, (dict, list)) else None] * 20_000
    if kind < 0.2:
        for _ in range(rng.choice([50, 100, 130, 500])):
            value = [value] if rng.random() < 0.5 else {"type": "Sequence", rng.choice(["normalizers", "pretokenizers", "decoders"]): [value]}
        return value
    return rng.choice(VALUES)


def files(count: int, rng: random.Random) -> Iterator[tuple[str, Path, str, dict[str, bytes]]]:
    """What is wrong, the sound model, what to do with the damaged one, and the files that are others."""
    seeds = writers()
    tiny, bert = (FIXTURES / name for name in ("qwen2_tied", "bert"))
    gguf = seeds.llama_gguf()
    two = {"model.embed_tokens.weight": ("F32", [2, 3], bytes(24)), "b": ("BF16", [4], bytes(8))}
    torch = seeds.torch_archive([("a", 0, (2, 3), (3, 1)), ("b", 6, (2,), (1,))])
    weights = (tiny / "model.safetensors").read_bytes()
    head = 8 + struct.unpack("<Q", weights[:8])[0]
    shards = {"metadata": {}, "weight_map": {name: "model.safetensors" for name in json.loads(weights[8:head]) if name != "__metadata__"}}
    made = 0
    while made < count:
        for what, model, bytes_of in (
            ("gguf", None, lambda: {"model.gguf": damaged(gguf, rng, 6000)}),
            ("safetensors", tiny, lambda: {"model.safetensors": damaged(weights, rng, head)}),
            ("safetensors header", tiny, lambda: {"model.safetensors": header(lie(json.loads(weights[8:head]), rng)) + weights[head:]}),
            ("small safetensors", tiny, lambda: {"model.safetensors": damaged(seeds.safetensors(two), rng, 200)}),
            ("index", tiny, lambda: {"model.safetensors.index.json": text(lie(shards, rng))}),
            ("torch", tiny, lambda: {"model.safetensors": None, "pytorch_model.bin": damaged(torch, rng, len(torch))}),
            ("config", tiny, lambda: {"config.json": text(lie(json.loads((tiny / "config.json").read_bytes()), rng))}),
            ("generation config", tiny, lambda: {"generation_config.json": text(lie(json.loads((tiny / "generation_config.json").read_bytes()), rng))}),
            ("tokenizer", tiny, lambda: {"tokenizer.json": text(lie(json.loads((tiny / "tokenizer.json").read_bytes()), rng))}),
            ("tokenizer config", tiny, lambda: {"tokenizer_config.json": text(lie(json.loads((tiny / "tokenizer_config.json").read_bytes()), rng))}),
            ("encoder", bert, lambda: {"config.json": text(lie(json.loads((bert / "config.json").read_bytes()), rng))}),
            ("encoder tokenizer", bert, lambda: {"tokenizer.json": text(lie(json.loads((bert / "tokenizer.json").read_bytes()), rng))}),
            ("pooling", bert, lambda: {"modules.json": text(lie(json.loads((bert / "modules.json").read_bytes()), rng))}),
        ):
            if made < count:
                made += 1
                yield what, model, "embed" if model is bert else "run", bytes_of()


def text(value) -> bytes:
    return json.dumps(value).encode()


def header(value) -> bytes:
    raw = text(value)
    return struct.pack("<Q", len(raw)) + raw


def lay_out(folder: Path, model: Path | None, changed: dict[str, bytes | None]) -> Path:
    """The model's folder, with links to the sound files, and the damaged ones."""
    for file in model.rglob("*") if model else []:
        name = str(file.relative_to(model))
        if file.is_file() and name not in changed and "golden" not in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            os.symlink(file, folder / name)
    for name, data in changed.items():
        if data is not None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    return folder / "model.gguf" if model is None else folder


def load(crane: str, verb: str, model: Path) -> tuple[int, float, int, str]:
    """The exit code, the seconds, the peak of memory in bytes and what was said of loading a model."""
    command = [crane, verb, "-q", "-m", str(model), "-t", "1", *(["-n", "1", "hi"] if verb == "run" else ["hi"])]
    with tempfile.TemporaryFile() as said:
        start = time.monotonic()
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said, env=ENVIRONMENT)
        end = start + SECONDS
        while True:
            pid, code, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > end:
                child.kill()
                _, code, usage = os.wait4(child.pid, 0)
                break
            time.sleep(0.002)
        child.returncode = os.waitstatus_to_exitcode(code)
        said.seek(0)
        return child.returncode, time.monotonic() - start, 1024 * usage.ru_maxrss, said.read().decode(errors="replace")


def hostile(crane: str, count: int) -> list[Row]:
    rng, wrong, codes = random.Random(5), [], Counter()
    sound = {verb: load(crane, verb, model)[2] for verb, model in (("run", Path(TINY)), ("embed", FIXTURES / "bert"))}
    slowest, most = 0.0, 0
    for number, (what, model, verb, changed) in enumerate(files(count, rng)):
        with tempfile.TemporaryDirectory() as folder:
            place = lay_out(Path(folder), model, changed)
            code, took, peak, said = load(crane, verb, place)
        size = sum(len(data) for data in changed.values() if data)
        more = peak - sound[verb] - 4 * size
        codes[code] += 1
        slowest, most = max(slowest, took), max(most, more)
        about = f"file {number} ({what}, {size} bytes)"
        if code not in ORDERLY or "panicked" in said:
            wrong.append(f"{about} ends with {code}: {said[-300:]!r}")
        if took > SECONDS:
            wrong.append(f"{about} takes {took:.1f} s")
        if more > MEMORY:
            wrong.append(f"{about} takes {more // MIB} MiB beyond four times its size")
    told = f"{len(wrong)} broken; codes {dict(sorted(codes.items()))}; slowest {slowest:.1f} s, at most {max(most, 0) / MIB:.0f} MiB beyond 4 x the file"
    numbers = {"files": count, "codes": {str(key): value for key, value in sorted(codes.items())}, "slowest_s": round(slowest, 2), "most_beyond_mib": round(most / MIB, 1), "broken": len(wrong)}
    return [Row(f"{count:,} hostile files", "0 panic, abort or hang; memory within 4 x the file + 64 MiB", told, wrong, numbers)]
