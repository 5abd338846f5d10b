"""The command line."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from benchmarks.cases import CASES
from benchmarks.floors import check
from benchmarks.harness import HarnessError, Plan, run
from benchmarks.report import as_json, tables
from benchmarks.subjects import DEFAULT, SUBJECTS


def _names(known: tuple[str, ...], what: str, text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no such {what}: {', '.join(unknown)}; there are {', '.join(known)}"
        )
    return names


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("a number above 0, please")
    return number


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("1 at least, please")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="Measure the library against its baselines."
    )
    parser.add_argument(
        "--rounds", type=_count, default=5, help="how often everything is measured (default 5)"
    )
    parser.add_argument(
        "--seconds", type=_positive, default=1.0, help="seconds for each measurement (default 1)"
    )
    parser.add_argument(
        "--only",
        type=lambda text: _names(SUBJECTS, "subject", text),
        default=list(DEFAULT),
        metavar="SUBJECT,...",
        help="only these subjects, which may be some that are not run by default",
    )
    parser.add_argument(
        "--case",
        type=lambda text: _names(tuple(CASES), "case", text),
        default=list(CASES),
        metavar="CASE,...",
        help="only these cases",
    )
    parser.add_argument(
        "--wireformat", choices=["msgpack", "cbor", "json"], default="msgpack", help="duologue's"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a floor does not hold")
    parser.add_argument("--list", action="store_true", help="list subjects and cases, and end")
    return parser


def _list() -> None:
    print("subjects:", *DEFAULT, sep="\n  ")
    print("only if asked for:", *(name for name in SUBJECTS if name not in DEFAULT), sep="\n  ")
    print(
        "cases:", *(f"{case.name:8} {case.title} ({case.main.unit})" for case in CASES.values()), sep="\n  "
    )


def main(arguments: list[str] | None = None) -> int:
    """Run, print, write; returns the exit status: 0, 1 for a floor that does not hold, 2 for a run that broke."""
    options = _parser().parse_args(arguments)
    if options.list:
        _list()
        return 0
    plan = Plan(
        options.only,
        options.case,
        options.rounds,
        options.seconds,
        options.wireformat,
        tell=lambda text: print(text, file=sys.stderr, flush=True),
    )
    if plan.cores is None:
        plan.tell("there are no two cores to pin the processes to: the figures will be unsteady")
    try:
        results = asyncio.run(run(plan))
    except HarnessError as error:
        plan.tell(f"error: {error}")
        return 2
    except KeyboardInterrupt:
        return 130
    verdicts = check(results, plan.subjects, plan.cases) if options.check else []
    print(tables(results, plan.subjects, plan.cases))
    if options.json is not None:
        settings: dict[str, object] = {
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "wireformat": plan.wireformat,
            "cores": plan.cores,
        }
        content = as_json(results, plan.subjects, plan.cases, verdicts, settings)
        options.json.write_text(json.dumps(content, indent=1) + "\n")
    if not options.check:
        return 0
    print(
        "",
        *map(str, verdicts),
        *([] if verdicts else ["MISS nothing that was asked for has a floor"]),
        sep="\n",
    )
    return 0 if verdicts and all(verdict.holds for verdict in verdicts) else 1
