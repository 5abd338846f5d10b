"""What was held, for people and for programs."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.torture.setting import Finding, Scenario

WHAT = 52


@dataclass(frozen=True, slots=True)
class Result:
    """What a scenario found out; or why it could not, or why it failed."""

    scenario: Scenario
    findings: Sequence[Finding]
    seconds: float
    skipped: str = ""
    failed: str = ""

    @property
    def holds(self) -> bool:
        return not self.failed and all(finding.holds for finding in self.findings)


def lines_of(result: Result) -> list[str]:
    """A table of one scenario."""
    lines = [f"{result.scenario.name}: {result.scenario.title}  ({result.seconds:.1f} s)"]
    if result.skipped:
        return [*lines, f"  SKIPPED  {result.skipped}"]
    if result.failed:
        return [*lines, f"  FAILED  {result.failed}"]
    return lines + [_line(each) for each in result.findings]


def _line(finding: Finding) -> str:
    bound = ""
    if finding.bound is not None:
        bound = f"{'>=' if finding.is_least else '<='} {_number(finding.bound)}"
    verdict = "" if finding.bound is None else "ok" if finding.holds else "MISS"
    value = f"{_number(finding.value)} {finding.unit}".rstrip()
    return f"  {finding.what:{WHAT}} {value:>14}  {bound:>12}  {verdict}".rstrip()


def _number(value: float) -> str:
    return (
        f"{value:,.0f}" if value == int(value) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
    )


def summary(results: Sequence[Result]) -> str:
    """All in one line, and then once more what did not hold."""
    findings = [(each, finding) for each in results for finding in each.findings]
    bounds = [finding for _, finding in findings if finding.bound is not None]
    missed = [
        f"MISS {each.scenario.name}:{_line(finding)}" for each, finding in findings if not finding.holds
    ]
    missed += [f"FAILED {each.scenario.name}: {each.failed}" for each in results if each.failed]
    missed += [f"SKIPPED {each.scenario.name}: {each.skipped}" for each in results if each.skipped]
    held = sum(finding.holds for finding in bounds)
    seconds = sum(each.seconds for each in results)
    return "\n".join(
        [f"{len(results)} scenarios in {seconds:.0f} s: {held} of {len(bounds)} bounds held", *missed]
    )


def as_json(results: Sequence[Result], engine: str, short: bool) -> dict[str, Any]:
    """Everything, and on what it was measured."""
    return {
        "engine": engine,
        "short": short,
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "scenarios": {
            each.scenario.name: {
                "title": each.scenario.title,
                "seconds": round(each.seconds, 2),
                "holds": each.holds,
                "skipped": each.skipped,
                "failed": each.failed,
                "findings": [{**asdict(finding), "holds": finding.holds} for finding in each.findings],
            }
            for each in results
        },
    }
