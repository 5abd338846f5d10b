"""What a simulation says when something is wrong, or when it is asked for what it has not got."""

from __future__ import annotations


class SimulationError(Exception):
    """The simulation was used for something that it can't do: a real socket, a thread. The text says what to do instead."""


class Violation(AssertionError):
    """Something is so that must never be so, whatever the network does."""


class Standstill(Violation):
    """Something waits for what will never come. The text says who waits, and where."""


class InjectedFault(Exception):
    """Raised in the place of a handler, since the faults of this seed say so."""


class SimulationFailed(AssertionError):
    """A seed failed. The text has the reason, the way to see it again, and the end of the trace."""

    def __init__(
        self, seed: int, cause: BaseException, trace: str, digest: str, replay: str, lines: int
    ) -> None:
        self.seed = seed
        """The one that failed."""
        self.cause = cause
        """What was raised."""
        self.trace = trace
        """All that happened, a line each: the time in seconds, who, what."""
        self.digest = digest
        """Of the trace. A seed that is played again has the same, in every process."""
        self._replay = replay
        self._lines = lines
        super().__init__(seed, cause)

    def __str__(self) -> str:
        lines = self.trace.splitlines()
        left_out = max(0, len(lines) - self._lines)
        shown = lines[left_out:]
        if left_out:
            shown.insert(0, f"  ... {left_out} lines before these")
        again = f"\nto see it again, with all of its trace: {self._replay}\n" if self._replay else "\n"
        reason = f"seed {self.seed}: {type(self.cause).__name__}: {self.cause}"
        return "\n".join([reason, again, *shown])
