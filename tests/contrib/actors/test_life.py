"""From the making to the end: hooks, stop, kill, and the scope that actors live in."""

from __future__ import annotations

import asyncio
import logging
from contextvars import ContextVar
from typing import Any

import anyio
import pytest
from tests.contrib.actors.common import Add, Counter, Fail, Hold, Note, Troupe, outcome_of, outcomes_of, until
from tests.engines import longest

from duologue import Executed, RemoteError
from duologue_contrib.actors import Actor, ActorStopped, StopReason, actor_scope, handles

LONGEST = longest(60)
LOOKED_AT: ContextVar[str] = ContextVar("looked_at")


async def test_hooks_are_called_in_the_order_of_a_life() -> None:
    """`started` before the first message and before `start` returns, `stopped` after the last."""
    troupe = Troupe()
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe))
        assert troupe.notes == ["started one"]
        await counter.call(Note("message"))
        assert (counter.is_open, len(actors)) == (True, 1)
    assert troupe.notes == ["started one", "message", "stopped one"]
    assert not counter.is_open
    assert await counter.wait_stopped() is StopReason.STOPPED


async def test_an_actor_that_can_not_be_made_raises_where_it_is_started() -> None:
    """As itself: whoever starts it is no caller. Nothing of it stays, and the scope goes on."""
    troupe = Troupe()
    async with actor_scope() as actors:
        troupe.unmade = [LookupError("no such thing")]
        with pytest.raises(LookupError, match="no such thing"):
            await actors.start(lambda: Counter(troupe))
        with pytest.raises(ZeroDivisionError):
            await actors.start(lambda: Counter(troupe, str(1 // 0)))
        with pytest.raises(TypeError, match="derive its class from Actor"):
            await actors.start(lambda: object())  # type: ignore[arg-type, return-value]
        assert len(actors) == 0
        assert await (await actors.start(lambda: Counter(troupe))).call(Add(1)) == 1
    assert troupe.notes == ["started one", "stopped one"]


async def test_what_makes_no_actor_is_refused() -> None:
    """An actor that is made already, in place of what makes it: nobody could make it anew."""
    async with actor_scope() as actors:
        for wrong in (Counter(Troupe()), None):
            with pytest.raises(TypeError, match="makes no actor: give its class, or a function"):
                await actors.start(wrong)  # type: ignore[arg-type]
        assert len(actors) == 0


async def test_an_actor_that_ends_itself_before_it_was_started() -> None:
    """Whoever starts it is told so: the scope goes on."""

    class Shy(Actor):
        async def started(self) -> None:
            await self.address.stop()

    async with actor_scope() as actors:
        with pytest.raises(ActorStopped, match="it has stopped before it was started"):
            await actors.start(Shy)
        assert await (await actors.start(lambda: Counter(Troupe()))).call(Add(1)) == 1


async def test_words_that_are_none_are_refused() -> None:
    """A stop that is neither of the two would lose messages, or wait for them, against what was meant."""
    wrong: Any = "now"
    with pytest.raises(ValueError, match="rest='now': give 'drop' or 'drain'"):
        async with actor_scope(rest=wrong):
            pytest.fail("entered")
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(Troupe()))
        with pytest.raises(ValueError, match="rest='now'"):
            await counter.stop(wrong)
        with pytest.raises(TypeError, match="timeout='5'"):
            await counter.call(Add(1), timeout="5")  # type: ignore[arg-type]
        assert await counter.call(Add(1)) == 1


async def test_whoever_starts_an_actor_and_gives_up_leaves_none() -> None:
    class Slow(Actor):
        async def started(self) -> None:
            await anyio.sleep_forever()

    async with actor_scope() as actors:
        with anyio.move_on_after(0.01):
            await actors.start(Slow)
        await until(lambda: len(actors) == 0)


async def test_stop_lets_the_current_handler_finish_and_drops_the_rest() -> None:
    """Its calls fail at once, and have not begun; the current one is answered; `stop` waits until all is over."""
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe))
        outcomes: list[Any] = []

        async def caller(message: Hold | Add) -> None:
            outcomes.append(await outcome_of(counter.call(message)))
            troupe.changed()

        async def stopper() -> None:
            await counter.stop()
            troupe.note("over")

        tasks.start_soon(caller, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        for _ in range(3):
            tasks.start_soon(caller, Add(1))
        await until(lambda: len(counter._cell.mailbox) == 3)
        tasks.start_soon(stopper)
        await troupe.until(lambda: len(outcomes) == 3)
        assert all(isinstance(each, ActorStopped) and each.executed is Executed.NO for each in outcomes)
        assert "over" not in troupe.notes
        late = await outcome_of(counter.call(Add(1)))
        assert isinstance(late, ActorStopped)
        troupe.release.set()
        # Both are told in the same moment: either may run first.
        await troupe.until(lambda: "over" in troupe.notes and len(outcomes) == 4)
        assert outcomes[-1] == "first"
        assert troupe.notes[-2:] == ["stopped one", "over"]
        await counter.stop()  # twice is once


async def test_stop_may_drain_the_mailbox_before() -> None:
    """All that was there is handled; nothing more is taken."""
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe), mailbox=5)
        answers: list[Any] = []

        async def callers() -> None:
            answers.extend(await outcomes_of(*(counter.call(Add(1)) for _ in range(20))))

        tasks.start_soon(counter.call, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        tasks.start_soon(callers)
        await until(lambda: len(counter._cell.mailbox) == 20)
        tasks.start_soon(counter.stop, "drain")
        await until(lambda: not counter.is_open)
        with pytest.raises(ActorStopped):
            await counter.send(Add(1))
        troupe.release.set()
        await counter.wait_stopped()
        await until(lambda: len(answers) == 20)
        assert sorted(answers) == list(range(1, 21))


async def test_a_drain_can_be_cut_short() -> None:
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe))
        tasks.start_soon(counter.call, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        await counter.send(Note("never"))
        tasks.start_soon(counter.stop, "drain")
        await until(lambda: not counter.is_open)
        tasks.start_soon(counter.stop, "drop")
        await until(lambda: not len(counter._cell.mailbox))
        troupe.release.set()
    assert "never" not in troupe.notes


async def test_kill_cancels_the_handler() -> None:
    """Its caller is told at once that it may have been done, though the handler takes its time to clean up."""
    troupe = Troupe()
    cleaned = anyio.Event()

    class Tidy(Counter):
        async def stopped(self) -> None:
            with anyio.move_on_after(LONGEST / 2, shield=True):
                await cleaned.wait()
            await super().stopped()

    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        tidy = await actors.start(lambda: Tidy(troupe))
        outcomes: list[Any] = []

        async def caller() -> None:
            outcomes.append(await outcome_of(tidy.call(Hold("first"))))
            troupe.changed()

        tasks.start_soon(caller)
        await troupe.until(lambda: troupe.began == ["first"])
        tidy.kill()
        await troupe.until(lambda: len(outcomes) == 1)
        assert isinstance(outcomes[0], ActorStopped)
        assert outcomes[0].executed is Executed.YES
        assert len(actors) == 1
        cleaned.set()
        assert await tidy.wait_stopped() is StopReason.KILLED
        assert troupe.cancelled == ["first"]
        assert troupe.notes == ["started one", "stopped one"]
        tidy.kill()  # of the dead: nothing


async def test_an_actor_may_end_itself() -> None:
    """`stop` in its own handler does not wait for itself; the handler's answer still comes."""

    class Mortal(Counter):
        @handles
        async def fail(self, msg: Fail) -> int:
            if msg.how == "kill":
                self.address.kill()
            else:
                await self.address.stop()
            return 7

    async with actor_scope() as actors:
        for how, reason in (("stop", StopReason.STOPPED), ("kill", StopReason.KILLED)):
            mortal = await actors.start(lambda: Mortal(Troupe()))
            outcome = await outcome_of(mortal.call(Fail(how)))
            if how == "stop":
                assert outcome == 7
            else:
                assert isinstance(outcome, ActorStopped)
                assert outcome.executed is Executed.YES
            assert await mortal.wait_stopped() is reason


async def test_a_failure_while_it_stops_is_logged_and_nothing_else(caplog: pytest.LogCaptureFixture) -> None:
    class Untidy(Counter):
        async def stopped(self) -> None:
            raise ValueError("left something")

    async with actor_scope() as actors:
        untidy = await actors.start(lambda: Untidy(Troupe()), name="the untidy one")
        await untidy.stop()
        assert await untidy.wait_stopped() is StopReason.STOPPED
    (record,) = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert record.message == "stopped() of the actor the untidy one failed"


async def test_the_scope_stops_the_last_first() -> None:
    """An actor may call those that were there before it, until its own end."""
    troupe = Troupe()

    class Last(Counter):
        async def stopped(self) -> None:
            troupe.note(f"first has {await first.call(Add(1))}")
            await super().stopped()

    async with actor_scope() as actors:
        first = await actors.start(lambda: Counter(troupe, "first"))
        await actors.start(lambda: Last(troupe, "last"))
    assert troupe.notes == ["started first", "started last", "first has 1", "stopped last", "stopped first"]


@pytest.mark.parametrize("rest", ["drop", "drain"])
async def test_leaving_the_scope_drops_or_drains(rest: Any) -> None:
    troupe = Troupe()
    async with actor_scope(rest=rest) as actors:
        counter = await actors.start(lambda: Counter(troupe))
        await counter.send(Note("in the mailbox"))
    assert ("in the mailbox" in troupe.notes) is (rest == "drain")
    with pytest.raises(ActorStopped, match="its scope is being left"):
        await actors.start(lambda: Counter(troupe))


async def test_leaving_by_an_exception_kills() -> None:
    """Nobody waits for the handler, and its caller, who is outside, is told at once."""
    troupe = Troupe()
    outcomes: list[Any] = []

    async with anyio.create_task_group() as tasks:
        with pytest.raises(ExceptionGroup) as caught:
            async with actor_scope() as actors:
                counter = await actors.start(lambda: Counter(troupe))

                async def caller() -> None:
                    outcomes.append(await outcome_of(counter.call(Hold("first"))))

                tasks.start_soon(caller)
                await troupe.until(lambda: troupe.began == ["first"])
                raise LookupError("out")
        assert caught.value.subgroup(LookupError) is not None
    assert isinstance(outcomes[0], ActorStopped)
    assert outcomes[0].executed is Executed.YES
    assert troupe.cancelled == ["first"]
    assert await counter.wait_stopped() is StopReason.KILLED


async def test_cancelling_the_scope_kills() -> None:
    """Callers outside of it are told at once, and not when the handler has cleaned up."""
    troupe = Troupe()
    cleaned = anyio.Event()
    outcomes: list[Any] = []

    class Slow(Counter):
        @handles
        async def hold(self, msg: Hold) -> str:
            try:
                return await super().hold(msg)
            finally:
                with anyio.move_on_after(LONGEST / 2, shield=True) as patience:
                    await cleaned.wait()
                troupe.note("too late" if patience.cancelled_caught else "in time")

    async def caller() -> None:
        outcomes.append(await outcome_of(slow.call(Hold("first"))))
        cleaned.set()

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            async with actor_scope() as actors:
                slow = await actors.start(lambda: Slow(troupe))
                tasks.start_soon(caller)
                await troupe.until(lambda: troupe.began == ["first"])
                scope.cancel()
    assert "in time" in troupe.notes
    assert isinstance(outcomes[0], ActorStopped)
    assert outcomes[0].executed is Executed.YES
    assert troupe.cancelled == ["first"]
    assert await slow.wait_stopped() is StopReason.KILLED


async def test_an_actor_that_was_never_begun_is_over_with_its_scope() -> None:
    """Cancelled between the start and its task's first step: whoever waits for it is told."""
    troupe = Troupe()
    outcomes: list[Any] = []
    with anyio.CancelScope() as scope:
        async with actor_scope() as actors:

            async def starter() -> None:
                outcomes.append(await outcome_of(actors.start(lambda: Counter(troupe))))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(starter)
                scope.cancel()
    assert len(actors) == 0
    assert troupe.notes in ([], ["started one"], ["started one", "stopped one"])


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
async def test_the_end_of_the_process_is_no_failure(end: type[BaseException], anyio_backend: Any) -> None:
    """It goes on to whoever runs the scope; the caller is told."""
    if anyio_backend[0] == "asyncio":
        pytest.skip("asyncio raises it out of the loop itself, with which this test would end")

    class Deadly(Counter):
        @handles
        async def fail(self, msg: Fail) -> int:
            raise end

    outcomes: list[Any] = []
    async with anyio.create_task_group() as tasks:
        with pytest.raises(BaseExceptionGroup) as caught:
            async with actor_scope() as actors:
                deadly = await actors.start(lambda: Deadly(Troupe()))

                async def caller() -> None:
                    outcomes.append(await outcome_of(deadly.call(Fail())))

                tasks.start_soon(caller)
                await anyio.sleep_forever()
        assert caught.value.subgroup(end) is not None
    assert isinstance(outcomes[0], RemoteError)


async def test_a_cancellation_that_came_from_elsewhere_is_a_failure(anyio_backend: Any) -> None:
    """A handler that awaits a task which was cancelled raises the same as one that is cancelled; the actor dies of it
    as of any failure, and its calls are told."""
    if anyio_backend[0] != "asyncio":
        pytest.skip("trio has no such thing")

    class Confused(Counter):
        @handles
        async def fail(self, msg: Fail) -> int:
            task = asyncio.ensure_future(asyncio.sleep(60))
            task.cancel()
            await task
            return 1

    async with actor_scope() as actors:
        confused = await actors.start(lambda: Confused(Troupe()))
        error = await outcome_of(confused.call(Fail()))
        assert isinstance(error, RemoteError)
        assert isinstance(error.__cause__, asyncio.CancelledError)
        assert await confused.wait_stopped() is StopReason.FAILED


async def test_actors_see_what_their_scope_saw_and_not_who_starts_them() -> None:
    """Context variables are those of the scope's `async with`: an actor is no part of whoever happens to start it."""
    seen: list[str] = []

    class Looking(Actor):
        async def started(self) -> None:
            seen.append(LOOKED_AT.get())

    LOOKED_AT.set("scope")
    async with actor_scope() as actors:
        LOOKED_AT.set("starter")
        await actors.start(Looking)
    assert seen == ["scope"]
