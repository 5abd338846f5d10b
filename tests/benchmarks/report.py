"""The tables that a run prints, and the JSON that it writes."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from importlib import metadata

from benchmarks.cases import CASES, Case
from benchmarks.floors import Verdict
from benchmarks.results import Results

BASELINE = "handwritten"
ECHO_BASELINE = "rawecho"

_PACKAGES = (
    "duologue",
    "msgpack",
    "msgspec",
    "cbor2",
    "uvloop",
    "anyio",
    "trio",
    "grpcio",
    "rpyc",
    "pycapnp",
    "websockets",
    "pyzmq",
)


def tables(results: Results, subjects: Iterable[str], cases: Iterable[str]) -> str:
    """One table for each case."""
    subjects = list(subjects)
    return "\n\n".join(_table(results, subjects, CASES[name]) for name in cases)


def _table(results: Results, subjects: list[str], case: Case) -> str:
    rows = [_row(results, subject, case) for subject in subjects]
    head = ["", *_heads(case)]
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
    lines = [f"{case.name}: {case.title} ({case.main.unit})"]
    for name, *cells in [head, *rows]:
        figures = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append("  ".join(["", name.ljust(widths[0]), *figures]))
    return "\n".join(lines)


def _heads(case: Case) -> list[str]:
    heads = ["median", "min", "max", *(metric.name for metric in case.metrics[1:])]
    if case.kind == "idle":
        return [*heads, f"over {BASELINE}"]
    heads.append(f"x {BASELINE}")
    return [*heads, f"x {ECHO_BASELINE}"] if case.kind == "echoes" else heads


def _row(results: Results, subject: str, case: Case) -> list[str]:
    main = case.main
    spread = results.spread(subject, case.name, main.name)
    if spread is None:
        return [subject] + ["-"] * len(_heads(case))
    row = [
        subject,
        *(_number(value, main.digits) for value in (spread.median, spread.lowest, spread.highest)),
    ]
    for metric in case.metrics[1:]:
        other = results.spread(subject, case.name, metric.name)
        row.append(_number(other.median if other else None, metric.digits))
    if case.kind == "idle":
        return [*row, _number(results.difference(subject, BASELINE, case.name, main.name), main.digits)]
    row.append(_number(results.ratio(subject, BASELINE, case.name, main.name), 2))
    if case.kind == "echoes":
        row.append(_number(results.ratio(subject, ECHO_BASELINE, case.name, main.name), 2))
    return row


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def as_json(
    results: Results,
    subjects: Iterable[str],
    cases: Iterable[str],
    verdicts: Iterable[Verdict],
    settings: dict[str, object],
) -> dict[str, object]:
    """Everything, for a later look or a comparison with another run."""
    cases = list(cases)
    return {
        "settings": settings,
        "machine": _machine(),
        "packages": _versions(),
        "skipped": results.skipped,
        "summary": {subject: _summary(results, subject, cases) for subject in subjects},
        "rounds": results.rounds,
        "floors": [verdict.as_json() for verdict in verdicts],
    }


def _summary(results: Results, subject: str, cases: list[str]) -> dict[str, object]:
    summary: dict[str, object] = {}
    for case in map(CASES.__getitem__, cases):
        figures: dict[str, object] = {}
        for metric in case.metrics:
            spread = results.spread(subject, case.name, metric.name)
            if spread is not None:
                figures[metric.name] = {
                    "unit": metric.unit,
                    "median": spread.median,
                    "min": spread.lowest,
                    "max": spread.highest,
                }
        if not figures:
            continue
        main = case.main.name
        if case.kind == "idle":
            figures[f"over_{BASELINE}"] = results.difference(subject, BASELINE, case.name, main)
        else:
            figures[f"ratio_to_{BASELINE}"] = results.ratio(subject, BASELINE, case.name, main)
        if case.kind == "echoes":
            figures[f"ratio_to_{ECHO_BASELINE}"] = results.ratio(subject, ECHO_BASELINE, case.name, main)
        summary[case.name] = figures
    return summary


def _machine() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "system": platform.platform(),
        "cpus": os.cpu_count(),
    }


def _versions() -> dict[str, str]:
    versions: dict[str, str] = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
