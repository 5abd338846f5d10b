"""The fixture `simulation`, in a test run of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from duologue_contrib.pytest_plugin import Simulation

MODULE = """
from duologue import Message, Namespace, Services

class Add(Message[int]):
    a: int
    b: int

calc = Namespace("calc", [Add])
services = Services(calc)

@services.handler
async def add(message: Add) -> int:
    return message.a + message.b

async def scenario(world):
    await world.serve("calc", services)
    peer = await world.connect("client", "calc")
    assert await peer.remote(calc).call(Add(1, 2)) == 3

async def fails(world):
    await scenario(world)
    world.note(f"faults: {world.faults}")
    assert world.seed < 7, "it is seven"

def test_right(simulation):
    simulation.run(scenario, seeds=3)

def test_wrong(simulation):
    simulation.run(fails, seeds=20)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "test_shop.py").write_text(MODULE, encoding="utf-8")
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout


def test_a_failing_seed_says_how_to_see_it_again(folder: Path) -> None:
    """The failure names the seed and the command, and that command fails in the same way, with all of the trace."""
    text = run(folder)
    assert "1 failed, 1 passed" in text
    assert "seed 7: AssertionError: it is seven" in text
    (command,) = set(re.findall(r"pytest (test_shop.py::test_wrong --simulation-seed=7)\n", text))
    again = run(folder, *command.split())
    assert "1 failed" in again
    assert "seed 7: AssertionError: it is seven" in again


def test_fewer_seeds_and_fewer_faults(folder: Path) -> None:
    """The command line has the last word on how many seeds, which one, and which kinds of faults."""
    assert "2 passed" in run(folder, "--simulation-seeds=7")
    text = run(folder, "-s", "-k", "right", "--simulation-seed=3", "--simulation-faults=none")
    assert "1 passed" in text
    assert "seed 3, faults: none" in text
    assert "sends call calc::Add #1" in text
    assert "--simulation-faults=none" in run(folder, "-k", "wrong", "--simulation-faults=none")


def test_no_seeds() -> None:
    """A run of no seeds would pass and test nothing: it is refused, on the command line and in the test."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "--simulation-seeds=0"], capture_output=True, text=True, check=False
    )
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "give 1 or more" in run.stderr
    with pytest.raises(ValueError, match="give 1 or more"):
        Simulation("test_shop.py", None, None, None).run(lambda world: world.sleep(1), seeds=0)
