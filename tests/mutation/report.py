"""What mutmut wrote down, as a table with a row for each file, and a list of those that no test noticed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SURVIVED = frozenset({0, 5, 33, 34})
"""Codes of pytest and mutmut for: all tests passed, or there was none that runs the function."""
UNCHECKED = frozenset({None, 2})
"""Not run, or interrupted."""


@dataclass(frozen=True)
class Found:
    """The mutants of one file, each with the code that its tests ended with."""

    file: str
    results: dict[str, int | None]

    @property
    def checked(self) -> int:
        return sum(code not in UNCHECKED for code in self.results.values())

    @property
    def killed(self) -> int:
        """Those that a test failed with, and those with which the tests did not come to an end."""
        return self.checked - len(self.survivors)

    @property
    def survivors(self) -> list[str]:
        return sorted(name for name, code in self.results.items() if code in SURVIVED)


def read(folder: Path) -> list[Found]:
    """What is known of each file; nothing before the first run."""
    found = []
    for path in sorted(folder.glob("mutants/src/duologue/protocol/*.py.meta")):
        results: dict[str, int | None] = json.loads(path.read_text(encoding="utf-8"))["exit_code_by_key"]
        if results:
            found.append(Found(path.name.removesuffix(".py.meta"), results))
    return found


def report(found: Sequence[Found]) -> str:
    rows = [_row(each.file, each.killed, each.checked, len(each.results)) for each in found]
    sums = [
        sum(each.killed for each in found),
        sum(each.checked for each in found),
        sum(len(each.results) for each in found),
    ]
    lines = ["", f"{'file':<12} {'killed':>6} / {'run':<6} {'':>6}  not run", *rows, _row("all", *sums)]
    survivors = [name for each in found for name in each.survivors]
    if survivors:
        lines += [
            "",
            "survivors; `--report --diffs FILE` shows what they change:",
            *survivors,
        ]
    return "\n".join(lines)


def _row(name: str, killed: int, checked: int, known: int) -> str:
    percent = f"{killed / checked:.1%}" if checked else "-"
    return f"{name:<12} {killed:>6} / {checked:<6} {percent:>6}  {known - checked or ''}".rstrip()
