"""What all tests share: the marker that ties a test to the fault it shows."""

from __future__ import annotations

from collections import Counter

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "fault(*numbers): the rows of docs/faults.md that the test shows; its docstring says the fault, and what must happen",
    )


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
