"""Deterministic simulation: services and their clients on a simulated network and a virtual clock, all from one seed (docs/simulation.md)."""

from __future__ import annotations

from duologue_contrib.testing.simulation.errors import (
    InjectedFault,
    SimulationError,
    SimulationFailed,
    Standstill,
    Violation,
)
from duologue_contrib.testing.simulation.faults import Faults
from duologue_contrib.testing.simulation.processes import Process
from duologue_contrib.testing.simulation.running import Outcome, Scenario, simulate
from duologue_contrib.testing.simulation.world import World

__all__ = [
    "Faults",
    "InjectedFault",
    "Outcome",
    "Process",
    "Scenario",
    "SimulationError",
    "SimulationFailed",
    "Standstill",
    "Violation",
    "World",
    "simulate",
]
