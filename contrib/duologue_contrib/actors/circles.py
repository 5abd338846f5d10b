"""Who waits for whom: a call that would wait for its own caller is refused at once, for it could only time out."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import anyio

from duologue_contrib.actors.errors import ActorDeadlock

if TYPE_CHECKING:
    from duologue_contrib.actors.cell import Cell

running: ContextVar[Cell | None] = ContextVar("running_actor", default=None)
"""The actor in whose task this runs, or which has started this task."""


@contextmanager
def waiting_for(target: Cell) -> Generator[None]:
    """Around whatever can end only when the actor has handled something, or is gone. Raises `ActorDeadlock`.

    Only the actor's own task counts. Others that it has started may wait for it: it need not wait for them. A circle by
    way of those, or of another process, is not seen, and ends with the first timeout in it.
    """
    caller = running.get()
    if caller is None or caller.task_id != anyio.get_current_task().id:
        yield
        return
    names = [caller.name]
    each: Cell | None = target
    while each is not None:
        names.append(each.name)
        if each is caller:
            raise ActorDeadlock(tuple(names))
        each = each.waits_for
    caller.waits_for = target
    try:
        yield
    finally:
        caller.waits_for = None
