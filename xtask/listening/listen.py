#!/usr/bin/env python3
"""What a speech recogniser hears: `listen.py CRANE HIBARI WHISPER SCRATCH`.

Twenty sentences are spoken by `crane tts`, each into a file of its own, and transcribed by Whisper base; so is
`SCRATCH/page.wav`, which the page's test saved in Chromium, with its text in `SCRATCH/page.txt`. Of each, at most four words
in a hundred may be heard as others.
"""
import subprocess
import sys
from pathlib import Path

from recogniser import SENTENCES, Recogniser, error_rate, words

MOST = 0.04


def main() -> None:
    crane, hibari, whisper, scratch = sys.argv[1:]
    recogniser = Recogniser(whisper)

    def native() -> list[tuple[str, str]]:
        wav = Path(scratch) / "native.wav"
        pairs = []
        for sentence in SENTENCES:
            subprocess.run([crane, "tts", hibari, sentence, "-q", "-o", str(wav)], check=True)
            pairs.append((sentence, recogniser.heard(wav)))
        return pairs

    def page() -> list[tuple[str, str]]:
        return [((Path(scratch) / "page.txt").read_text(encoding="utf-8"), recogniser.heard(Path(scratch) / "page.wav"))]

    passed = failed = 0
    for name, speak in (("crane tts", native), ("the page in Chromium", page)):
        try:
            pairs = [(words(said), words(heard)) for said, heard in speak()]
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"FAILED {name}: {error}")
            failed += 1
            continue
        rate = error_rate(pairs)
        for said, heard in pairs:
            if said != heard:
                print(f"{name}: said  {said}\n{name}: heard {heard}")
        verdict = "ok" if rate <= MOST else "FAILED"
        print(f"{verdict} {name}: {100 * rate:.1f} % of the words of {len(pairs)} recordings were heard as others")
        passed, failed = (passed + 1, failed) if rate <= MOST else (passed, failed + 1)
    # In the words that `cargo xtask test` counts.
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
