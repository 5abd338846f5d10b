"""The handlers of a flow simulation: tasks that take one step at a time, when they are told to."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from duologue.protocol.errors import DuologueError
from duologue.protocol.pending import OutgoingCall, OutgoingSend

Steps = Generator["Waiter | None", Any, Any]
"""What a handler does: it yields None to be taken up again, or what it waits for."""


class HandlerFailed(Exception):
    """Raised by a handler, as its script says."""


class Cancelled(Exception):
    """Whoever waited was cancelled."""


class Waiter:
    """A value that is still to come, for one task."""

    __slots__ = ("done", "is_abandoned", "item", "result", "task", "what")

    def __init__(self, what: str, item: OutgoingCall | OutgoingSend | None = None) -> None:
        self.what = what
        self.item = item
        self.done = False
        self.is_abandoned = False
        self.result: Any = None
        self.task: Task | None = None

    def set_result(self, result: Any) -> None:
        assert not self.done, f"{self.what} has two outcomes"
        self.done = True
        self.result = result
        if self.task is not None:
            self.task.wake()


class Task:
    """A handler, or a part of one that runs beside the rest. It is in `ready` while it can go on."""

    __slots__ = ("ended", "name", "ready", "steps", "waiter")

    def __init__(self, name: str, steps: Steps, ready: list[Task]) -> None:
        self.name = name
        self.steps = steps
        self.ready = ready
        self.waiter: Waiter | None = None
        self.ended = Waiter(f"the end of {name}")
        ready.append(self)

    def wake(self) -> None:
        self.ready.append(self)

    def cancel(self) -> None:
        """Raise `Cancelled` where the task stands."""
        is_blocked = self.waiter is not None and not self.waiter.done
        if self.waiter is not None:
            self.waiter.task = None
        self.waiter = Waiter("a cancellation")
        self.waiter.set_result(Cancelled())
        if is_blocked:
            self.wake()

    def step(self) -> bool:
        """Go on for one step. Says whether the task goes on after it."""
        waiter, self.waiter = self.waiter, None
        result = waiter.result if waiter is not None else None
        try:
            if isinstance(result, BaseException):
                self.waiter = self.steps.throw(result)
            else:
                self.waiter = self.steps.send(result)
        except StopIteration:
            self.ended.set_result(None)
            return False
        except (DuologueError, Cancelled) as error:
            self.ended.set_result(error)
            return False
        if self.waiter is None or self.waiter.done:
            self.wake()
        else:
            self.waiter.task = self
        return True
