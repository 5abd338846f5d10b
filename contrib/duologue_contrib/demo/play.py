"""The whole demo: the rows in their order, on one stage."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Iterable

import duologue
from duologue_contrib.demo.crash import crash_rows
from duologue_contrib.demo.faults import fault_rows
from duologue_contrib.demo.report import Report
from duologue_contrib.demo.rows import Outcome, Row, State, result_of
from duologue_contrib.demo.stage import Stage
from duologue_contrib.demo.talk import talk_rows


async def start_server(stage: Stage) -> Outcome:
    """The first row: all over TCP that follow need the server."""
    began = time.perf_counter()
    pid = await stage.start_server()
    return Outcome(f"process {pid} listens, {time.perf_counter() - began:.2f} s after its start")


def all_rows() -> list[Row]:
    """In their order: the last one leaves no server."""
    return [Row("a server in a second process", start_server), *talk_rows(), *fault_rows(), *crash_rows()]


async def play(rows: Iterable[Row], report: Report, backend: str) -> bool:
    """Play all rows, whatever comes of each, and say whether all came out as they should."""
    report.line(f"duologue {duologue.__version__}, Python {platform.python_version()}, {backend}\n")
    began = time.perf_counter()
    states: Counter[State] = Counter()
    stage = Stage(backend)
    try:
        for row in rows:
            with report.playing(row.title):
                result = await result_of(row, stage)
            report.row(result)
            states[result.state] += 1
    finally:
        await stage.close()
    counts = ", ".join(f"{states[state]} {state.value}" for state in State if states[state])
    report.line(f"\n{states.total()} rows in {time.perf_counter() - began:.1f} s: {counts}")
    return not states[State.FAILED]
