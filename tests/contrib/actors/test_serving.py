"""Actors behind a connection: ordinary services that hand everything on, with the mailbox as what holds it up."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.contrib.actors.common import (
    Add,
    Counter,
    Fail,
    Hold,
    Note,
    Patient,
    Troupe,
    counting,
    outcome_of,
    until,
)

from duologue import (
    CallTimeout,
    FailureKind,
    Limits,
    Message,
    Namespace,
    Overloaded,
    Peer,
    RegistrationError,
    RemoteError,
    RequestFailed,
    SendTimeout,
    Services,
    connect,
    serve,
)
from duologue_contrib.actors import (
    Actor,
    ActorStopped,
    LocalAddress,
    Resume,
    actor_scope,
    forward,
    handles,
    services,
)


class Ask(Message[str]):
    """The actor asks whoever is at the other end, who asks back."""


class Back(Message[str]):
    """What the actor asks."""


class Direct(Message[str]):
    """What it is asked back: no actor is needed for that, but a permit is."""


asking = Namespace("asking", [Ask])
direct = Namespace("direct", [Direct])
back = Namespace("back", [Back])

_names = itertools.count(1)


@asynccontextmanager
async def connected(
    served: Services, client: Services | None = None, limits: Limits = Limits()
) -> AsyncIterator[tuple[Peer, Peer]]:
    """A client, and the server's peer of it."""
    arrived: list[Peer] = []
    async with (
        serve(
            f"mem://serving-{next(_names)}", served, wireformat="json", limits=limits, on_peer=arrived.append
        ) as server,
        connect(server.url, client, wireformat="json", limits=limits) as peer,
    ):
        await until(lambda: len(arrived) == 1)
        yield peer, arrived[0]


def waits_at(address: LocalAddress) -> int:
    return len(address._cell.mailbox)


async def failures_of(events: Any, count: int) -> list[RequestFailed]:
    found: list[RequestFailed] = []
    while len(found) < count:
        event = await anext(events)
        if isinstance(event, RequestFailed):
            found.append(event)
    return found


async def test_several_actors_and_handlers_behind_one_connection() -> None:
    """`forward` registers with services that there are already."""

    class Asked(Actor):
        @handles
        async def ask(self, msg: Ask) -> str:
            return "by an actor"

    served = Services(counting, asking, direct)

    @served.handler
    async def answer(msg: Direct) -> str:
        return "by a function"

    async with actor_scope() as actors:
        forward(served, counting, await actors.start(lambda: Counter(Troupe())))
        forward(served, asking, await actors.start(Asked))
        async with connected(served) as (peer, _):
            assert await peer.remote(counting).call(Add(3)) == 3
            assert await peer.remote(asking).call(Ask()) == "by an actor"
            assert await peer.remote(direct).call(Direct()) == "by a function"


async def test_an_address_that_lacks_a_handler_is_refused_at_once() -> None:
    """An actor's, many actors', and a remote's, whose namespace tells."""
    everything = Namespace("everything", [*counting, Ask])
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(Troupe()))
        many = actors.keyed(lambda_for(Troupe()), key="key", limit=1)
        async with connected(services(counting, counter)) as (peer, _):
            for address in (counter, many, peer.remote(counting)):
                with pytest.raises(
                    RegistrationError, match=r"does not handle Ask, of the namespace 'everything'"
                ):
                    services(everything, address)


async def test_what_is_no_address_is_refused_at_once() -> None:
    """The class of an actor, a namespace, an `await` that was forgotten: else the first message would find out."""
    async with actor_scope() as actors:
        forgotten = actors.start(lambda: Counter(Troupe()))
        for nonsense in (Counter, counting, forgotten):
            with pytest.raises(RegistrationError, match="is no address: give what `await actors"):
                services(counting, nonsense)  # type: ignore[arg-type]
        await forgotten


def lambda_for(troupe: Troupe) -> Any:
    def make(key: str) -> Counter:
        return Counter(troupe, key)

    return make


async def test_an_address_of_a_remote_can_be_served_again() -> None:
    """Two connections in a row: whoever calls does not know, and nor does the one in the middle."""
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(Troupe()))
        async with connected(services(counting, counter)) as (near, _):
            async with connected(services(counting, near.remote(counting))) as (far, _):
                assert [await far.remote(counting).call(Add(n)) for n in (1, 2)] == [1, 3]


async def test_the_end_of_the_connection_takes_its_calls_out_of_the_mailbox() -> None:
    """Those that wait never run. The one that runs finishes, as the actor's state is not the caller's to cut in two."""
    troupe = Troupe()
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe))
        async with connected(services(counting, counter)) as (peer, theirs):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(outcome_of, peer.remote(counting).call(Hold("first")))
                await troupe.until(lambda: troupe.began == ["first"])
                for _ in range(5):
                    tasks.start_soon(outcome_of, peer.remote(counting).call(Add(1)))
                await until(lambda: waits_at(counter) == 5)
                tasks.start_soon(peer.close)
                await theirs.wait_closed()
                await until(lambda: waits_at(counter) == 0)
        troupe.release.set()
        assert await counter.call(Add(1)) == 1
        assert (troupe.ended, troupe.cancelled) == (["first"], [])


async def test_the_end_of_the_connection_cancels_handlers_that_allow_it() -> None:
    """And the actor lives."""
    troupe = Troupe()
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe))
        async with connected(services(counting, counter)) as (peer, _):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(outcome_of, peer.remote(counting).call(Patient("first")))
                await troupe.until(lambda: troupe.began == ["first"])
                tasks.start_soon(peer.close)
                await troupe.until(lambda: troupe.cancelled == ["first"])
        assert await counter.call(Add(1)) == 1


async def test_the_death_of_the_actor_is_an_event_here_and_a_kind_there() -> None:
    """The remote learns `InternalServerError` at once, and the observer which actor it was."""
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(Troupe()))
        async with connected(services(counting, counter)) as (peer, theirs):
            events = theirs.events()
            for message in (Fail(), Add(1)):
                with pytest.raises(RemoteError, match="InternalServerError") as caught:
                    await peer.remote(counting).call(message)
                assert caught.value.message == ""
            failed, gone = await failures_of(events, 2)
    assert failed.kind is FailureKind.HANDLER_FAILED
    assert isinstance(failed.error, RemoteError)
    assert isinstance(failed.error.__cause__, ValueError)
    assert gone.kind is FailureKind.HANDLER_FAILED
    assert isinstance(gone.error, ActorStopped)
    assert gone.error.name == "Counter"


class Asking(Actor):
    """Its handler waits for a remote."""

    def __init__(self) -> None:
        self.remote: Any = None

    @handles
    async def ask(self, msg: Ask) -> str:
        answer: str = await self.remote.call(Back(), timeout=None)
        return answer


async def test_calls_that_wait_for_an_actor_lend_their_permits() -> None:
    """The actor asks the remote, whose handler asks back, which takes a permit: with two permits and ten calls that wait for
    the actor none would be left. Nothing here has a timeout, so it would never end."""
    asked = Asking()
    served, client = Services(asking, direct), Services(back)

    @served.handler
    async def answer(msg: Direct) -> str:
        return "at last"

    @client.handler
    async def ask_back(msg: Back) -> str:
        return await peer.remote(direct).call(Direct(), timeout=None)

    async with actor_scope() as actors:
        forward(served, asking, await actors.start(lambda: asked))
        async with connected(served, client, Limits(calls=2)) as (peer, theirs):
            asked.remote = theirs.remote(back)
            answers: list[str] = []

            async def caller() -> None:
                answers.append(await peer.remote(asking).call(Ask(), timeout=None))

            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(caller)
    assert answers == ["at last"] * 10


async def test_calls_may_keep_their_permits() -> None:
    """With `lend=False` no more get to the mailbox than there are permits: the others are parked, and none is refused."""
    troupe = Troupe()
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe))
        served = Services(counting, direct)
        forward(served, counting, counter, lend=False)
        async with connected(served, limits=Limits(calls=3)) as (peer, _), anyio.create_task_group() as tasks:
            answers: list[Any] = []

            async def caller(message: Any) -> None:
                answers.append(await outcome_of(peer.remote(counting).call(message)))

            tasks.start_soon(caller, Hold("first"))
            await troupe.until(lambda: troupe.began == ["first"])
            for _ in range(20):
                tasks.start_soon(caller, Add(1))
            await until(lambda: waits_at(counter) == 2)
            # Whatever is answered at once, though it needs no permit, has passed all those that are parked.
            with pytest.raises(RemoteError, match="UnknownService"):
                await peer.call_raw(12345, b"")
            assert waits_at(counter) == 2
            troupe.release.set()
            await until(lambda: len(answers) == 21)
    assert sorted(answers, key=str) == sorted(["first", *range(1, 21)], key=str)


async def test_lent_permits_have_a_bound() -> None:
    """More calls than may be lent wait for an actor: the next is refused, and told as overload to who observes."""
    troupe = Troupe()
    limits = Limits(calls=100, lent=5)
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe))
        async with connected(services(counting, counter), limits=limits) as (peer, theirs):
            events = theirs.events()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(outcome_of, peer.remote(counting).call(Hold("first")))
                await troupe.until(lambda: troupe.began == ["first"])
                for _ in range(4):
                    tasks.start_soon(outcome_of, peer.remote(counting).call(Add(1)))
                await until(lambda: waits_at(counter) == 4)
                with pytest.raises(RemoteError):
                    await peer.remote(counting).call(Add(1))
                (failed,) = await failures_of(events, 1)
                assert isinstance(failed.error, Overloaded)
                troupe.release.set()


async def test_a_flood_of_messages_one_way_is_held_up_and_not_lost() -> None:
    """Two thousand, with ten slots and room for five: all are handled, and the mailbox and those before it never hold more."""
    troupe = Troupe()
    most = 0
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe), mailbox=5)
        served = services(counting, counter)
        async with (
            connected(served, limits=Limits(sends=10)) as (peer, _),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(outcome_of, peer.remote(counting).call(Hold("first")))
            await troupe.until(lambda: troupe.began == ["first"])

            async def sender() -> None:
                for n in range(2000):
                    await peer.remote(counting).send(Note(str(n)))

            tasks.start_soon(sender)
            await until(lambda: waits_at(counter) >= 15)
            troupe.release.set()
            while len(troupe.notes) < 2001:
                most = max(most, waits_at(counter))
                await anyio.lowlevel.checkpoint()
    assert {int(each) for each in troupe.notes[1:-1]} == set(range(2000))
    assert most <= 15


async def test_a_message_one_way_without_room_is_dropped_in_time() -> None:
    """With an event: it is the only way out for actors that wait for a remote whose messages they keep from being read."""
    troupe = Troupe()
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe), mailbox=1)
        async with connected(services(counting, counter, room_timeout=0.01)) as (peer, theirs):
            events = theirs.events()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(outcome_of, peer.remote(counting).call(Hold("first")))
                await troupe.until(lambda: troupe.began == ["first"])
                for n in range(3):
                    await peer.remote(counting).send(Note(str(n)))
                dropped = await failures_of(events, 2)
                assert all(isinstance(each.error, SendTimeout) for each in dropped)
                troupe.release.set()
            assert await peer.remote(counting).call(Add(1)) == 1
    assert len(troupe.notes) == 3


async def test_a_call_may_have_a_bound_here_too() -> None:
    """The remote in base mode can't say how long it waits: `call_timeout` takes its call out of the mailbox."""
    troupe = Troupe()
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe), failure=Resume())
        async with connected(services(counting, counter, call_timeout=0.01)) as (peer, theirs):
            events = theirs.events()
            await counter.send(Hold("first"))
            await troupe.until(lambda: troupe.began == ["first"])
            with pytest.raises(RemoteError):
                await peer.remote(counting).call(Add(1), timeout=None)
            (failed,) = await failures_of(events, 1)
            assert isinstance(failed.error, CallTimeout)
            assert waits_at(counter) == 0
            troupe.release.set()


async def test_the_order_of_a_connection_can_be_kept() -> None:
    """With `ordered=True` an actor gets the messages of one remote in the order in which that has sent them."""
    troupe = Troupe()
    async with actor_scope() as actors:
        counter = await actors.start(lambda: Counter(troupe), mailbox=2)
        async with connected(services(counting, counter, ordered=True)) as (peer, _):
            for n in range(500):
                await peer.remote(counting).send(Note(str(n)))
            assert await peer.remote(counting).call(Add(1)) == 1
    assert troupe.notes[1:-1] == [str(n) for n in range(500)]


async def test_what_goes_over_the_wire_is_what_any_peer_would_send() -> None:
    """A service id and a payload, with nothing about actors or keys: here written by hand."""
    async with actor_scope() as actors:
        many = actors.keyed(lambda_for(Troupe()), key="key", limit=5)
        async with connected(services(counting, many)) as (peer, _):
            sid = counting.sid(Add)
            answers = [
                await peer.call_raw(sid, payload)
                for payload in (
                    b'{"amount":2,"key":"a"}',
                    b'{"amount":3,"key":"b"}',
                    b'{"amount":4,"key":"a"}',
                )
            ]
    assert answers == [b"2", b"3", b"6"]
