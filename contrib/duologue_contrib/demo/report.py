"""How the rows are shown: what each way of it must do, and plain lines, which suit everything that is no terminal."""

from __future__ import annotations

import signal
import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

from duologue_contrib.demo.progress import Progress
from duologue_contrib.demo.rows import Result, Row, State

STATE_WIDTH = 7
TITLE_WIDTH = 43
RATE_WIDTH = 15


class Report(ABC):
    """Where the rows go, one by one, as they come out."""

    def screen(self) -> AbstractContextManager[object]:
        """From the first row to the last. Whatever ends it, the terminal is as before afterwards."""
        return nullcontext()

    @abstractmethod
    def line(self, text: str) -> None:
        """Something that is not a row."""

    @contextmanager
    def playing(self, row: Row, place: str, progress: Progress) -> Generator[None]:
        """A row is being played. `place` says which of how many it is."""
        yield

    @abstractmethod
    def refresh(self) -> None:
        """Look at the progress again. Called several times a second."""

    @abstractmethod
    def row(self, result: Result) -> None:
        """How it came out."""

    @abstractmethod
    def end(
        self, results: Sequence[Result], rows: int, seconds: float, caught: signal.Signals | None
    ) -> None:
        """How all came out, of so many rows, or as many of them as there were before a signal."""


class PlainReport(Report):
    """Lines of text, aligned, not wrapped."""

    def line(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()  # a pipe shows each row as it happens, too

    def refresh(self) -> None:
        pass  # lines don't move

    def row(self, result: Result) -> None:
        state, title = result.state.value, result.row.title
        self.line(f"{state:{STATE_WIDTH}}  {title:{TITLE_WIDTH}}  {result.rate:>{RATE_WIDTH}}  {result.text}")

    def end(
        self, results: Sequence[Result], rows: int, seconds: float, caught: signal.Signals | None
    ) -> None:
        self.line(f"\n{summary(results, rows, seconds, caught)}")
        for each in failures(results):
            self.line(each)


def summary(results: Sequence[Result], rows: int, seconds: float, caught: signal.Signals | None) -> str:
    """All in one line."""
    counted = (
        f"{len(results)} rows" if caught is None else f"ended by {caught.name}, {len(results)} of {rows} rows"
    )
    return f"{counted} in {seconds:.1f} s: {tally(results)}"


def tally(results: Sequence[Result]) -> str:
    """How many came out how."""
    states = Counter(result.state for result in results)
    return ", ".join(f"{states[state]} {state.value}" for state in State if states[state]) or "none yet"


def failures(results: Sequence[Result]) -> list[str]:
    """Which rows have failed, and why, once more: by now they may be far above."""
    return [f"failed: {each.row.title}: {each.text}" for each in results if each.state is State.FAILED]
