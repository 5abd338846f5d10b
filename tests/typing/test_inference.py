"""mypy and pyright infer the answer's type from the message alone, and find what a user gets wrong.

Both checkers read `cases/inferred.py`, `actors.py` and `published.py` there, where they must find nothing, and `cases/refused.py`, where they must find an
error in each line that is marked `# E: words`, with those words in its message, and in no other line.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CASES = Path(__file__).parent / "cases"
MARK = re.compile(r"# E: (.+)$")


@dataclass(frozen=True)
class Finding:
    line: int
    text: str


def run(*command: str) -> str:
    """What a checker prints. It runs in the root, where pyproject.toml configures it, by this interpreter."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    # 0: nothing found, 1: something found, anything else: it did not work.
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def by_mypy(path: Path, scratch: Path) -> list[Finding]:
    # A cache of its own: two processes that write the same one get in each other's way.
    printed = run("mypy", "--output=json", f"--cache-dir={scratch}", str(path))
    reports: list[dict[str, Any]] = [json.loads(line) for line in printed.splitlines() if line]
    assert all(Path(ROOT / each["file"]) == path for each in reports), printed
    return [Finding(each["line"], each["message"]) for each in reports if each["severity"] == "error"]


def by_pyright(path: Path, scratch: Path) -> list[Finding]:
    # The project's configuration leaves out what is wrong on purpose; this one has all of it but that.
    # Paths in it must be relative to it.
    project = scratch / "pyrightconfig.json"
    above = os.path.relpath(ROOT, scratch.resolve())
    changed = {"include": [f"{above}/{path.relative_to(ROOT)}"], "exclude": []}
    project.write_text(json.dumps({"extends": f"{above}/pyproject.toml", **changed}))
    printed = run("pyright", "--outputjson", "--pythonpath", sys.executable, "--project", str(project))
    report: dict[str, Any] = json.loads(printed)
    assert report["summary"]["filesAnalyzed"] == 1, printed
    return [
        Finding(each["range"]["start"]["line"] + 1, each["message"])
        for each in report["generalDiagnostics"]
        if each["severity"] == "error"
    ]


def expected(path: Path) -> dict[int, list[str]]:
    """The words that an error must have, by the number of its line."""
    lines = enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
    return {number: found[1].split() for number, line in lines if (found := MARK.search(line))}


def differences(findings: list[Finding], marks: dict[int, list[str]]) -> list[str]:
    """Where the errors that a checker found differ from the marks."""
    texts: defaultdict[int, str] = defaultdict(str)
    for finding in findings:
        texts[finding.line] += finding.text
    wrong = [f"line {line}: not expected: {texts[line]}" for line in sorted(texts.keys() - marks.keys())]
    wrong += [f"line {line}: expected an error, none found" for line in sorted(marks.keys() - texts.keys())]
    for line in sorted(marks.keys() & texts.keys()):
        wrong += [
            f"line {line}: no {word!r} in: {texts[line]}" for word in marks[line] if word not in texts[line]
        ]
    return wrong


Checker = Callable[[Path, Path], list[Finding]]
checkers = pytest.mark.parametrize("checker", [by_mypy, by_pyright], ids=["mypy", "pyright"])


@checkers
@pytest.mark.parametrize("page", ["inferred.py", "actors.py", "published.py"])
def test_the_type_of_an_answer_is_inferred(checker: Checker, page: str, tmp_path: Path) -> None:
    wrong = differences(checker(CASES / page, tmp_path), {})
    assert not wrong, "\n".join(wrong)


@checkers
def test_every_mistake_is_found_and_nothing_else(checker: Checker, tmp_path: Path) -> None:
    path = CASES / "refused.py"
    marks = expected(path)
    assert len(marks) > 15, "the marks were not read"
    wrong = differences(checker(path, tmp_path), marks)
    assert not wrong, "\n".join(wrong)


def test_the_comparison_tells_each_kind_of_difference() -> None:
    findings = [Finding(1, "an int"), Finding(2, "a str"), Finding(2, "and bytes")]
    assert differences(findings, {1: ["int"], 2: ["str", "bytes"]}) == []
    assert differences(findings, {1: ["int"]}) == ["line 2: not expected: a strand bytes"]
    assert differences(findings, {1: [], 2: [], 3: []}) == ["line 3: expected an error, none found"]
    assert differences(findings, {1: ["float"], 2: []}) == ["line 1: no 'float' in: an int"]
