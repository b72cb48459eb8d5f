#!/usr/bin/env python3
"""hibari's own pipeline (onnxruntime, int8, one thread): `hibari_bench.py SENTENCE < TEXT`.

Prints a JSON object: `factor`, the time that all of TEXT takes, divided by its duration, and `first_ms`, after which SENTENCE,
spoken by itself, gives its first samples. Loading and a warm-up are outside both.
"""
import json
import sys
import time

from hibari import Hibari


def main() -> None:
    text = sys.stdin.read()
    tts = Hibari(threads=1)
    tts("Hello there.")
    start = time.perf_counter()
    next(iter(tts.stream(sys.argv[1], seed=0)))
    first = time.perf_counter() - start
    start = time.perf_counter()
    samples = sum(len(part) for part in tts.stream(text, seed=0))
    took = time.perf_counter() - start
    print(json.dumps({"factor": took / (samples / tts.sample_rate), "first_ms": first * 1e3}))


if __name__ == "__main__":
    main()
