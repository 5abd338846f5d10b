"""Who looks at the connections after each pass of the loop: at those to which something may have happened in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duologue.protocol import CallBudget
from duologue_adapters import Engine
from duologue_contrib.testing.simulation.errors import Violation
from duologue_contrib.testing.simulation.invariants import End, check_end

if TYPE_CHECKING:
    from duologue_contrib.testing.simulation.links import SimulatedLink

Held = tuple[int, int]
"""Handlers that hold a permit, and handlers that have lent theirs."""


class Watch:
    """All ends of connections that are not over.

    Whatever a driver does to its connection, it tells it the time. So the engine that was asked for the time is the one of whose
    connections some may have changed.
    """

    def __init__(self) -> None:
        self.ends: dict[SimulatedLink, End] = {}
        self.ended = 0
        """How many were, and are over."""
        self._of_engine: dict[Engine, dict[End, None]] = {}
        self._held: dict[CallBudget, dict[End, Held]] = {}
        self._touched: dict[Engine, None] = {}

    def touch(self, engine: Engine) -> None:
        """It was asked for the time."""
        self._touched[engine] = None

    def add(self, end: End) -> None:
        """One more."""
        self.ends[end.link] = end
        self._of_engine.setdefault(end.link.engine, {})[end] = None
        self._touched[end.link.engine] = None

    def look(self, now: float) -> None:
        """Raises `Violation` if something is so that must never be so."""
        if not self._touched:
            return
        touched, self._touched = self._touched, {}
        budgets: dict[CallBudget, None] = {}
        over: list[End] = []
        for engine in touched:
            for end in self._of_engine.get(engine, ()):
                budget = end.connection.incoming.budget
                self._held.setdefault(budget, {})[end] = check_end(end, now)
                budgets[budget] = None
                if end.stands_since is not None:
                    self._touched[engine] = None  # it must be looked at again when time has gone on
                if end.is_over:
                    over.append(end)
        for budget in budgets:
            self._check_permits(budget)
        for end in over:
            self._forget(end)

    def _check_permits(self, budget: CallBudget) -> None:
        running = lent = 0
        for one, other in self._held[budget].values():
            running += one
            lent += other
        if budget.in_use != running or budget.lent != lent:
            raise Violation(
                f"{running} handlers hold a permit and {lent} have lent theirs, but the budget says {budget!r}"
            )

    def _forget(self, end: End) -> None:
        self.ended += 1
        del self.ends[end.link], self._of_engine[end.link.engine][end]
        del self._held[end.connection.incoming.budget][end]
