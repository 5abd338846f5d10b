"""What is no failure of a handler: the end of the process, and a cancellation of the task that it runs in."""

from __future__ import annotations

import asyncio
from typing import cast

import anyio

_ENDS_PROCESS = (KeyboardInterrupt, SystemExit, GeneratorExit)


def end_in(exc: BaseException) -> BaseException | None:
    """What is no failure of a handler, but the end of its task or of the process, by itself or in a group.

    A cancellation counts only if this task is being cancelled: one that comes from something else that was, and was
    awaited, is a failure like any other. Out of a group it comes alone: the rest of that is the handler's failure.
    """
    kinds: tuple[type[BaseException], ...] = _ENDS_PROCESS
    if _is_cancelled():
        kinds = (*kinds, anyio.get_cancelled_exc_class())
    rest = [exc]
    while rest:
        each = rest.pop()
        if isinstance(each, kinds):
            return each
        if isinstance(each, BaseExceptionGroup):
            rest += cast("BaseExceptionGroup[BaseException]", each).exceptions
    return None


def raise_end_in(exc: BaseException) -> None:
    """Raise what `end_in` finds. It must be called where the exception is handled."""
    end = end_in(exc)
    if end is exc:
        raise exc
    if end is not None:
        raise end from exc


def _is_cancelled() -> bool:
    if anyio.current_effective_deadline() == float("-inf"):
        return True
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False  # trio cancels by scopes alone
    return task is not None and task.cancelling() > 0
