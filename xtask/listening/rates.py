#!/usr/bin/env python3
"""Word error rates, for `cargo xtask bench-speech`: `rates.py WHISPER FOLDER...`.

Each folder holds `00.wav`, `01.wav` and so on, one for each line of `sentences.txt`. Prints a JSON object: for each folder the part
of its words that were heard as others. What was heard differently goes to stderr.
"""
import json
import sys
from pathlib import Path

from recogniser import SENTENCES, Recogniser, error_rate, words


def main() -> None:
    whisper, *folders = sys.argv[1:]
    recogniser = Recogniser(whisper)
    rates = {}
    for folder in folders:
        pairs = []
        for index, sentence in enumerate(SENTENCES):
            pairs.append((words(sentence), words(recogniser.heard(Path(folder) / f"{index:02}.wav"))))
            if pairs[-1][0] != pairs[-1][1]:
                print(f"{folder}: said {pairs[-1][0]!r}, heard {pairs[-1][1]!r}", file=sys.stderr)
        rates[folder] = error_rate(pairs)
    print(json.dumps(rates))


if __name__ == "__main__":
    main()
