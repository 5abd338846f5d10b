"""How the rows are shown: with colours on a terminal, as plain lines anywhere else."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from duologue_contrib.demo.rows import Result, State

STATE_WIDTH = 7
TITLE_WIDTH = 43
RATE_WIDTH = 15

WIDE = 130
"""Columns of a terminal from which on all of a row stands side by side."""

_COLOURS = {State.OK: "green", State.FAILED: "bold red", State.SKIPPED: "yellow"}


class Report(ABC):
    """Where the rows go, one by one, as they come out."""

    @abstractmethod
    def line(self, text: str) -> None:
        """Something that is not a row."""

    @abstractmethod
    @contextmanager
    def playing(self, title: str) -> Generator[None]:
        """A row is being played."""
        yield

    @abstractmethod
    def row(self, result: Result) -> None:
        """How it came out."""


class PlainReport(Report):
    """Lines of text, aligned, not wrapped."""

    def line(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()  # a pipe shows each row as it happens, too

    @contextmanager
    def playing(self, title: str) -> Generator[None]:
        yield

    def row(self, result: Result) -> None:
        state, title = result.state.value, result.title
        self.line(f"{state:{STATE_WIDTH}}  {title:{TITLE_WIDTH}}  {result.rate:>{RATE_WIDTH}}  {result.text}")


class RichReport(Report):
    """The same in colours, with the row that plays below the others. What came out wraps where the terminal is narrow."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, text: str) -> None:
        self._console.print(Text(text, style="bold"))

    @contextmanager
    def playing(self, title: str) -> Generator[None]:
        with self._console.status(Text(title)):
            yield

    def row(self, result: Result) -> None:
        colour = _COLOURS[result.state]
        text = Text(result.text, "dim")
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=STATE_WIDTH)
        grid.add_column(width=TITLE_WIDTH)
        grid.add_column(width=RATE_WIDTH, justify="right")
        cells = [Text(result.state.value, colour), Text(result.title), Text(result.rate, "cyan")]
        if self._console.width >= WIDE:
            grid.add_column()
            grid.add_row(*cells, text)
            self._console.print(grid)
        else:
            grid.add_row(*cells)
            self._console.print(grid, Padding(text, (0, 0, 0, STATE_WIDTH + 2)))


def report_for(plain: bool) -> Report:
    """What suits where stdout leads."""
    console = Console(highlight=False)
    return RichReport(console) if console.is_terminal and not plain else PlainReport()
