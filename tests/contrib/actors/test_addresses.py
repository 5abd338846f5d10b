"""Whoever has an address does not know where its actor lives: these tests are the same for each kind of address.

The failed call says whether the handler may have run; from behind a connection that may be unknown, where it is known here.
"""

from __future__ import annotations

import anyio
import pytest
from tests.contrib.actors.common import (
    FAILURES,
    Add,
    Fail,
    Hold,
    Note,
    Patient,
    Reach,
    Stage,
    Stranger,
    outcome_of,
    outcomes_of,
    until,
)

from duologue import CallError, CallTimeout, ErrorKind, Executed, RegistrationError, RemoteError
from duologue_contrib.actors import Address, Resume, StopReason

BEGAN = (Executed.YES, Executed.UNKNOWN)
NOT_BEGUN = (Executed.NO, Executed.UNKNOWN)


async def test_it_is_an_address(reach: Reach) -> None:
    """What `actors.start`, `actors.keyed` and `peer.remote` give fulfils the protocol as it is."""
    async with reach.stage() as stage:
        assert isinstance(stage.address, Address)


async def test_a_call_is_answered(reach: Reach) -> None:
    """The handler has the state of the calls before."""
    async with reach.stage() as stage:
        assert [await stage.address.call(Add(n)) for n in (1, 2, 3)] == [1, 3, 6]


async def test_a_message_one_way_is_handled(reach: Reach) -> None:
    async with reach.stage() as stage:
        await stage.address.send(Note("hello"))
        await stage.troupe.until(lambda: "hello" in stage.troupe.notes)


async def test_messages_are_handled_one_at_a_time(reach: Reach) -> None:
    """A hundred calls at once, whose handlers wait in the middle: none sees another's half-done work."""
    async with reach.stage() as stage:
        answers = await outcomes_of(*(stage.address.call(Add(1)) for _ in range(100)))
        assert sorted(answers) == list(range(1, 101))
        assert stage.troupe.most == 1


async def test_a_stranger_is_refused_before_anything_is_done(reach: Reach) -> None:
    async with reach.stage() as stage:
        for attempt in (stage.address.call(Stranger()), stage.address.send(Stranger())):
            with pytest.raises(RegistrationError, match="Stranger is not a message"):
                await attempt
        assert await stage.address.call(Add(1)) == 1


@pytest.mark.parametrize("how", FAILURES)
async def test_a_failed_handler_is_an_internal_error_to_the_caller(reach: Reach, how: str) -> None:
    """Not the exception itself, and not a word of it in the text."""
    async with reach.stage() as stage:
        with pytest.raises(RemoteError) as caught:
            await stage.address.call(Fail(how))
    assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR
    assert caught.value.executed in BEGAN
    assert "secret" not in f"{caught.value} {caught.value!r}"
    assert caught.value.service.endswith("::Fail")


async def test_an_actor_that_resumes_goes_on_with_its_state(reach: Reach) -> None:
    async with reach.stage(failure=Resume()) as stage:
        await stage.address.call(Add(5))
        assert isinstance(await outcome_of(stage.address.call(Fail())), RemoteError)
        assert await stage.address.call(Add(1)) == 6


@pytest.mark.parametrize("end", ["fail", "kill", "stop", "cancel"])
async def test_death_fails_a_hundred_waiting_calls_at_once(reach: Reach, end: str) -> None:
    """None of those that wait has begun; the one that was being handled has, and only a stop lets it finish."""
    async with reach.stage(mailbox=10) as stage:
        results: list[object] = []
        first: list[object] = []

        async def waiting() -> None:
            results.append(await outcome_of(stage.address.call(Add(1), timeout=None)))
            stage.troupe.changed()

        async def begun() -> None:
            first.append(await outcome_of(stage.address.call(Hold("first"), timeout=None)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(begun)
            await stage.troupe.until(lambda: stage.troupe.began == ["first"])
            if end == "fail":
                tasks.start_soon(outcome_of, stage.address.call(Fail()))
                await until(lambda: waits_at(stage) == 1)
            for _ in range(100):
                tasks.start_soon(waiting)
            await until(lambda: waits_at(stage) >= 100)
            if end == "fail":
                stage.troupe.release.set()
            elif end == "kill":
                stage.local.kill()
            elif end == "stop":
                tasks.start_soon(stage.local.stop)
            else:
                stage.actors.kill_all()
            await stage.troupe.until(lambda: len(results) == 100)
            stage.troupe.release.set()

        assert all(isinstance(each, RemoteError) for each in results)
        errors = [each for each in results if isinstance(each, RemoteError)]
        assert {each.kind for each in errors} == {ErrorKind.INTERNAL_SERVER_ERROR}
        wanted = Executed.UNKNOWN if reach.is_remote else Executed.NO
        assert {each.executed for each in errors} == {wanted}
        if end in ("fail", "stop"):
            assert first == ["first"]
        else:
            (error,) = first
            assert isinstance(error, RemoteError)
            assert error.executed is (Executed.UNKNOWN if reach.is_remote else Executed.YES)
        reasons = {"fail": StopReason.FAILED, "stop": StopReason.STOPPED}
        assert await stage.local.wait_stopped() is reasons.get(end, StopReason.KILLED)


def waits_at(stage: Stage) -> int:
    """How many messages the test's actor has not begun to handle. Looked at from the inside."""
    return len(stage.local._cell.mailbox)


async def timeout_of(stage: Stage, message: Hold | Patient) -> CallTimeout:
    """What comes of a call whose time is over while it is handled. A busy machine may not have begun by then."""
    while True:
        with pytest.raises(CallTimeout) as caught:
            await stage.address.call(message, timeout=0.02)
        if stage.troupe.began:
            return caught.value


async def test_a_timeout_while_it_waits_takes_it_out_of_the_mailbox(reach: Reach) -> None:
    """Here it is certain that it never ran. From behind a connection it may run, since base mode has no cancel."""
    async with reach.stage() as stage:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.address.call, Hold("first"))
            await stage.troupe.until(lambda: stage.troupe.began == ["first"])
            with pytest.raises(CallTimeout) as caught:
                await stage.address.call(Add(5), timeout=0.01)
            assert caught.value.executed in NOT_BEGUN
            stage.troupe.release.set()
        assert await stage.address.call(Add(1)) == (6 if reach.is_remote else 1)


async def test_a_timeout_while_it_is_handled_lets_the_handler_finish(reach: Reach) -> None:
    """A caller can't leave the actor's state half changed by giving up."""
    async with reach.stage() as stage:
        error = await timeout_of(stage, Hold("slow"))
        assert error.executed in BEGAN
        stage.troupe.release.set()
        assert await stage.address.call(Add(1)) == 1
        assert "slow" in stage.troupe.ended
        assert not stage.troupe.cancelled


async def test_no_time_at_all_fails_at_once(reach: Reach) -> None:
    async with reach.stage() as stage:
        with pytest.raises(CallTimeout) as caught:
            await stage.address.call(Add(1), timeout=0)
        assert caught.value.executed is Executed.NO
        assert await stage.address.call(Add(1)) == 1


@pytest.mark.parametrize("timeout", [-1.0, float("nan")])
async def test_a_timeout_that_makes_no_sense_is_refused(reach: Reach, timeout: float) -> None:
    async with reach.stage() as stage:
        with pytest.raises(ValueError, match="timeout"):
            await stage.address.call(Add(1), timeout=timeout)
        assert await stage.address.call(Add(1)) == 1


async def test_a_cancelled_caller_leaves_nothing_behind(reach: Reach) -> None:
    """Cancelled while it waits, and while it is handled: the actor goes on with the next."""
    async with reach.stage() as stage:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stage.address.call, Hold("first"))
            await stage.troupe.until(lambda: stage.troupe.began == ["first"])
            for _ in range(5):
                tasks.start_soon(stage.address.call, Add(5))
            await until(lambda: waits_at(stage) == 5)
            tasks.cancel_scope.cancel()
        stage.troupe.release.set()
        assert await stage.address.call(Add(1)) == (26 if reach.is_remote else 1)


async def test_a_handler_that_lets_itself_be_cancelled_is(reach: Reach) -> None:
    """Its caller is gone, so it is cancelled; that is no failure, and the actor lives. A remote in base mode can't tell."""
    if reach.is_remote:
        pytest.skip(
            "base mode has no cancel: tests/contrib/actors/test_serving.py ends the connection instead"
        )
    async with reach.stage() as stage:
        error = await timeout_of(stage, Patient("slow"))
        assert error.executed is Executed.YES
        assert await stage.address.call(Add(1)) == 1
        assert stage.troupe.cancelled == ["slow"]


async def test_a_call_to_the_dead_fails_at_once(reach: Reach) -> None:
    """One of many by its key is made again: for the others, that is for the one who starts them to do."""
    async with reach.stage() as stage:
        await stage.local.stop()
        outcome = await outcome_of(stage.address.call(Add(1)))
        if reach.how == "keyed":
            assert outcome == 1
        else:
            assert isinstance(outcome, RemoteError)
            assert outcome.executed in NOT_BEGUN


async def test_code_for_any_address_needs_one_except_clause(reach: Reach) -> None:
    """Each failed call is a `CallError` that says whether it may be tried again."""
    async with reach.stage() as stage:
        for message in (Fail(), Hold()):
            error = await outcome_of(stage.address.call(message, timeout=0.01))
            assert isinstance(error, CallError)
            assert error.executed in Executed
        stage.troupe.release.set()
