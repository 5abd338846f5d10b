"""The scope that actors live in: leaving it ends them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import copy_context
from typing import Any, TypeVar

import anyio
import anyio.abc

from duologue import Limits, RegistrationError
from duologue_contrib.actors.actor import Actor
from duologue_contrib.actors.cell import Cell
from duologue_contrib.actors.clock import Clock, LoopClock
from duologue_contrib.actors.errors import ActorStopped
from duologue_contrib.actors.keyed import Keyed, class_made_by
from duologue_contrib.actors.local import LocalAddress
from duologue_contrib.actors.settings import Rest, Settings
from duologue_contrib.actors.supervision import FailureLog, FailurePolicy, Stop

K = TypeVar("K")

_LIMITS = Limits()
MAILBOX = _LIMITS.calls
"""Messages that a mailbox has room for if nobody says: as many as a connection lets run at once."""

STOP = Stop()


class ActorScope:
    """Starts actors, and knows those that are. Made by `actor_scope`."""

    def __init__(self, tasks: anyio.abc.TaskGroup, limits: Limits, clock: Clock) -> None:
        self._tasks = tasks
        self._limits = limits
        self._clock = clock
        self._cells: dict[Cell, None] = {}
        self._is_ending = False
        # Actors see what the scope saw, and not what belongs to whoever happens to start one, such as its request.
        self._context = copy_context()

    def __len__(self) -> int:
        """How many actors there are."""
        return len(self._cells)

    async def start(
        self,
        make: Callable[[], Actor],
        *,
        name: str = "",
        mailbox: int = MAILBOX,
        failure: FailurePolicy = STOP,
    ) -> LocalAddress:
        """Start an actor: `counter = await actors.start(Counter)`. Returns when its `started()` has.

        `make` is called in the actor's task, now and at each restart: a class, or a function, as in
        `lambda: Counter(5)`. `mailbox` is how many messages have room; more wait at the sender. `failure` says what
        follows when a handler raises: `Stop()`, `Resume()`, `Restart(limit=, within=)`, `Escalate()`.

        Raises what `make` or `started()` has raised, `RegistrationError` for what makes no actor, and `ActorStopped` when
        the scope is being left.
        """
        if not callable(make):
            raise RegistrationError(
                f"{make!r} is to make an actor, and can't be called: give its class, or a function that returns one"
            )
        cell = self._open(make, class_made_by(make), self._settings(mailbox, failure), name)
        cell.starter_waits = True
        try:
            await cell.ready.wait()
        except BaseException:
            cell.kill()  # nobody has its address
            raise
        if cell.failure is not None:
            failed, cell.failure = cell.failure, None
            try:
                raise failed
            finally:
                del failed  # its traceback holds this frame
        if cell.reason is not None:
            raise ActorStopped(cell.name, why="its scope is being left")
        return cell.address

    def keyed(
        self,
        make: Callable[[K], Actor],
        *,
        key: str | Callable[[Any], K],
        limit: int,
        idle: float | None = None,
        mailbox: int = MAILBOX,
        failure: FailurePolicy = STOP,
    ) -> Keyed[K]:
        """Many actors of one class, each with a key of its own, made when the first message for it comes.

        `key` is the field of the messages that holds the key, or a function from a message to it. `make` is called with
        the key: the class, a `functools.partial` of it, or a function that is annotated with what it returns. At most
        `limit` actors live at once; for another, the one that was idle for longest is stopped. One that was idle for
        `idle` seconds is stopped, too; None: never. See `Keyed`.

        Raises `RegistrationError` if the class can't be told, or if one of its messages lacks the field.
        """
        settings = self._settings(mailbox, failure)
        keyed = Keyed(
            make,
            lambda made, kind, name: self._open(made, kind, settings, name),
            key=key,
            limit=limit,
            idle=idle,
            limits=self._limits,
            clock=self._clock,
        )
        if idle is not None:
            self._begin(keyed.stop_idle, f"idle {keyed!r}")
        return keyed

    def _settings(self, mailbox: int, failure: FailurePolicy) -> Settings:
        return Settings(mailbox, self._limits.waiting, failure, FailureLog(self._clock.now), self._clock.now)

    def _open(
        self, make: Callable[[], Actor], kind: type[Actor] | None, settings: Settings, name: str = ""
    ) -> Cell:
        """An actor that takes messages from now on, and is made soon."""
        cell = Cell(make, kind, name, settings)
        if self._is_ending:
            raise ActorStopped(cell.name, why="its scope is being left")
        cell.address = LocalAddress(cell, self._limits)
        self._cells[cell] = None
        cell.on_over.append(lambda: self._cells.pop(cell, None))
        self._begin(cell.run, f"actor {cell.name}")
        return cell

    def _begin(self, run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
        def begin() -> None:
            self._tasks.start_soon(run, name=name)

        self._context.copy().run(begin)

    async def stop_all(self, rest: Rest) -> None:
        """Stop each, the last first: an actor may still need those that were there before it."""
        self._is_ending = True
        while self._cells:
            await next(reversed(self._cells)).stop(rest)

    def kill_all(self) -> None:
        """End them here and now."""
        self._is_ending = True
        for cell in list(self._cells):
            cell.kill()


@asynccontextmanager
async def actor_scope(
    *, limits: Limits = _LIMITS, rest: Rest = "drop", clock: Clock | None = None
) -> AsyncGenerator[ActorScope, None]:
    """A scope for actors: `async with actor_scope() as actors`. They live in it as tasks do in a task group.

    Leaving it stops them, the last that was started first, and waits for each; `rest` says what becomes of what is in their
    mailboxes, `"drop"` or `"drain"`. Leaving it by an exception or a cancellation kills them. Of `limits` it takes
    `call_timeout`, `send_timeout` and `waiting`, how many messages may wait for room in one mailbox. `clock` is what
    restarts and idle actors are counted by: for tests.

    `ActorFailed` comes out of it, in an `ExceptionGroup`, when an actor fails whose supervision says so.
    """
    async with anyio.create_task_group() as tasks:
        scope = ActorScope(tasks, limits, clock or LoopClock())
        try:
            yield scope
            await scope.stop_all(rest)
        finally:
            scope.kill_all()  # those who wait for them are told here, and not when the last handler has cleaned up
            tasks.cancel_scope.cancel()
