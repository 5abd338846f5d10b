"""The benchmarks start: each subject answers in each of its cases. How fast, nobody asks here; `make bench` does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = [sys.executable, str(Path(__file__).parent)]
ONLY_FOR_BENCH = {"grpcaio", "rpyc", "pycapnp"}
"""The tests run without the libraries that only the extra `bench` brings."""
LONG_ENOUGH = 300.0


def run(folder: Path, *arguments: str) -> tuple[int, str, dict[str, Any]]:
    """A run as short as can be: its exit status, what it printed, and what it wrote."""
    written = folder / "figures.json"
    done = subprocess.run(
        [*BENCHMARKS, "--rounds=1", "--seconds=0.01", f"--json={written}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_ENOUGH,
    )
    assert done.returncode in (0, 1), done.stderr
    figures: dict[str, Any] = json.loads(written.read_text())
    return done.returncode, done.stdout, figures


def test_every_subject_runs(tmp_path: Path) -> None:
    """All that run by default, but for those whose library is not there, make calls and get right answers."""
    status, printed, figures = run(tmp_path, "--case=c64")
    assert status == 0
    skipped = set(figures["skipped"])
    assert skipped <= ONLY_FOR_BENCH
    measured = {
        name for name, cases in figures["summary"].items() if cases and cases["c64"]["rate"]["median"] > 0
    }
    assert measured == set(figures["summary"]) - skipped
    assert all(name in printed for name in measured)


@pytest.mark.parametrize(
    "subject",
    ["websocketecho", "zeromqecho", "duologue-tls", "duologue-ws", "duologue-zmq+ipc", "duologue-unix-trio"],
)
def test_the_other_cases_of_transports(tmp_path: Path, subject: str) -> None:
    """One call at a time, sends that are all handled, and echoes of 1 MiB that are what was sent."""
    _, _, figures = run(tmp_path, f"--only={subject}", "--case=one,sends,echo1m,idle")
    assert set(figures["summary"][subject]) == {"one", "sends", "echo1m"}


def test_what_a_relay_costs(tmp_path: Path) -> None:
    """The processor time of the process in the middle, beside that of one that answers itself."""
    _, printed, figures = run(tmp_path, "--only=duologue,duologue-relay", "--case=cpu64,cpu256", "--check")
    summary = figures["summary"]
    names, cases = ("duologue", "duologue-relay"), ("cpu64", "cpu256")
    assert all(summary[name][case]["cpu_us"]["median"] > 0 for name in names for case in cases)
    assert "cpu256: duologue-relay at most 1.2 x duologue" in printed


def test_floors_are_looked_at(tmp_path: Path) -> None:
    """With `--check` each floor between what has run is told, and the exit status says whether all of them hold."""
    compared = "duologue-ws,websocketecho,duologue-zmq+tcp,zeromqecho"
    status, printed, figures = run(tmp_path, f"--only={compared}", "--case=c64", "--check")
    assert [floor["floor"] for floor in figures["floors"]] == [
        "c64: duologue-ws at least 2 x websocketecho",
        "c64: duologue-zmq+tcp at least 2 x zeromqecho",
    ]
    assert all(floor["value"] > 0 for floor in figures["floors"])
    assert status == (0 if all(floor["holds"] for floor in figures["floors"]) else 1)
    assert all(floor["floor"] in printed for floor in figures["floors"])
