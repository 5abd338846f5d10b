"""The life of one actor: its task, from the making to the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from duologue import Executed, Message
from duologue_contrib.actors.actor import Actor, refusal
from duologue_contrib.actors.circles import running, waiting_for
from duologue_contrib.actors.endings import end_in, raise_end_in
from duologue_contrib.actors.errors import ActorFailed, ActorStopped, StopReason, handler_failed, named
from duologue_contrib.actors.mailbox import GIVEN_UP, Letter, Mailbox
from duologue_contrib.actors.settings import Rest, Settings
from duologue_contrib.actors.supervision import Escalate, Restart, Resume, Supervisor, logger

if TYPE_CHECKING:
    from duologue_contrib.actors.local import LocalAddress

BATCH = 16
"""Messages after which others run, too, should no handler have waited. After each it costs six times as much."""

_KILLED = "it was killed"


class Cell:
    """An actor as its scope knows it. It outlives the objects that take each other's place in it."""

    def __init__(
        self, make: Callable[[], Actor], kind: type[Actor] | None, name: str, settings: Settings
    ) -> None:
        self.name = name or (kind.__name__ if kind else "")
        """For people: what it was given (its class and key, if it is one of many), or the name of its class; empty until that
        is known."""
        self.address: LocalAddress
        self.kind = kind
        """The class that it is an object of, as soon as that is known."""
        self.task_id: int | None = None
        self.waits_for: Cell | None = None
        """The actor that its handler waits for."""
        self.ready = anyio.Event()
        """It is made, or will not be."""
        self.over = anyio.Event()
        self.reason: StopReason | None = None
        self.failure: BaseException | None = None
        """What has ended it, if it has failed."""
        self.on_closing: Callable[[], None] | None = None
        """Called once, when it takes no more messages."""
        self.on_over: list[Callable[[], Any]] = []
        self.starter_waits = False
        """Somebody gets to know it, if it can't be made."""
        self._make = make
        self.mailbox = Mailbox(settings.mailbox, settings.waiting)
        self._supervisor = Supervisor(settings.failure, settings.now)
        self._log = settings.log
        self._actor: Actor | None = None
        self._current: Letter | None = None
        self._life = anyio.CancelScope()
        self._handling: anyio.CancelScope | None = None
        """Around the handler that runs, if those who call it may cancel it."""

    # -- for those who have its address --------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether it takes messages."""
        return not self.mailbox.is_closed

    @property
    def is_idle(self) -> bool:
        """It is ready, has nothing to do, and nothing to be done."""
        return self.ready.is_set() and self._current is None and not len(self.mailbox)

    def check(self, message: Message[Any]) -> None:
        """Raises `RegistrationError` for a message that it does not handle."""
        if self.kind is not None and type(message) not in self.kind.__handlers__:
            raise refusal(self.kind, message)

    def begin_stop(self, rest: Rest) -> None:
        """Take no more messages, and end when the current one, or all, are handled."""
        self._close()
        if rest == "drop":
            self._drop("it has stopped")

    async def stop(self, rest: Rest) -> None:
        """The same, and wait for the end; not within the actor itself."""
        self.begin_stop(rest)
        if running.get() is not self:
            with waiting_for(self):
                await self.over.wait()

    def kill(self) -> None:
        """End it here and now: all calls fail, and the handler is cancelled."""
        if self.reason is None:
            self._close()
            self._drop(_KILLED)
            if self._current is not None:
                self._cut(self._current)
            self._life.cancel()

    # -- its task ----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """All of its life."""
        running.set(self)
        self.task_id = anyio.get_current_task().id
        reason = StopReason.KILLED
        try:
            with self._life:
                reason = await self._live()
        except ActorFailed:
            reason = StopReason.FAILED
            raise
        finally:
            self.end(reason)

    def end(self, reason: StopReason) -> None:
        """It is over. Whoever still waits for anything of it is told. Once."""
        if self.reason is not None:
            return
        self.reason = reason
        self.task_id = None
        self._close()
        if self._current is not None:
            self._cut(self._current)
            self._current = None
        self._drop(_KILLED)
        self.ready.set()
        self.over.set()
        for callback in self.on_over:
            callback()
        self.on_over.clear()

    async def _live(self) -> StopReason:
        if self._life.cancel_called:
            return StopReason.KILLED
        try:
            await self._begin()
        except BaseException as exc:
            raise_end_in(exc)
            if not self.starter_waits:
                self._log.error(f"the actor {self.name} could not be made", exc)
            self._fail(exc)
            return StopReason.FAILED
        self.ready.set()
        try:
            handled = 0
            while await self._handle_next():
                handled += 1
                if not handled % BATCH:
                    await anyio.lowlevel.checkpoint()
            return self._reason()
        finally:
            await self._let_go()

    def _reason(self) -> StopReason:
        if self.failure is not None:
            return StopReason.FAILED
        # A handler that has killed its own actor may have finished all the same.
        return StopReason.KILLED if self._life.cancel_called else StopReason.STOPPED

    async def _begin(self) -> None:
        actor = self._make()
        if self.kind is None:
            self.kind = _kind_of(actor)
            self.name = self.name or self.kind.__name__
        elif not isinstance(actor, self.kind):
            raise TypeError(
                f"the actor {self.name} was made as a {type(actor).__name__}: it must be a {self.kind.__name__}"
            )
        actor.address = self.address
        await actor.started()
        self._actor = actor

    async def _let_go(self) -> None:
        actor, self._actor = self._actor, None
        if actor is not None:
            try:
                await actor.stopped()
            except BaseException as exc:
                raise_end_in(exc)
                self._log.error(f"stopped() of the actor {self.name} failed", exc)

    async def _handle_next(self) -> bool:
        """Wait for a message, and let it be handled. False: it was the last. While it waits it holds no message."""
        letter = await self.mailbox.take()
        if letter is None:
            return False
        failure = await self._handle(letter)
        return failure is None or await self._goes_on(failure)

    async def _handle(self, letter: Letter) -> BaseException | None:
        """Let the message be handled. Returns what its handler has raised."""
        actor, message = self._actor, letter.message
        assert actor is not None
        method, mark = type(actor).__handlers__[type(message)]
        self._current = letter
        letter.has_begun = True
        try:
            if mark.cancellable:
                with anyio.CancelScope() as self._handling:
                    letter.end(await getattr(actor, method)(message))
            else:
                letter.end(await getattr(actor, method)(message))
        except BaseException as exc:
            if end_in(exc) is not None:
                self._cut(letter)
                raise_end_in(exc)
            letter.end(handler_failed(self.name, message, exc))
            self._log.error(f"the handler of {type(message).__name__} in the actor {self.name} failed", exc)
            return exc
        finally:
            self._current = self._handling = None
        return None

    async def _goes_on(self, failure: BaseException) -> bool:
        """Do about a failure what the supervision says."""
        while not self._is_finished:
            match self._supervisor.decide():
                case Resume():
                    return True
                case Restart():
                    await self._let_go()
                    try:
                        await self._begin()
                    except BaseException as exc:
                        raise_end_in(exc)
                        self._log.error(f"the actor {self.name} could not be made anew", exc)
                        failure = exc
                    else:
                        return True
                case verdict:
                    self._fail(failure)
                    if isinstance(verdict, Escalate):
                        raise ActorFailed(self.name, str(self._supervisor)) from failure
                    return False
        return True

    # -- the rest ------------------------------------------------------------------------------------------

    @property
    def _is_finished(self) -> bool:
        return self.mailbox.is_closed and not len(self.mailbox)

    def _fail(self, failure: BaseException) -> None:
        """It will not go on: those who wait need not wait for its last words."""
        self.failure = failure
        self._close()
        if lost := self._drop("it has failed", failure):
            logger.warning("%d one-way messages are lost with the actor %s", lost, self.name)

    def _close(self) -> None:
        if not self.mailbox.is_closed:
            self.mailbox.close()
            if self.on_closing is not None:
                self.on_closing()

    def _drop(self, why: str, cause: BaseException | None = None) -> int:
        """Empty the mailbox. Calls fail; how many messages there were whose senders are not told, it returns."""
        dropped = self.mailbox.drop()
        lost = sum(letter.is_ended for letter in dropped)
        for letter in dropped:
            letter.end(self._gone(why, Executed.NO, cause, letter.message))
        return lost

    def _cut(self, letter: Letter) -> None:
        letter.end(self._gone(_KILLED, Executed.YES, None, letter.message))

    def _gone(
        self, why: str, executed: Executed, cause: BaseException | None, message: Message[Any]
    ) -> ActorStopped:
        error = ActorStopped(self.name, executed, why=why)
        error.__cause__ = cause
        return named(self.name, error, message)

    def refuse_if_closed(self, message: Message[Any]) -> None:
        if not self.is_open:
            why = "it has stopped" if self.failure is None else "it has failed"
            raise self._gone(why, Executed.NO, self.failure, message)

    def give_up(self, letter: Letter) -> None:
        """Nobody waits for it any more. What has not begun never will; a handler that lets itself be cancelled is."""
        letter.end(GIVEN_UP)
        self.mailbox.remove(letter)
        if letter is self._current and self._handling is not None:
            self._handling.cancel()


def _kind_of(actor: Any) -> type[Actor]:
    if not isinstance(actor, Actor):
        raise TypeError(f"{actor!r} was made as an actor, and is none: derive its class from Actor")
    return type(actor)
