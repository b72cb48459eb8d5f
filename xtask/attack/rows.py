"""A row of the table: what was attacked, what must be reached, what was."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass
class Row:
    """What one attack came to."""

    attack: str
    reach: str
    measured: str
    # Everything that is wrong; empty where the reach is reached.
    wrong: list[str]
    numbers: dict[str, Any]
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        return not self.wrong


def timed(attack: Callable[..., list[Row]], *arguments: Any) -> list[Row]:
    """An attack's rows with how long it took; one that fails itself is a row that does not hold."""
    start = time.monotonic()
    try:
        rows = attack(*arguments)
    except Exception as error:  # noqa: BLE001 (whatever ends an attack is a finding)
        rows = [Row(attack.__module__, "the attack runs to its end", "it did not", [repr(error)], {})]
    for row in rows:
        row.seconds = round((time.monotonic() - start) / len(rows), 1)
    return rows


def table(rows: list[Row]) -> str:
    lines = ["| attack | reach | measured | |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.attack} | {row.reach} | {row.measured} | {'holds' if row.holds else 'MISSES'} |" for row in rows]
    return "\n".join(lines)
