"""The command line."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import anyio
from tests.torture.report import Result, as_json, lines_of, summary
from tests.torture.scenarios import SCENARIOS
from tests.torture.setting import Finding, Scenario, Setting, Skipped
from tests.torture.victim import allow_descriptors

from duologue_contrib.testing.adapter_stage import ENGINES

LONGEST = {False: 600.0, True: 180.0}
"""Seconds after which a scenario hangs for sure, in the full form and in the short one."""


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SCENARIOS]:
        raise argparse.ArgumentTypeError(
            f"no such scenario: {', '.join(unknown)}; there are {', '.join(SCENARIOS)}"
        )
    return names


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="torture",
        description="Real faults with real processes: what is held meanwhile, and what is left.",
    )
    parser.add_argument(
        "--only", type=_names, default=list(SCENARIOS), metavar="NAME,...", help="only these scenarios"
    )
    parser.add_argument(
        "--short", action="store_true", help="seconds in place of minutes, and no bound on speed"
    )
    parser.add_argument(
        "--engine", choices=list(ENGINES), default="asyncio", help="the loop of all processes"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--list", action="store_true", help="list the scenarios, and end")
    return parser


async def play(scenario: Scenario, setting: Setting) -> list[Finding]:
    """What it finds out. Raises `Skipped`, or whatever went wrong."""
    with anyio.fail_after(LONGEST[setting.short]):
        return await scenario.run(setting)


def result_of(scenario: Scenario, engine: tuple[str, dict[str, bool]], short: bool) -> Result:
    """Play a scenario on a loop of its own. Whatever goes wrong is its result."""
    start = monotonic()
    findings: Sequence[Finding] = ()
    skipped = failed = ""
    # With a short path, since there will be sockets in it.
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        try:
            findings = anyio.run(
                play,
                scenario,
                Setting(engine, Path(folder), short),
                backend=engine[0],
                backend_options=engine[1],
            )
        except Skipped as exc:
            skipped = str(exc)
        except Exception as exc:
            traceback.print_exc()
            failed = _text_of(exc)
    return Result(scenario, findings, monotonic() - start, skipped, failed)


def _text_of(exc: Exception) -> str:
    """Of a group the first: tasks that run at once fail together, and for one reason."""
    while isinstance(exc, ExceptionGroup):
        group: ExceptionGroup[Exception] = exc
        exc = group.exceptions[0]
    return f"{type(exc).__name__}: {exc}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do it all, print, write; returns the exit status: 0, or 1 if a bound does not hold or a scenario failed."""
    options = _parser().parse_args(arguments)
    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:12} {scenario.title}")
        return 0
    if not sys.platform.startswith("linux"):
        print("this needs Linux: it reads of processes what only /proc tells", file=sys.stderr)
        return 1
    allow_descriptors()
    results: list[Result] = []
    for name in options.only:
        results.append(result_of(SCENARIOS[name], ENGINES[options.engine], options.short))
        print("\n".join(lines_of(results[-1])), end="\n\n", flush=True)
    print(summary(results))
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(results, options.engine, options.short), indent=1) + "\n")
    return 0 if all(each.holds for each in results) else 1
