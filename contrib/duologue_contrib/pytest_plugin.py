"""The pytest plug-in: the fixture `simulation`, and its options (docs/simulation.md).

pytest loads it wherever this library is installed, so it imports the rest only when the fixture is asked for.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from duologue_contrib.testing.simulation import Faults, Outcome, Scenario

SHOWN = 60
"""Lines of the trace in the text of a failure: all of them when it is seen again."""

SEEDS = 100
"""How many are run if nobody says."""


class Simulation:
    """What a test gets: runs a scenario for many seeds, each of which is another world."""

    def __init__(self, nodeid: str, seed: int | None, seeds: int | None, kinds: str | None) -> None:
        self._nodeid = nodeid
        self._seed = seed
        self._seeds = seeds
        self._kinds = kinds

    def run(
        self,
        scenario: Scenario,
        *,
        seeds: int = SEEDS,
        faults: Faults | None = None,
        patience: float | None = None,
    ) -> list[Outcome]:
        """Run a scenario for the seeds from 0 on, or as the command line says.

        `faults` is the most that a seed may have of each kind: `Faults.GENTLE` if nothing is said. `patience` is the time-out, in
        seconds of the world's clock, within twice of which everything must have ended once the faults have stopped.
        Raises `SimulationFailed` for the first seed that fails, and `ValueError` for less than one seed.
        """
        from duologue_contrib.testing.simulation import Faults, simulate

        __tracebackhide__ = True
        if seeds < 1:
            raise ValueError(f"seeds={seeds}: give 1 or more, else nothing is tested")
        faults = Faults.GENTLE if faults is None else faults
        if self._kinds is not None:
            faults = faults.only([kind for kind in self._kinds.split(",") if kind not in ("", "none")])
        count = seeds if self._seeds is None else self._seeds
        chosen = range(count) if self._seed is None else [self._seed]
        outcomes: list[Outcome] = []
        for seed in chosen:
            outcome = simulate(
                scenario,
                seed,
                faults=faults,
                patience=patience,
                replay=self._replay(seed),
                shown=SHOWN if self._seed is None else sys.maxsize,
            )
            outcomes.append(outcome)
            if self._seed is not None:
                print(outcome.trace)  # noqa: T201 - who asks for one seed wants to see it
        return outcomes

    def _replay(self, seed: int) -> str:
        kinds = [] if self._kinds is None else [f"--simulation-faults={self._kinds}"]
        words = ["pytest", self._nodeid, f"--simulation-seed={seed}", *kinds]
        return " ".join(map(shlex.quote, words))


def _count(text: str) -> int:
    """So many that something is tested."""
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{count}: give 1 or more, else nothing is tested")
    return count


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("duologue", "simulations of services (duologue)")
    group.addoption(
        "--simulation-seed", type=int, metavar="N", help="run this seed alone, with its whole trace"
    )
    group.addoption("--simulation-seeds", type=_count, metavar="COUNT", help="run so many seeds in each test")
    group.addoption(
        "--simulation-faults",
        metavar="KINDS",
        help="leave out all kinds of faults but these: 'delay,cut', or 'none'",
    )


@pytest.fixture
def simulation(request: pytest.FixtureRequest) -> Simulation:
    """Runs services in worlds that are made from seeds: `simulation.run(scenario, seeds=200)`."""
    option = request.config.getoption
    return Simulation(
        request.node.nodeid,
        option("--simulation-seed"),
        option("--simulation-seeds"),
        option("--simulation-faults"),
    )
