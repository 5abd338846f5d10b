"""One actor of many, by a key in the message: made at first use, bounded in number, and let go when idle."""

from __future__ import annotations

import functools
import gc
from typing import Any

import anyio
import pytest
from tests.contrib.actors.common import (
    Add,
    Counter,
    Fail,
    Hold,
    Note,
    Reach,
    Stranger,
    TestClock,
    Troupe,
    counting,
    outcome_of,
    outcomes_of,
    until,
)

from duologue import (
    CallTimeout,
    Executed,
    Limits,
    Message,
    Overloaded,
    RegistrationError,
    RemoteError,
    SendTimeout,
)
from duologue_contrib.actors import (
    Actor,
    ActorDeadlock,
    ActorScope,
    ActorStopped,
    Keyed,
    Restart,
    Resume,
    StopReason,
    actor_scope,
    handles,
    services,
)
from duologue_contrib.actors.cell import Cell


def many(actors: ActorScope, troupe: Troupe, *, limit: int = 100, **options: Any) -> Keyed[str]:
    return actors.keyed(functools.partial(Counter, troupe), key="key", limit=limit, **options)


@pytest.mark.parametrize("how", ["local", "mem", "tcp"])
async def test_each_key_has_an_actor_of_its_own(how: str) -> None:
    """Made when the first message comes, and found again by the next: from here, and from behind a connection."""
    troupe = Troupe()
    async with actor_scope() as actors:
        keyed = many(actors, troupe)
        assert (len(keyed), troupe.notes) == (0, [])

        async def story(address: Any) -> None:
            for n, key in ((1, "a"), (2, "b"), (3, "a")):
                await address.call(Add(n, key))
            assert [await address.call(Add(0, key)) for key in ("a", "b", "c")] == [4, 2, 0]

        if how == "local":
            await story(keyed)
        else:
            async with Reach(how).remote(services(counting, keyed)) as remote:
                await story(remote)
        assert list(keyed) == ["a", "b", "c"]
        assert "a" in keyed
        assert "d" not in keyed
    assert sorted(troupe.notes) == [f"{what} {key}" for what in ("started", "stopped") for key in "abc"]


async def test_keys_do_not_wait_for_each_other() -> None:
    """Ten handlers of ten keys run at once; two messages of one key never do."""
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        keyed = many(actors, troupe)
        for n in range(10):
            for name in "xy":
                tasks.start_soon(keyed.call, Hold(f"{name}{n}", str(n)))
        await troupe.until(lambda: len(troupe.began) == 10)
        assert len({name[1:] for name in troupe.began}) == 10
        troupe.release.set()


async def test_the_one_idle_for_longest_makes_room() -> None:
    """At the limit: it is stopped, and really gone, before the next is made."""
    troupe = Troupe()
    async with actor_scope(clock=TestClock()) as actors:
        keyed = many(actors, troupe, limit=3)
        for key in "abcab":
            await keyed.call(Add(1, key))
        await keyed.call(Add(1, "d"))
        assert troupe.notes[3:] == ["stopped c", "started d"]
        assert sorted(keyed) == ["a", "b", "d"]
        assert await keyed.call(Add(1, "c")) == 1
        assert troupe.notes[5:] == ["stopped a", "started c"]
        assert len(keyed) == 3


async def test_as_many_as_may_be_are_at_work() -> None:
    """None is idle, so the next key is refused, and nothing was done: to wait could be to wait for ever."""
    troupe = Troupe()
    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        keyed = many(actors, troupe, limit=2)
        for key in "ab":
            tasks.start_soon(keyed.call, Hold(key, key))
        await troupe.until(lambda: len(troupe.began) == 2)
        for attempt in (keyed.call(Add(1, "c")), keyed.send(Add(1, "c"))):
            with pytest.raises(Overloaded, match="2 actors of Counter") as caught:
                await attempt
            assert caught.value.executed is Executed.NO
        troupe.release.set()
        await until(lambda: len(troupe.ended) == 2)
        await until(lambda: all(entry.cell.is_idle for entry in keyed._live.values()))
        assert await keyed.call(Add(1, "c")) == 1


async def test_many_keys_through_a_small_door() -> None:
    """A hundred keys at once, with room for five: those that wait for one to end are served in the end."""
    async with actor_scope() as actors:
        keyed = many(actors, Troupe(), limit=5)

        async def patient(key: str) -> int:
            while True:
                try:
                    return await keyed.call(Add(1, key))
                except Overloaded:
                    await anyio.lowlevel.checkpoint()

        assert await outcomes_of(*(patient(str(n)) for n in range(100))) == [1] * 100
        assert len(keyed) <= 5


async def test_actors_that_came_and_went_leave_nothing_behind() -> None:
    """A thousand keys through room for five: what is known is five."""
    async with actor_scope() as actors:
        keyed = many(actors, Troupe(), limit=5)
        for n in range(1000):
            assert await keyed.call(Add(1, str(n))) == 1
        gc.collect()
        assert (len(keyed), len(actors)) == (5, 5)
        cells = [each for each in gc.get_objects() if isinstance(each, Cell)]
        assert len([each for each in cells if each.kind is Counter]) == 5


async def test_one_that_is_killed_before_it_begins_is_never_made() -> None:
    """Its mailbox is there at once, and its task has not run yet."""
    troupe = Troupe()
    async with actor_scope() as actors:
        keyed = many(actors, troupe)
        await keyed.send(Note("hello", "a"))
        address = keyed.address_of("a")
        assert address is not None
        address.kill()
        assert await address.wait_stopped() is StopReason.KILLED
    assert troupe.notes == []


async def test_an_idle_actor_is_let_go() -> None:
    """After `idle` seconds without a message, and no sooner; the next message makes another."""
    troupe, clock = Troupe(), TestClock()
    async with actor_scope(clock=clock) as actors:
        keyed = many(actors, troupe, idle=60)
        await keyed.call(Add(1, "a"))
        clock.advance(30)
        await keyed.call(Add(1, "b"))
        clock.advance(29.9)
        await clock.asleep.wait()
        assert list(keyed) == ["a", "b"]
        clock.advance(0.1)
        await troupe.until(lambda: "stopped a" in troupe.notes)
        assert list(keyed) == ["b"]
        clock.advance(30)
        await troupe.until(lambda: "stopped b" in troupe.notes)
        assert len(keyed) == 0
        assert await keyed.call(Add(1, "a")) == 1


async def test_a_message_keeps_it_from_being_idle() -> None:
    troupe, clock = Troupe(), TestClock()
    async with actor_scope(clock=clock) as actors:
        keyed = many(actors, troupe, idle=60)
        await keyed.call(Add(1, "a"))
        for _ in range(5):
            await clock.asleep.wait()
            clock.advance(50)
            assert await keyed.call(Add(1, "a")) > 1
        assert troupe.notes == ["started a"]


async def test_an_actor_at_work_is_not_idle() -> None:
    """However long its handler takes: it is looked at again when as much time has passed."""
    troupe, clock = Troupe(), TestClock()
    async with actor_scope(clock=clock) as actors, anyio.create_task_group() as tasks:
        keyed = many(actors, troupe, idle=60)
        tasks.start_soon(keyed.call, Hold("first", "a"))
        await troupe.until(lambda: troupe.began == ["first"])
        for _ in range(3):
            await clock.asleep.wait()
            clock.advance(61)
        await clock.asleep.wait()
        assert "a" in keyed
        troupe.release.set()
        await until(lambda: all(entry.cell.is_idle for entry in keyed._live.values()))
        clock.advance(61)
        await troupe.until(lambda: "stopped a" in troupe.notes)


async def test_a_successor_waits_until_its_predecessor_is_gone() -> None:
    """So that what the one keeps in `stopped` the other finds. The wait counts in the timeout."""
    troupe = Troupe()
    kept = anyio.Event()

    class Keeper(Counter):
        async def stopped(self) -> None:
            await kept.wait()
            await super().stopped()

    async with actor_scope() as actors, anyio.create_task_group() as tasks:
        keyed = actors.keyed(functools.partial(Keeper, troupe), key="key", limit=10)
        await keyed.call(Add(1, "a"))
        tasks.start_soon(keyed.stop, "a")
        await until(lambda: "a" not in keyed)
        with pytest.raises(CallTimeout) as caught:
            await keyed.call(Add(1, "a"), timeout=0.01)
        assert caught.value.executed is Executed.NO
        with pytest.raises(SendTimeout):
            await keyed.send(Add(1, "a"), timeout=0.01)
        answers: list[Any] = []

        async def caller() -> None:
            answers.append(await keyed.call(Add(1, "a")))

        tasks.start_soon(caller)
        await until(lambda: keyed._waiting == 1)
        kept.set()
        await until(lambda: len(answers) == 1)
    assert answers == [1]
    assert troupe.notes[:3] == ["started a", "stopped a", "started a"]


async def test_so_many_wait_for_a_predecessor() -> None:
    """Over `Limits.waiting` the next is refused."""
    kept = anyio.Event()

    class Keeper(Counter):
        async def stopped(self) -> None:
            await kept.wait()

    async with actor_scope(limits=Limits(waiting=3)) as actors, anyio.create_task_group() as tasks:
        keyed = actors.keyed(functools.partial(Keeper, Troupe()), key="key", limit=10)
        await keyed.call(Add(1, "a"))
        tasks.start_soon(keyed.stop, "a")
        await until(lambda: "a" not in keyed)
        for _ in range(3):
            tasks.start_soon(keyed.call, Add(1, "a"))
        await until(lambda: keyed._waiting == 3)
        with pytest.raises(Overloaded):
            await keyed.call(Add(1, "a"))
        kept.set()


async def test_one_that_can_not_be_made_fails_those_who_called_it() -> None:
    """None of their messages was handled. The next message is another try."""
    troupe = Troupe()
    async with actor_scope() as actors:
        keyed = many(actors, troupe, failure=Restart(limit=5, within=60))
        troupe.unmade = [LookupError("no such account")]
        errors = await outcomes_of(*(keyed.call(Add(1, "a")) for _ in range(3)))
        for error in errors:
            assert isinstance(error, ActorStopped)
            assert error.executed is Executed.NO
            assert isinstance(error.__cause__, LookupError)
        assert await keyed.call(Add(1, "a")) == 1


async def test_a_failure_is_that_of_one_key() -> None:
    """The others keep their state, and the key's next message makes a new one."""
    async with actor_scope() as actors:
        keyed = many(actors, Troupe())
        for key in "ab":
            await keyed.call(Add(5, key))
        assert isinstance(await outcome_of(keyed.call(Fail(key="a"))), RemoteError)
        assert [await keyed.call(Add(1, key)) for key in "ab"] == [1, 6]


class Pay(Message[int]):
    key: str
    to: str


class Account(Actor):
    """Asks another of its kind for something, and that one asks it."""

    others: Keyed[str]

    @handles
    async def pay(self, msg: Pay) -> int:
        return await self.others.call(Pay(msg.to, msg.key))


async def test_errors_say_which_of_them_it_was() -> None:
    """Two that wait for each other, and one that has failed: a name alone would be that of all. A long key is cut."""

    def account(key: str) -> Account:
        return Account()

    async with actor_scope() as actors:
        Account.others = keyed = actors.keyed(account, key="key", limit=5, failure=Resume())
        error = await outcome_of(keyed.call(Pay("anna", "bert")))
        assert str(error) == "Account['anna']::Pay: its handler failed (executed: yes)"
        inner = error.__cause__
        assert inner is not None
        assert isinstance(inner.__cause__, ActorDeadlock)
        assert inner.__cause__.names == ("Account['bert']", "Account['anna']", "Account['bert']")
        await outcome_of(keyed.call(Pay("x" * 1000, "\n")))
        assert len(keyed.address_of("x" * 1000).name) < 50  # type: ignore[union-attr]
        assert keyed.address_of("\n").name == r"Account['\n']"  # type: ignore[union-attr]


async def test_one_of_them_can_be_had_by_its_address() -> None:
    async with actor_scope() as actors:
        keyed = many(actors, Troupe())
        assert keyed.address_of("a") is None
        await keyed.stop("a")
        await keyed.call(Add(1, "a"))
        address = keyed.address_of("a")
        assert address is not None
        assert await address.call(Add(1, "whatever")) == 2
        address.kill()
        assert await address.wait_stopped() is StopReason.KILLED
        assert await keyed.call(Add(1, "a")) == 1


async def test_no_actor_is_made_for_nothing() -> None:
    """A message that is not handled, and a call without time, leave no actor behind."""
    async with actor_scope() as actors:
        keyed = many(actors, Troupe())
        with pytest.raises(RegistrationError, match="Stranger"):
            await keyed.call(Stranger())
        with pytest.raises(CallTimeout):
            await keyed.call(Add(1, "a"), timeout=0)
        assert len(keyed) == 0


async def test_the_key_may_be_worked_out() -> None:
    """By a function: of several fields, or of none that has one name in all messages."""
    async with actor_scope() as actors:
        keyed = actors.keyed(functools.partial(Counter, Troupe()), key=lambda msg: msg.key[0], limit=5)
        await keyed.call(Add(1, "apple"))
        assert await keyed.call(Add(1, "avocado")) == 2
        assert list(keyed) == ["a"]


class Get(Message[int], newtype=True):
    ident: int


class ByNumber(Actor):
    def __init__(self, ident: int) -> None:
        self.ident = ident

    @handles
    async def get(self, msg: Get) -> int:
        return self.ident


async def test_the_class_alone_may_make_them() -> None:
    """It is given the key. The key of a newtype is all there is in the message."""
    async with actor_scope() as actors:
        keyed = actors.keyed(ByNumber, key="ident", limit=5)
        assert await keyed.call(Get(7)) == 7


def unannotated(key):  # type: ignore[no-untyped-def]
    return Counter(Troupe(), key)


REFUSED = [
    pytest.param(unannotated, "key", "does not say which class", id="no class"),
    pytest.param(lambda key: key, "key", "does not say which class", id="lambda"),
    pytest.param(int, "key", "does not say which class", id="no actor"),
    pytest.param(ByNumber, "key", "Get, which ByNumber handles, has no field 'key'", id="no such field"),
]


@pytest.mark.parametrize(("make", "key", "text"), REFUSED)
async def test_what_can_not_work_is_refused_when_it_is_declared(make: Any, key: str, text: str) -> None:
    async with actor_scope() as actors:
        with pytest.raises(RegistrationError, match=text):
            actors.keyed(make, key=key, limit=5)


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": 1, "idle": 0}, {"limit": 1, "mailbox": 0}])
async def test_numbers_that_make_no_sense_are_refused(options: Any) -> None:
    async with actor_scope() as actors:
        with pytest.raises(ValueError, match="0"):
            actors.keyed(ByNumber, key="ident", **options)


async def test_messages_one_way_make_actors_too() -> None:
    troupe = Troupe()
    async with actor_scope(rest="drain") as actors:
        keyed = many(actors, troupe)
        await keyed.send(Note("hello", "a"))
    assert troupe.notes == ["started a", "hello", "stopped a"]
