"""The whole demo: the rows in their order, on one stage."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence

import anyio

import duologue
from duologue_contrib.demo.crash import crash_rows
from duologue_contrib.demo.crowd import crowd_rows
from duologue_contrib.demo.faults import fault_rows
from duologue_contrib.demo.interrupt import until_signal
from duologue_contrib.demo.report import Report
from duologue_contrib.demo.rows import Outcome, Result, Row, State, result_of
from duologue_contrib.demo.stage import Stage
from duologue_contrib.demo.talk import transport_rows, wireformat_rows
from duologue_contrib.demo.trust import trust_rows

REFRESH = 0.1
"""Seconds between two looks at the row that plays. A look costs about a millisecond, of a loop that is being measured."""


async def start_server(stage: Stage) -> Outcome:
    """The first row: nearly all that follow need the server."""
    began = time.perf_counter()
    pid = await stage.start_server()
    return Outcome(f"process {pid} listens, {time.perf_counter() - began:.2f} s after its start")


def all_rows() -> list[Row]:
    """In their order: the last one leaves no server."""
    return [
        Row("a server in a second process", start_server, "Two processes"),
        *transport_rows(),
        *wireformat_rows(),
        *crowd_rows(),
        *fault_rows(),
        *trust_rows(),
        *crash_rows(),
    ]


async def play(rows: Sequence[Row], report: Report, backend: str) -> int:
    """Play all rows, whatever comes of each. Returns the exit code.

    It is 0 if all came out as they should, 1 if not, and after a signal what shells make of that: 130 for Ctrl-C.
    """
    began = time.perf_counter()
    results: list[Result] = []

    async def rows_in_turn() -> None:
        stage = Stage(backend)
        with report.screen():
            try:
                report.line(f"duologue {duologue.__version__}, Python {platform.python_version()}, {backend}")
                await _play(rows, report, stage, results)
            finally:
                await stage.close()

    async def keep_fresh() -> None:
        while True:
            await anyio.sleep(REFRESH)
            report.refresh()

    caught = await until_signal(rows_in_turn, keep_fresh)
    report.end(results, len(rows), time.perf_counter() - began, caught)
    if caught is not None:
        return 128 + caught
    return 1 if any(result.state is State.FAILED for result in results) else 0


async def _play(rows: Sequence[Row], report: Report, stage: Stage, results: list[Result]) -> None:
    section = ""
    for number, row in enumerate(rows, 1):
        if row.section != section:
            section = row.section
            report.line(f"\n{section}")
        stage.progress.begin("", 0)
        with report.playing(row, f"row {number} of {len(rows)}", stage.progress):
            result = await result_of(row, stage)
        results.append(result)
        report.row(result)
