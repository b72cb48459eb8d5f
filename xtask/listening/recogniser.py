"""Whisper base, and how its words are compared with what was said."""
import os
import re
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import jiwer  # noqa: E402
from faster_whisper import WhisperModel  # noqa: E402

# Of the Harvard sentences (IEEE, 1969), without numbers, which a recogniser writes as digits.
SENTENCES = Path(__file__).with_name("sentences.txt").read_text(encoding="utf-8").splitlines()

# What sounds the same and is spelled in two ways.
SPELLINGS = {"smokey": "smoky"}


def words(text: str) -> str:
    plain = re.sub(r"[^a-z' ]", " ", text.lower().replace("\u2019", "'"))
    return " ".join(SPELLINGS.get(word, word) for word in plain.split())


def error_rate(pairs: list[tuple[str, str]]) -> float:
    """The part of the words of pairs (said, heard), both as `words` gives them, that were heard as others."""
    return jiwer.wer([said for said, _ in pairs], [heard for _, heard in pairs])


class Recogniser:
    def __init__(self, weights: str):
        self.model = WhisperModel(weights, device="cpu", compute_type="float32", cpu_threads=2, local_files_only=True)

    def heard(self, wav: Path) -> str:
        segments, _ = self.model.transcribe(str(wav), language="en", beam_size=5)
        return " ".join(segment.text.strip() for segment in segments)
