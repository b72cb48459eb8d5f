#!/usr/bin/env python3
"""What a speech recogniser hears: `listen.py CRANE HIBARI WHISPER SCRATCH`.

Twenty sentences are spoken by `crane tts`, each into a file of its own, and transcribed by Whisper base; so is
`SCRATCH/page.wav`, which the page's test saved in Chromium, with its text in `SCRATCH/page.txt`. Of each, at most four words
in a hundred may be heard as others.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import jiwer  # noqa: E402
from faster_whisper import WhisperModel  # noqa: E402

MOST = 0.04

# Of the Harvard sentences (IEEE, 1969), without numbers, which a recogniser writes as digits.
SENTENCES = """\
The birch canoe slid on the smooth planks.
Glue the sheet to the dark blue background.
It is easy to tell the depth of a well.
These days a chicken leg is a rare dish.
Rice is often served in round bowls.
The juice of lemons makes fine punch.
The box was thrown beside the parked truck.
The hogs were fed chopped corn and garbage.
Hours of steady work faced us.
A large size in stockings is hard to sell.
The boy was there when the sun rose.
A rod is used to catch pink salmon.
The source of the huge river is the clear spring.
Kick the ball straight and follow through.
Help the woman get back to her feet.
A pot of tea helps to pass the evening.
Smoky fires lack flame and heat.
The soft cushion broke the man's fall.
The salt breeze came across from the sea.
The small pup gnawed a hole in the sock.
""".splitlines()


# What sounds the same and is spelled in two ways.
SPELLINGS = {"smokey": "smoky"}


def words(text: str) -> str:
    plain = re.sub(r"[^a-z' ]", " ", text.lower().replace("\u2019", "'"))
    return " ".join(SPELLINGS.get(word, word) for word in plain.split())


def main() -> None:
    crane, hibari, whisper, scratch = sys.argv[1:]
    model = WhisperModel(whisper, device="cpu", compute_type="float32", cpu_threads=2, local_files_only=True)

    def heard(wav: Path) -> str:
        segments, _ = model.transcribe(str(wav), language="en", beam_size=5)
        return " ".join(segment.text.strip() for segment in segments)

    def native() -> list[tuple[str, str]]:
        wav = Path(scratch) / "native.wav"
        pairs = []
        for sentence in SENTENCES:
            subprocess.run([crane, "tts", hibari, sentence, "-q", "-o", str(wav)], check=True)
            pairs.append((sentence, heard(wav)))
        return pairs

    def page() -> list[tuple[str, str]]:
        return [((Path(scratch) / "page.txt").read_text(encoding="utf-8"), heard(Path(scratch) / "page.wav"))]

    passed = failed = 0
    for name, speak in (("crane tts", native), ("the page in Chromium", page)):
        try:
            pairs = [(words(said), words(heard)) for said, heard in speak()]
        except (OSError, subprocess.CalledProcessError) as error:
            print(f"FAILED {name}: {error}")
            failed += 1
            continue
        rate = jiwer.wer([said for said, _ in pairs], [heard for _, heard in pairs])
        for said, heard_words in pairs:
            if said != heard_words:
                print(f"{name}: said  {said}\n{name}: heard {heard_words}")
        verdict = "ok" if rate <= MOST else "FAILED"
        print(f"{verdict} {name}: {100 * rate:.1f} % of the words of {len(pairs)} recordings were heard as others")
        passed, failed = (passed + 1, failed) if rate <= MOST else (passed, failed + 1)
    # In the words that `cargo xtask test` counts.
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
