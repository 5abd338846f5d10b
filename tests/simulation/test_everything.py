"""The large simulation, for thousands of seeds; and that it finds what it is there for."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.simulation import everything
from tests.simulation.mutants import MUTANTS
from tests.simulation.mutants_delivery import DELIVERY

from duologue_contrib.testing.simulation import SimulationFailed

ROOT = Path(__file__).parents[2]
SEEDS = 2000
PART = 100


@pytest.mark.parametrize("first", range(0, SEEDS, PART))
@pytest.mark.fault(
    5, 7, 14, 15, 21, 22, 24, 36, 37, 38, 39, 43, 44, 45, 46, 55, 57, 58, 59, 64, 76, 78, 79, 84
)
def test_whatever_happens_the_rules_hold(first: int) -> None:
    """Servers, relays, publishers and clients in worlds where all that can go wrong does: at every moment all rules hold, and
    when the faults stop everything ends, and works."""
    for seed in range(first, first + PART):
        everything.run(seed)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_defect_of_the_original_is_found(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With any of the worst defects of the original put back, one of the first thousand seeds fails, and says what is wrong."""
    mutant(monkeypatch)
    look_for(MUTANTS[mutant], 1000)


@pytest.mark.parametrize("mutant", DELIVERY, ids=lambda mutant: mutant.__name__)
def test_a_defect_of_delivery_is_found(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Messages that are lost, or out of order, or that nobody goes on with: one of the first 300 seeds fails, and says so."""
    mutant(monkeypatch)
    look_for(DELIVERY[mutant], 300)


def look_for(words: str, seeds: int) -> None:
    """One of so many worlds must fail, with these words."""
    for seed in range(seeds):
        try:
            everything.run(seed)
        except SimulationFailed as failed:
            assert re.search(words, str(failed.cause)), failed
            return
    pytest.fail(f"it was not found in {seeds} worlds")


def digests(python: str, seeds: int, hashes: str) -> list[str]:
    """What tells the courses of seeds apart, in a process of its own."""
    arguments = [python, "tests/simulation/everything.py", "--seeds", str(seeds), "--trace"]
    run = subprocess.run(
        arguments, cwd=ROOT, env={"PYTHONHASHSEED": hashes}, capture_output=True, text=True, check=True
    )
    return re.findall(r"^seed \d+, trace (\w+)$", run.stdout, re.MULTILINE)


def test_the_same_seed_is_the_same_world() -> None:
    """In another process, where the hashes of texts and the addresses of objects are others, the same happens, to the byte."""
    one, other = (digests(sys.executable, 40, hashes) for hashes in ("1", "2"))
    assert len(one) == len(set(one)) == 40
    assert one == other


def test_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """`make simulate` runs seeds in several processes, and says at its end how many passed."""
    assert everything.main(["--seeds", "3", "--first", "7", "--jobs", "1"]) == 0
    assert capsys.readouterr().out.endswith("\n3 passed, 0 failed\n")
