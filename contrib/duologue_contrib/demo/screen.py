"""The rows on a terminal: each stays when it has come out, and below them moves the one that plays."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from duologue_contrib.demo.progress import Progress
from duologue_contrib.demo.report import (
    RATE_WIDTH,
    STATE_WIDTH,
    TITLE_WIDTH,
    PlainReport,
    Report,
    failures,
    summary,
    tally,
)
from duologue_contrib.demo.rows import Result, Row, State

WIDE = 130
"""Columns of a terminal from which on all of a row stands side by side."""
NARROW = 80
"""Columns below which nothing does."""

LONGEST_BAR = 40

SPINNER = "|/-\\"
TURNING = 5.0
"""Looks of the spinner in a second."""

_COLOURS = {State.OK: "green", State.FAILED: "bold red", State.SKIPPED: "yellow"}


def report_for(plain: bool) -> Report:
    """What suits where stdout leads: a terminal that can move the cursor, or anything else."""
    # FORCE_COLOR makes rich take a pipe for a terminal. What moves is not for pipes, whatever its colour.
    if plain or not sys.stdout.isatty():
        return PlainReport()
    console = Console(highlight=False)
    return LiveReport(console) if console.is_interactive else PlainReport()


class LiveReport(Report):
    """In colours, unless NO_COLOR is set. Nothing is drawn but when `refresh` or another method is called."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._began = time.perf_counter()
        self._results: list[Result] = []
        self._plays: tuple[Row, str, Progress] | None = None
        # The screen is the terminal's own, and what has come out can be scrolled back to.
        self._live = Live(self, console=console, auto_refresh=False, transient=True)

    def screen(self) -> AbstractContextManager[object]:
        return self._live

    def line(self, text: str) -> None:
        self._console.print(Text(text, style="bold"))

    @contextmanager
    def playing(self, row: Row, place: str, progress: Progress) -> Generator[None]:
        self._plays = row, place, progress
        self.refresh()
        try:
            yield
        finally:
            self._plays = None

    def refresh(self) -> None:
        self._live.refresh()

    def row(self, result: Result) -> None:
        self._results.append(result)
        self._console.print(_shown(result, self._console.width))

    def end(
        self, results: Sequence[Result], rows: int, seconds: float, caught: signal.Signals | None
    ) -> None:
        if (chart := _chart(results, self._console.width)) is not None:
            self._console.print(chart)
        self.line(f"\n{summary(results, rows, seconds, caught)}")
        for each in failures(results):
            self._console.print(Text(each, _COLOURS[State.FAILED]))

    def __rich__(self) -> RenderableType:
        """What moves, as it is now: it is drawn again below each line that is printed."""
        if self._plays is None:
            return Group()
        row, place, progress = self._plays
        now = time.perf_counter()
        spinner = SPINNER[int(now * TURNING) % len(SPINNER)]
        lines: list[RenderableType] = [_line((f"{spinner} ", "cyan"), (row.title, "bold"))]
        if progress.total:
            lines.append(_how_far(progress, self._console.width))
        if progress.endings is not None and progress.endings.total:
            lines.append(_line((f"  {progress.endings}", "magenta")))
        lines.append(_line((f"  {place}, {now - self._began:.1f} s: {tally(self._results)}", "dim")))
        return Group(*lines)


def _line(*parts: tuple[str, str]) -> Text:
    """One that is cut where the terminal ends: what moves must not change its height with each number."""
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")


def _how_far(progress: Progress, width: int) -> RenderableType:
    counted = _line(
        (f"{progress.done:,} of {progress.total:,} {progress.what}", ""),
        (f", {progress.rate:,.0f}/s", "cyan"),
    )
    bar = ProgressBar(progress.total, progress.done, width=min(LONGEST_BAR, width - 2))
    grid = Table.grid(padding=(0, 2, 0, 0))
    if width < NARROW:
        grid.add_row(bar)
        grid.add_row(counted)
    else:
        grid.add_row(bar, counted)
    return Padding(grid, (0, 0, 0, 2))


def _shown(result: Result, width: int) -> RenderableType:
    state = Text(result.state.value, _COLOURS[result.state])
    title, rate = Text(result.row.title), Text(result.rate, "cyan")
    text = Text(result.text, "" if result.state is State.FAILED else "dim")
    grid = Table.grid(padding=(0, 2, 0, 0))
    if width < NARROW:
        grid.add_row(state, title)
        below = Text("  ").join([rate, text]) if result.rate else text
        return Group(grid, Padding(below, (0, 0, 0, 2)))
    grid.add_column(width=STATE_WIDTH)
    grid.add_column(width=TITLE_WIDTH)
    grid.add_column(width=RATE_WIDTH, justify="right")
    if width < WIDE:
        grid.add_row(state, title, rate)
        return Group(grid, Padding(text, (0, 0, 0, STATE_WIDTH + 2)))
    grid.add_column()
    grid.add_row(state, title, rate, text)
    return grid


def _chart(results: Sequence[Result], width: int) -> RenderableType | None:
    """The rows that are compared, side by side."""
    compared = [
        (each.row.title.partition(":")[0], each.outcome)
        for each in results
        if each.row.compared and each.outcome is not None
    ]
    if not compared:
        return None
    most = max(outcome.per_second for _, outcome in compared)
    name_width = max(len(name) for name, _ in compared)
    bar_width = min(LONGEST_BAR, max(1, width - name_width - RATE_WIDTH - 6))
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, outcome in compared:
        bar = ProgressBar(most, outcome.per_second, width=bar_width, finished_style="bar.complete")
        grid.add_row(Text(name), bar, Text(outcome.rate, "cyan", justify="right"))
    return Group(Text("\nSide by side, on this machine:", "bold"), grid)
