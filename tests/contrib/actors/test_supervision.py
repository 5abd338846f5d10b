"""What follows when a handler raises: stop, resume, restart with a limit, escalate."""

from __future__ import annotations

import logging
from typing import Any

import anyio
import pytest
from tests.contrib.actors.common import (
    Add,
    Counter,
    Fail,
    Hold,
    Note,
    TestClock,
    Troupe,
    outcome_of,
    until,
)

from duologue import Executed, RegistrationError, RemoteError
from duologue_contrib.actors import (
    ActorFailed,
    ActorStopped,
    Escalate,
    FailurePolicy,
    LocalAddress,
    Restart,
    Resume,
    Stop,
    StopReason,
    actor_scope,
)


async def fail(address: LocalAddress) -> None:
    """One failure, of which the caller is told."""
    error = await outcome_of(address.call(Fail()))
    assert isinstance(error, RemoteError)
    assert error.executed is Executed.YES
    assert isinstance(error.__cause__, ValueError)


# What a call gets after a failure: a count that went on from 5, one from nothing, or none.
POLICIES = [
    pytest.param(Stop(), None, id="stop"),
    pytest.param(Resume(), 6, id="resume"),
    pytest.param(Restart(limit=1, within=10), 1, id="restart"),
]


@pytest.mark.parametrize(("policy", "after"), POLICIES)
async def test_after_a_failure(policy: FailurePolicy, after: int | None) -> None:
    """Stopped it is gone; resumed it has its state; restarted it has a new one. The scope goes on, whichever it is."""
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(Troupe()), failure=policy)
        await counter.call(Add(5))
        await fail(counter)
        outcome = await outcome_of(counter.call(Add(1)))
        if after is None:
            assert isinstance(outcome, ActorStopped)
            assert isinstance(outcome.__cause__, ValueError)
            assert isinstance(counter.failure, ValueError)
            assert await counter.wait_stopped() is StopReason.FAILED
        else:
            assert outcome == after
            assert counter.failure is None
        other = await actors.start(lambda: Counter(Troupe()))
        assert await other.call(Add(1)) == 1


async def test_a_restart_lets_the_old_go_before_it_makes_the_new() -> None:
    """Hooks are called for each object, so what one has opened it can close."""
    troupe = Troupe()
    made: list[Counter] = []

    def make() -> Counter:
        made.append(Counter(troupe, str(len(made))))
        return made[-1]

    async with actor_scope() as actors:
        counter = await actors.start(make, failure=Restart(limit=5, within=10))
        await fail(counter)
        await counter.call(Note("between"))
        await fail(counter)
    assert troupe.notes == [
        *("started 0", "stopped 0", "started 1", "between", "stopped 1", "started 2", "stopped 2")
    ]
    assert all(each.address is counter for each in made)


async def test_the_mailbox_survives_a_restart() -> None:
    """What waits is handled by the new one; only the message that failed is gone."""
    troupe = Troupe()
    answers: dict[Any, Any] = {}
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe), mailbox=3, failure=Restart(limit=1, within=10))

        async def caller(message: Any) -> None:
            answers[message] = await outcome_of(counter.call(message))

        tasks.start_soon(caller, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        for n, message in enumerate((Fail(), Add(1), Add(2), Add(3), Add(4))):
            tasks.start_soon(caller, message)
            await until(lambda n=n: len(counter._cell.mailbox) == n + 1)  # type: ignore[misc]
        troupe.release.set()
        await until(lambda: len(answers) == 6)
    assert answers.pop(Hold("first")) == "first"
    assert isinstance(answers.pop(Fail()), RemoteError)
    assert answers == {Add(1): 1, Add(2): 3, Add(3): 6, Add(4): 10}


async def test_the_limit_of_restarts_is_per_time() -> None:
    """Three within ten seconds; as soon as the first is ten seconds ago there is room for another."""
    clock = TestClock()
    async with actor_scope(clock=clock) as actors:
        counter = await actors.start(
            lambda: Counter(Troupe()), failure=Restart(limit=3, within=10, then=Stop())
        )
        for seconds in (4, 4, 2):
            await fail(counter)
            clock.advance(seconds)
        # 2, 6 and 10 seconds ago: that one is over.
        await fail(counter)
        assert await counter.call(Add(1)) == 1
        clock.advance(3.9)
        await fail(counter)
        with pytest.raises(ActorStopped):
            await counter.call(Add(1))
        assert await counter.wait_stopped() is StopReason.FAILED


async def test_over_the_limit_the_scope_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """By default it dies loudly: `ActorFailed` comes out of the scope, with the failure as its cause, and ends the others."""
    clock = TestClock()
    troupe = Troupe()
    with pytest.raises(ExceptionGroup) as caught:
        async with actor_scope(clock=clock) as actors:
            other = await actors.start(lambda: Counter(troupe, "other"))
            counter = await actors.start(
                lambda: Counter(troupe), name="unlucky", failure=Restart(limit=2, within=60)
            )
            for _ in range(3):
                await fail(counter)
            await anyio.sleep_forever()
    (error,) = caught.value.exceptions
    assert isinstance(error, ActorFailed)
    assert str(error) == "the actor unlucky failed again after 2 restarts within 60 s"
    assert isinstance(error.__cause__, ValueError)
    assert await counter.wait_stopped() is StopReason.FAILED
    assert await other.wait_stopped() is StopReason.KILLED
    assert caplog.text.count("the handler of Fail in the actor unlucky failed") == 3


async def test_escalation_needs_no_restart() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with actor_scope() as actors:
            counter = await actors.start(lambda: Counter(Troupe()), failure=Escalate())
            await fail(counter)
            await anyio.sleep_forever()
    assert caught.value.subgroup(ActorFailed) is not None


async def test_a_failure_of_the_making_counts_as_one_of_the_actor() -> None:
    """A restart that fails is tried again, up to the limit: then the actor is gone, and what waits for it is told."""
    troupe = Troupe()
    async with actor_scope(clock=TestClock()) as actors:
        counter = await actors.start(lambda: Counter(troupe), failure=Restart(limit=3, within=1, then=Stop()))
        troupe.unmade = [LookupError("one"), LookupError("two")]
        await fail(counter)
        assert await counter.call(Add(1)) == 1
        troupe.unmade = [LookupError("three")]
        await fail(counter)
        error = await outcome_of(counter.call(Add(1)))
        assert isinstance(error, ActorStopped)
        assert await counter.wait_stopped() is StopReason.FAILED
    assert troupe.notes == ["started one", "stopped one", "started one", "stopped one"]


async def test_an_actor_that_is_to_stop_is_not_made_again() -> None:
    """It fails with its last message: nothing is left for a new one to do."""
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe), failure=Restart(limit=9, within=9))
        tasks.start_soon(counter.call, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        await counter.send(Fail())
        tasks.start_soon(counter.stop, "drain")
        await until(lambda: not counter.is_open)
        troupe.release.set()
        assert await counter.wait_stopped() is StopReason.STOPPED
    assert troupe.notes == ["started one", "stopped one"]


async def test_messages_one_way_that_die_with_an_actor_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Their senders were told that all is well, and nobody else would know."""
    caplog.set_level(logging.WARNING, "duologue.actors")
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe))
        tasks.start_soon(counter.call, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        await counter.send(Fail())
        for _ in range(3):
            await counter.send(Add(1))
        troupe.release.set()
        await counter.wait_stopped()
    assert "3 one-way messages are lost with the actor Counter" in caplog.messages


async def test_the_log_of_failures_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """Ten a second, and how many there were besides: whoever can make a handler fail can't fill a disk."""
    clock = TestClock()
    async with actor_scope(clock=clock) as actors:
        counter = await actors.start(lambda: Counter(Troupe()), failure=Resume())
        for _ in range(35):
            await fail(counter)
        assert len(caplog.records) == 10
        clock.advance(1)
        await fail(counter)
    assert [each.message for each in caplog.records[10:]] == [
        "25 more failures were not logged",
        "the handler of Fail in the actor Counter failed",
    ]


@pytest.mark.parametrize(("limit", "within"), [(0, 1.0), (-1, 1.0), (1, 0.0), (1, float("nan"))])
def test_a_policy_that_makes_no_sense_is_refused(limit: int, within: float) -> None:
    with pytest.raises(ValueError, match="Restart"):
        Restart(limit=limit, within=within)


async def test_what_is_no_policy_is_refused_at_once() -> None:
    """A class for an object of it, say: else the first failure would be the time to learn of it."""
    async with actor_scope() as actors:
        for nonsense in (Restart, "restart", None):
            with pytest.raises(RegistrationError, match=r"give Stop\(\), Resume\(\), Restart"):
                await actors.start(lambda: Counter(Troupe()), failure=nonsense)  # type: ignore[arg-type]
