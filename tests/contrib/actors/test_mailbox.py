"""A mailbox has room for so many; so many more wait for room; nothing that was accepted is lost or changes its place."""

from __future__ import annotations

import gc
import sys
from typing import Any

import anyio
import pytest
from tests.contrib.actors.common import Add, Counter, Hold, Note, Troupe, outcome_of, until

from duologue import CallTimeout, Executed, Limits, Overloaded, SendTimeout
from duologue_contrib.actors import ActorStopped, LocalAddress, actor_scope
from duologue_contrib.actors.mailbox import Letter

MESSAGES = 100_000
KEPT = MESSAGES // 20
"""Blocks of memory that may stay, of caches and timers of the loop. Messages that leak have one each, at least."""


def waits_at(address: LocalAddress) -> int:
    return len(address._cell.mailbox)


async def test_a_hundred_thousand_messages_leave_nothing_behind() -> None:
    """Half of them calls, half one way, from ten senders: all are handled, and no memory stays."""
    troupe = Troupe()

    async def send_all(counter: LocalAddress, messages: int) -> None:
        async def sender() -> None:
            for _ in range(messages // 20):
                await counter.send(Add(1))
                await counter.call(Add(1))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(sender)

    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe))
        await send_all(counter, 2000)  # what is made once is made
        gc.collect()
        before = sys.getallocatedblocks()
        await send_all(counter, MESSAGES)
        gc.collect()
        assert sys.getallocatedblocks() - before < KEPT
        assert await counter.call(Add(0)) == 2000 + MESSAGES
        assert waits_at(counter) == 0
        assert not [each for each in gc.get_objects() if isinstance(each, Letter)]


async def test_senders_wait_for_room() -> None:
    """Three have room, the fourth waits, and goes on when the first is handled."""
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe), mailbox=3)
        tasks.start_soon(counter.call, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        for n in range(3):
            await counter.send(Note(str(n)))
        sent = anyio.Event()

        async def fourth() -> None:
            await counter.send(Note("3"))
            sent.set()

        tasks.start_soon(fourth)
        await until(lambda: waits_at(counter) == 4)
        assert not sent.is_set()
        troupe.release.set()
        await sent.wait()
        await troupe.until(lambda: troupe.notes[-1] == "3")
        assert troupe.notes[1:] == ["0", "1", "2", "3"]


async def test_the_order_is_that_of_arrival_with_room_and_without() -> None:
    """Calls and messages one way, in one line: whoever waits for room keeps the place."""
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe), mailbox=2)
        tasks.start_soon(counter.call, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        for n in range(20):
            tasks.start_soon(counter.call if n % 2 else counter.send, Note(str(n)))
            await until(lambda n=n: waits_at(counter) == n + 1)  # type: ignore[misc]
        troupe.release.set()
        await troupe.until(lambda: troupe.notes[-1] == "19")
        assert troupe.notes[1:] == [str(n) for n in range(20)]


async def test_the_wait_for_room_counts_in_the_timeout() -> None:
    """A send that finds no room in time, and a call: neither was done, then or later."""
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe), mailbox=1)
        tasks.start_soon(counter.call, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        await counter.send(Note("room"))
        for timeout in (0, 0.01):
            with pytest.raises(SendTimeout):
                await counter.send(Note("late"), timeout=timeout)
            with pytest.raises(CallTimeout) as caught:
                await counter.call(Note("late"), timeout=timeout)
            assert caught.value.executed is Executed.NO
        assert waits_at(counter) == 1
        troupe.release.set()
        assert await counter.call(Add(1)) == 1
        assert troupe.notes == ["started one", "room"]


async def test_a_send_without_time_is_done_where_there_is_room() -> None:
    troupe = Troupe()
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe))
        await counter.send(Note("quick"), timeout=0)
        await troupe.until(lambda: "quick" in troupe.notes)


async def test_so_many_wait_and_the_next_is_refused() -> None:
    """Over `Limits.waiting` calls and sends raise at once, and say that nothing was done."""
    troupe = Troupe()
    async with actor_scope(limits=Limits(waiting=5)) as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe), mailbox=1)
        tasks.start_soon(counter.call, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        for _ in range(6):
            tasks.start_soon(counter.call, Add(1))
        await until(lambda: waits_at(counter) == 6)
        for attempt in (counter.call(Add(1)), counter.send(Add(1))):
            with pytest.raises(Overloaded, match="Counter") as caught:
                await attempt
            assert caught.value.executed is Executed.NO
        troupe.release.set()
        await until(lambda: waits_at(counter) == 0)
        assert await counter.call(Add(1)) == 7


async def test_thousands_give_up_at_once() -> None:
    """Each leaves from the middle of the line, and room goes to the next that has not."""
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as outer:
        counter = await actors.start(lambda: Counter(troupe), mailbox=10)
        outer.start_soon(counter.call, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        async with anyio.create_task_group() as tasks:
            for _ in range(2000):
                tasks.start_soon(counter.call, Add(1))
            await until(lambda: waits_at(counter) == 2000)
            outer.start_soon(counter.send, Add(1000))
            await until(lambda: waits_at(counter) == 2001)
            tasks.cancel_scope.cancel()
        assert waits_at(counter) == 1
        troupe.release.set()
        assert await counter.call(Add(0)) == 1000


@pytest.mark.parametrize("rest", ["drop", "drain"])
async def test_a_send_that_waits_for_room_is_told_of_the_end(rest: str) -> None:
    """Dropped, it raises; drained, it was handled like the others."""
    troupe = Troupe()
    outcomes: list[object] = []
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        counter = await actors.start(lambda: Counter(troupe), mailbox=1)
        tasks.start_soon(counter.call, Hold("first"))
        await troupe.until(lambda: troupe.began == ["first"])
        await counter.send(Note("room"))

        async def sender() -> None:
            outcomes.append(await outcome_of(counter.send(Note("waits"))))

        tasks.start_soon(sender)
        await until(lambda: waits_at(counter) == 2)
        tasks.start_soon(counter.stop, rest)
        await until(lambda: not counter.is_open)
        troupe.release.set()
    (outcome,) = outcomes
    if rest == "drop":
        assert isinstance(outcome, ActorStopped)
        assert outcome.executed is Executed.NO
        assert troupe.notes == ["started one", "stopped one"]
    else:
        assert outcome is None
        assert troupe.notes == ["started one", "room", "waits", "stopped one"]


@pytest.mark.parametrize("mailbox", [0, float("nan")])
async def test_a_mailbox_without_room_is_refused(mailbox: Any) -> None:
    async with actor_scope() as actors:
        with pytest.raises(ValueError, match=f"mailbox={mailbox}"):
            await actors.start(lambda: Counter(Troupe()), mailbox=mailbox)
