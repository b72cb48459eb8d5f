#!/usr/bin/env python3
"""Attacks `crane serve` and `crane` as strangers would, and prints what was reached.

    attack.py CRANE [--full] [--only NAME...] [--record FILE]

`--full` takes the numbers of the record; without it the content rows are smaller, so that all take some three minutes.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import connections
import content
import fairness
import guess
import hostile_files
import pages
import storm
from rows import Row, table, timed

# Each attack with how many inputs it has, in the tests and in full; those without a number are whole in both.
ATTACKS = {
    "files": (hostile_files.hostile, 300, 1000),
    "forms": (content.grammars_and_schemas, 100, 500),
    "templates": (content.chat_templates, 100, 500),
    "requests": (content.odd, 100, 500),
    "connections": (connections.crowd, None, None),
    "fairness": (fairness.one_key, None, None),
    "guess": (guess.prefixes, None, None),
    "pages": (pages.foreign, None, None),
    "storm": (storm.mixed, 2000, 10_000),
}


def machine() -> dict[str, object]:
    processor = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), processor)
    return {"processor": processor, "cores": os.cpu_count(), "system": f"{platform.system()} {platform.release()}"}


def commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=Path(__file__).parent, check=False)
    return found.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("crane")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--only", nargs="+", choices=ATTACKS, default=list(ATTACKS))
    parser.add_argument("--record", help="write the rows to this file")
    args = parser.parse_args()
    crane = str(Path(args.crane).resolve())
    rows: list[Row] = []
    for name in args.only:
        attack, few, many = ATTACKS[name]
        count = many if args.full else few
        rows += timed(attack, crane, *([] if count is None else [count]))
        row = rows[-1]
        print(f"{name}: {row.measured} ({row.seconds:.0f} s){'' if row.holds else ' MISSES'}", flush=True)
        for each in row.wrong[:12]:
            print(f"    {each}", flush=True)
    print(table(rows))
    if args.record:
        record = {"date": time.strftime("%Y-%m-%d"), "commit": commit(), **machine(), "full": args.full, "rows": [row.__dict__ for row in rows]}
        Path(args.record).parent.mkdir(parents=True, exist_ok=True)
        Path(args.record).write_text(json.dumps(record, indent=1) + "\n")
    failed = sum(not row.holds for row in rows)
    # In the words that `cargo xtask test` counts.
    print(f"{len(rows) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
