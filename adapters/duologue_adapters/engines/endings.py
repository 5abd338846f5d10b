"""Exceptions that are no failure of a handler: they end a task, or the process, and so go on to whoever runs those."""

from __future__ import annotations

from typing import cast

Kinds = type[BaseException] | tuple[type[BaseException], ...]


def end_in(exc: BaseException, cancelled: type[BaseException]) -> BaseException | None:
    """The end of the process in an exception, or of the task. Out of a group it comes alone.

    The rest of the group is the handler's failure: raised further, it would end everything that its task is a part of.
    """
    return end_of_process_in(exc) or _first(exc, cancelled)


def end_of_process_in(exc: BaseException) -> BaseException | None:
    """A `KeyboardInterrupt` or `SystemExit`, by itself or in a group."""
    return _first(exc, (KeyboardInterrupt, SystemExit))


def _first(exc: BaseException, kinds: Kinds) -> BaseException | None:
    rest = [exc]  # no recursion: groups may be nested deeper than Python can go
    while rest:
        each = rest.pop()
        if isinstance(each, kinds):
            return each
        if isinstance(each, BaseExceptionGroup):
            rest.extend(reversed(cast("BaseExceptionGroup[BaseException]", each).exceptions))
    return None
