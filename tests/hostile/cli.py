"""The table of what hostile payloads cost, printed and written into the documentation."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

from tests.hostile.measure import ROOT, RUNS, Cost, measure
from tests.hostile.payloads import FORMATS, HAZARDS, SIZE

PAGE = ROOT / "docs" / "reliability.md"
MILLISECONDS, MIBIBYTES = 5.0, 8.0
"""What a refusal may cost. More is marked in the table."""
_REGION = re.compile(r"(<!-- measured: hostile -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make hostile", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"also into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args(arguments)
    costs = {(name, hazard): measure(name, hazard) for hazard in HAZARDS for name in FORMATS}
    text = f"{table(costs)}\n\n{where()}\n"
    if options.write:
        PAGE.write_text(put_in(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
    print(text)
    return 0


def table(costs: dict[tuple[str, str], Cost | None]) -> str:
    """A row for each hazard, a column for each format: the most that any of the payloads cost."""
    lines = [f"| | {' | '.join(FORMATS)} |", "|---" * (len(FORMATS) + 1) + "|"]
    for hazard in HAZARDS:
        cells = [_cell(costs[name, hazard]) for name in FORMATS]
        lines.append(f"| {hazard} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(cost: Cost | None) -> str:
    if cost is None:
        return "-"
    time = f"{cost.milliseconds:.1f} ms"
    if cost.milliseconds > MILLISECONDS:
        time = f"**{time}** ({cost.slowest})"
    sizes = f"{cost.counted:.1f} / {cost.resident:.1f} MiB"
    return f"{time}, {f'**{sizes}**' if max(cost.counted, cost.resident) > MIBIBYTES else sizes}"


def where() -> str:
    """On what, and when."""
    today = datetime.datetime.now(datetime.UTC).date()
    load = f"{os.getloadavg()[0]:.1f}"
    return (
        f"Measured on {today:%d %B %Y} with Python {platform.python_version()}, on {_processor()} with {os.cpu_count()} processors that "
        f"others used, too (load {load}): the median of {RUNS} runs in processor time, of the slowest payload of its kind. "
        f"Each payload has about {SIZE:,} bytes, or as many as its values may be."
    )


def _processor() -> str:
    try:
        found = re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        found = None
    return f"an {found[1]}" if found else "a machine"


def put_in(page: str, text: str) -> str:
    """The page with the table in its place."""
    changed, count = _REGION.subn(lambda match: f"{match[1]}{text}{match[2]}", page)
    if count != 1:
        raise SystemExit(
            f"{PAGE.name} has no place for the table: <!-- measured: hostile --> ... <!-- end -->"
        )
    return changed
