"""What all tests share: the marker that ties a test to the fault it shows, and little garbage to collect."""

from __future__ import annotations

import gc
from collections import Counter

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "fault(*numbers): the rows of docs/faults.md that the test shows; its docstring says the fault, and what must happen",
    )


def pytest_collection_finish() -> None:
    """Many tests collect garbage, to see what is left. The thousands of tests themselves are none: looking at them takes half a second."""
    import hypothesis  # noqa: F401 - it looks for who refers to what it knows, and finds nobody among the frozen

    gc.collect()
    gc.freeze()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What could not be shown on this machine is said at the end of each run, and not only to those who ask for it."""
    skipped = Counter(
        report.longrepr[2].removeprefix("Skipped: ")
        for report in terminalreporter.stats.get("skipped", ())
        if isinstance(report.longrepr, tuple)
    )
    loud = {reason: count for reason, count in skipped.items() if reason.startswith("NOT ")}
    if loud:
        terminalreporter.section("missing on this machine")
        for reason, count in sorted(loud.items()):
            terminalreporter.line(f"{reason} ({count} tests)")
