"""The address of an actor of this process."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any, TypeVar

from duologue import DEFAULT, Limits, Message, Timeout
from duologue_contrib.actors.calls import call, send
from duologue_contrib.actors.cell import Cell
from duologue_contrib.actors.circles import waiting_for
from duologue_contrib.actors.errors import StopReason
from duologue_contrib.actors.settings import Rest

R = TypeVar("R")


class LocalAddress:
    """An actor of this process, as others know it: it fulfils `Address`. What `actors.start(...)` gives.

    It stays the same while the actor is restarted. Messages and answers are not copied: what can be changed in them
    belongs to who gets it. It is for the tasks of the actor's event loop, not for other threads.
    """

    __slots__ = ("_cell", "_limits")

    def __init__(self, cell: Cell, limits: Limits) -> None:
        self._cell = cell
        self._limits = limits

    @property
    def name(self) -> str:
        """What it was given, or the name of its class, with the key of one of many: `Account['anna']`. Names need not differ."""
        return self._cell.name

    @property
    def messages(self) -> AbstractSet[type[Message[Any]]]:
        """The messages that it handles."""
        kind = self._cell.kind
        return frozenset() if kind is None else kind.__handlers__.keys()

    @property
    def is_open(self) -> bool:
        """Whether it takes messages still."""
        return self._cell.is_open

    @property
    def failure(self) -> BaseException | None:
        """What its handler has raised, if that is what has ended it."""
        return self._cell.failure

    async def call(self, message: Message[R], *, timeout: Timeout = DEFAULT) -> R:
        """Put a message into the mailbox, and wait for its answer, at most `timeout` seconds, the wait for room included.

        Every `CallError` says by `executed` whether the handler has begun; here that is never unknown. `CallTimeout`;
        `RemoteError` if the handler raised, with what as its cause; `ActorStopped`; `Overloaded` if too many wait for
        room; `ActorDeadlock` if it would wait for its own caller. `RegistrationError` if it has no handler for it.
        """
        answer: R = await call(self._cell, message, seconds_of(timeout, self._limits.call_timeout))
        return answer

    async def send(self, message: Message[Any], *, timeout: Timeout = DEFAULT) -> None:
        """Put a message into the mailbox, one way. Waits at most `timeout` seconds for room there.

        Nothing tells what becomes of it. Raises `SendTimeout`, `ActorStopped`, `Overloaded`, `RegistrationError`, and
        `ActorDeadlock` if there is no room, and would be none before the handler that sends has ended.
        """
        await send(self._cell, message, seconds_of(timeout, self._limits.send_timeout))

    async def stop(self, rest: Rest = "drop") -> None:
        """Take no more messages, let the current handler finish, and wait until the actor is no more.

        The rest of the mailbox: `"drop"`, its calls fail at once with `ActorStopped` (executed: no); `"drain"`, it is
        handled before. In a handler of the actor itself this does not wait: it ends when that handler has. Idempotent;
        a drain that has begun is cut short by a stop that drops.
        """
        await self._cell.stop(rest)

    def kill(self) -> None:
        """End it here and now: its handler is cancelled, and all its calls fail with `ActorStopped` at once."""
        self._cell.kill()

    async def wait_stopped(self) -> StopReason:
        """Wait until the actor is no more, and say why. Restarts are not its end. Raises `ActorDeadlock` in a handler of
        its own.
        """
        with waiting_for(self._cell):
            await self._cell.over.wait()
        assert self._cell.reason is not None
        return self._cell.reason

    def __repr__(self) -> str:
        state = (
            "open" if self.is_open else "closing" if self._cell.reason is None else self._cell.reason.value
        )
        return f"<LocalAddress {self.name}, {state}>"


def seconds_of(timeout: Timeout, default: float | None) -> float | None:
    """What a user gave as a timeout, in seconds; None for ever. Raises `ValueError`."""
    if timeout is DEFAULT:
        return default
    assert timeout is None or isinstance(timeout, int | float)
    if timeout is not None and not timeout >= 0:
        raise ValueError(
            f"a timeout of {timeout!r}: give seconds, 0 for not waiting, or None for waiting for ever"
        )
    return timeout
