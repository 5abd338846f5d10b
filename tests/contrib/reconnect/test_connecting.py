"""The first connection, those that follow, what is done with each, and what is told."""

from __future__ import annotations

import weakref
from typing import Any

import anyio
import pytest
from tests.adapters.common import Add, Say, Tools, collect, first_peer, raw_server, tools, turn, until
from tests.contrib.reconnect.stage import (
    FastTime,
    HandTime,
    Seen,
    connected_again,
    is_disconnected,
    new_url,
    stage,
)

from duologue import (
    CloseReason,
    ConnectFailed,
    ConnectionClosed,
    Peer,
    RegistrationError,
    Services,
    UnknownScheme,
    UnknownWireFormat,
    serve,
)
from duologue_contrib.reconnect import (
    AttemptFailed,
    Backoff,
    Connected,
    Connecting,
    Disconnected,
    GaveUp,
    ReconnectFailed,
    is_permanent,
    reconnecting,
)

# -- the first --------------------------------------------------------------------------------------------


async def test_the_first_connection_fails_fast() -> None:
    """Nobody there: entering raises what `connect` raises, after one attempt, though another might help."""
    seen = Seen()
    with pytest.raises(ConnectFailed, match="nobody serves") as caught:
        async with reconnecting(new_url(), wireformat="json", on_event=seen):
            raise AssertionError
    assert not is_permanent(caught.value)
    assert seen.names == ["Connecting", "AttemptFailed", "GaveUp"]


async def test_the_first_connection_may_be_waited_for() -> None:
    """`first="wait"`: entering goes on when there is a server."""
    seen, time, url = Seen(), HandTime(), new_url()
    entered, answered = anyio.Event(), anyio.Event()

    async def enter() -> None:
        async with reconnecting(
            url, wireformat="json", first="wait", on_event=seen, clock=time.clock
        ) as client:
            entered.set()
            assert await client.remote(tools).call(Add(a=1, b=2)) == 3
            answered.set()

    async with anyio.create_task_group() as group:
        group.start_soon(enter)
        await time.pass_by()
        await time.pass_by()
        await until(lambda: len(seen.of(AttemptFailed)) == 3)
        assert not entered.is_set()
        async with serve(url, Tools().services, wireformat="json"):
            await time.pass_by()
            await answered.wait()
    assert seen.names == ["Connecting", "AttemptFailed"] * 3 + ["Connecting", "Connected"]


async def test_waiting_for_the_first_connection_has_an_end() -> None:
    """It gives up when its attempts are used up, and raises the last error as it is."""
    seen, time = Seen(), FastTime()
    with pytest.raises(ConnectFailed, match="nobody serves"):
        async with reconnecting(
            new_url(),
            wireformat="json",
            first="wait",
            on_event=seen,
            clock=time.clock,
            backoff=Backoff(max_attempts=5),
        ):
            raise AssertionError
    assert (seen.attempts, len(time.sleeps)) == (5, 4)


async def test_waiting_for_the_first_connection_is_cancelled() -> None:
    """Whoever waits may be cancelled, and nothing is left."""
    time = HandTime()
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:

            async def enter() -> None:
                async with reconnecting(new_url(), wireformat="json", first="wait", clock=time.clock):
                    raise AssertionError

            group.start_soon(enter)
            await until(lambda: time.is_asleep)
            scope.cancel()
    assert not time.is_asleep


async def test_the_block_may_begin_without_a_connection() -> None:
    """`first="later"`: the block begins at once, and calls wait for the connection that is to come."""
    time, url = HandTime(), new_url()
    async with reconnecting(url, wireformat="json", first="later", clock=time.clock) as client:
        assert client.peer is None
        answers: list[int] = []

        async def call() -> None:
            answers.append(await client.remote(tools).call(Add(a=1, b=2)))

        async with anyio.create_task_group() as group:
            group.start_soon(call)
            await until(lambda: client.waiting == 1)
            await time.pass_by()
            async with serve(url, Tools().services, wireformat="json"):
                await time.pass_by()
                await until(lambda: answers == [3])


async def test_mistakes_are_told_where_they_are_made() -> None:
    """Before anything is entered: what `connect` refuses, and what it does not know."""
    with pytest.raises(UnknownScheme):
        reconnecting("pigeon://x", wireformat="json")
    with pytest.raises(UnknownWireFormat):
        reconnecting("mem://x", wireformat="smoke")
    with pytest.raises(ValueError, match="first="):
        reconnecting("mem://x", wireformat="json", first="soon")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="services="):
        reconnecting("mem://x", 7, wireformat="json")  # type: ignore[arg-type]


async def test_an_option_that_nobody_knows() -> None:
    """It is a mistake in the program, so it is raised as it is, and not tried again, whatever was said about the first."""
    seen = Seen()
    with pytest.raises(TypeError, match="does not know the option speed"):
        async with reconnecting("mem://x", wireformat="json", first="wait", on_event=seen, speed=9):
            raise AssertionError
    assert seen.attempts == 1


# -- the next ---------------------------------------------------------------------------------------------


async def test_it_connects_again_and_tells() -> None:
    """The server goes and comes back: a new connection is a new peer, and each step is told, to a callback and to observers."""
    seen, time = Seen(), HandTime()
    async with stage() as there:
        async with reconnecting(
            there.url,
            wireformat="json",
            on_event=seen,
            clock=time.clock,
            random=lambda: 1.0,
            backoff=Backoff(first=1, factor=3, longest=100),
        ) as client:
            events = client.events()
            one = client.peer
            assert one is not None
            assert client.info is one.info
            await there.stop()
            await until(is_disconnected(client))
            await time.pass_by()
            await until(lambda: len(seen.of(AttemptFailed)) == 1)
            await there.start()
            await time.pass_by()
            other = await connected_again(client, one)
            assert await client.remote(tools).call(Add(a=1, b=2)) == 3
            lost, again, failed, third, connected = [await anext(events) for _ in range(5)]
        assert isinstance(lost, Disconnected)
        assert lost.reason in (CloseReason.CLOSED_BY_REMOTE, CloseReason.TRANSPORT_FAILED)
        assert lost.next_in == 3.0
        assert (again, third) == (Connecting(2), Connecting(3))
        assert isinstance(failed, AttemptFailed)
        assert isinstance(failed.error, ConnectFailed)
        assert (failed.attempt, failed.next_in) == (2, 9.0)
        assert connected == Connected(3, other)
        assert [event async for event in events] == []
        assert seen.events == [Connecting(1), Connected(1, one), lost, again, failed, third, connected]
    assert time.sleeps == [3.0, 9.0]


async def test_to_close_the_peer_is_to_connect_again() -> None:
    """`await client.peer.close()`: a program that distrusts its connection gets another."""
    async with stage() as there:
        async with reconnecting(there.url, wireformat="json", clock=FastTime().clock) as client:
            one = client.peer
            assert one is not None
            await one.close()
            assert await connected_again(client, one) is await client.wait_connected()


async def test_services_are_served_on_each_connection() -> None:
    """The same ones, or new ones for each peer from a function: the server can always call."""
    here = Tools()
    made: list[Peer] = []

    def services_of(peer: Peer) -> Services:
        made.append(peer)
        return here.services

    async with stage() as there:
        for services in (here.services, services_of):
            async with reconnecting(there.url, services, wireformat="json", clock=FastTime().clock) as client:
                for _ in range(2):
                    await until(lambda: len(there.peers) == 1)
                    assert there.server is not None
                    theirs = await first_peer(there.server)
                    assert await theirs.remote(tools).call(Add(a=2, b=2)) == 4
                    before = client.peer
                    await theirs.close()
                    await connected_again(client, before)
            await until(lambda: not there.peers)
    assert len(made) == len(set(made)) == 3


async def test_a_function_for_services_that_fails() -> None:
    """That is a mistake in the program: it is not tried again."""

    def services_of(peer: Peer) -> Services:
        raise LookupError("no services today")

    async with stage() as there:
        with pytest.raises(LookupError, match="no services today"):
            async with reconnecting(there.url, services_of, wireformat="json", first="wait"):
                raise AssertionError


# -- on_connect -------------------------------------------------------------------------------------------


async def test_on_connect_comes_before_the_calls_that_wait() -> None:
    """On each connection: what it says arrives first, and only then those that waited."""
    there_tools = Tools()

    async def log_in(peer: Peer) -> None:
        await peer.remote(tools).call(Say(text="log in"))

    url = new_url()
    async with reconnecting(
        url, wireformat="json", first="later", on_connect=log_in, clock=FastTime().clock
    ) as client:
        remote = client.remote(tools)
        for _ in range(2):
            there_tools.said.clear()
            async with anyio.create_task_group() as group:
                for _ in range(5):
                    group.start_soon(remote.call, Say(text="waited"))
                await until(lambda: client.waiting == 5)
                async with serve(url, there_tools.services, wireformat="json"):
                    await there_tools.until(lambda: len(there_tools.said) == 6)
                    await until(lambda: not client.waiting)
            assert there_tools.said == ["log in"] + ["waited"] * 5
            await until(is_disconnected(client))


async def test_on_connect_may_be_a_plain_function() -> None:
    """As with `on_peer`."""
    arrived: list[Peer] = []
    async with stage() as there:
        async with reconnecting(there.url, wireformat="json", on_connect=arrived.append) as client:
            assert arrived == [client.peer]


async def test_on_connect_that_fails_is_a_failed_attempt() -> None:
    """Its connection is cut, the error is told as it is, and after a wait there is another attempt."""
    seen = Seen()
    failures = [ValueError("first"), KeyError("second")]

    def log_in(peer: Peer) -> None:
        if failures:
            raise failures.pop(0)

    async with stage() as there:
        async with reconnecting(
            there.url,
            wireformat="json",
            first="wait",
            on_connect=log_in,
            on_event=seen,
            clock=FastTime().clock,
        ):
            errors = [event.error for event in seen.of(AttemptFailed)]
            await until(lambda: len(there.peers) == 1)
    assert [repr(error) for error in errors] == ["ValueError('first')", "KeyError('second')"]
    assert seen.names == ["Connecting", "AttemptFailed"] * 2 + ["Connecting", "Connected"]


async def test_on_connect_that_fails_the_first_time() -> None:
    """Entering raises its error, as it raises that of a connection."""

    async def log_in(peer: Peer) -> None:
        raise PermissionError("who are you?")

    async with stage() as there:
        with pytest.raises(PermissionError, match="who are you"):
            async with reconnecting(there.url, wireformat="json", on_connect=log_in):
                raise AssertionError
        await until(lambda: not there.peers)


async def test_on_connect_ends_with_its_connection() -> None:
    """It waits for something that will never come, and the connection breaks: that is a failed attempt, and the hook is cancelled."""
    seen, cancelled = Seen(), list[bool]()

    async def log_in(peer: Peer) -> None:
        if seen.attempts == 1:
            try:
                await anyio.sleep_forever()
            finally:
                cancelled.append(True)

    async with stage() as there:
        async with reconnecting(
            there.url,
            wireformat="json",
            first="later",
            on_connect=log_in,
            on_event=seen,
            clock=FastTime().clock,
        ) as client:
            assert there.server is not None
            await (await first_peer(there.server)).close()
            await connected_again(client, None)
    assert cancelled == [True]
    assert seen.names == ["Connecting", "AttemptFailed", "Connecting", "Connected"]


async def test_a_user_who_is_refused() -> None:
    """What a login means only the program knows: `gives_up` says which of its errors are for good."""
    seen = Seen()

    class Refused(Exception):
        pass

    def log_in(peer: Peer) -> None:
        if seen.attempts > 1:
            raise Refused("wrong password")

    async with stage() as there:
        async with reconnecting(
            there.url,
            wireformat="json",
            on_connect=log_in,
            on_event=seen,
            clock=FastTime().clock,
            gives_up=lambda error: isinstance(error, Refused) or is_permanent(error),
        ) as client:
            assert client.peer is not None
            await client.peer.close()
            with pytest.raises(ReconnectFailed, match="wrong password") as caught:
                await client.wait_closed()
            assert isinstance(caught.value.error, Refused)
            assert caught.value.__cause__ is caught.value.error
    assert seen.attempts == 2
    assert seen.events[-1] == GaveUp(caught.value.error)


# -- leaving ----------------------------------------------------------------------------------------------


async def test_an_exception_of_the_block_goes_on_as_it_is() -> None:
    """Neither a group nor another, and its connection is cut."""
    error: BaseException
    for error in (ValueError("mine"), ExceptionGroup("mine", [ValueError("x")]), KeyboardInterrupt()):
        async with stage() as there:
            with pytest.raises(type(error)) as caught:
                async with reconnecting(there.url, wireformat="json"):
                    raise error
            assert caught.value is error
            await until(lambda there=there: not there.peers)  # type: ignore[misc]


async def test_what_was_sent_before_the_end_leaves() -> None:
    """Leaving the block closes the connection in good order: all that is in the outbox goes out, and then the end."""
    async with raw_server() as (url, accept):
        async with reconnecting(url, wireformat="json") as client:
            raw = await accept()
            for number in range(1000):
                await client.remote(tools).send(Say(text=str(number)))
        received = await raw.read_to_end()
    assert received.count(b'{"text":') == 1000


async def test_a_closed_client() -> None:
    """`close` ends all that waits, at once, and it connects no more; calls say so."""
    time = HandTime()
    async with stage() as there:
        async with reconnecting(there.url, wireformat="json", clock=time.clock) as client:
            await client.close("that is all")
            await client.wait_closed()
            with pytest.raises(ConnectionClosed, match="that is all") as caught:
                await client.remote(tools).call(Add(a=1, b=2))
            assert caught.value.reason is CloseReason.CLOSED_LOCALLY
            with pytest.raises(ConnectionClosed):
                await client.wait_connected()
            await client.close()
            assert [event async for event in client.events()] == []
        await until(lambda: not there.peers)
    assert time.sleeps == []


async def test_a_handler_closes_the_client() -> None:
    """It does not wait for itself, and its answer still goes out."""
    here = Services(tools)
    clients: list[Any] = []

    async def add(msg: Add) -> int:
        await clients[0].close("a handler says so", grace=5)
        return msg.a

    here.handler(Add, add)
    async with stage() as there:
        async with reconnecting(there.url, here, wireformat="json") as client:
            clients.append(client)
            assert there.server is not None
            theirs = await first_peer(there.server)
            assert await theirs.remote(tools).call(Add(a=7, b=0)) == 7
            await client.wait_closed()


async def test_types_that_the_wire_format_can_not_carry() -> None:
    """Told when the remote is made, connected or not."""
    from duologue import Message, Namespace

    class Odd(Message[None]):
        what: complex

    async with reconnecting(new_url(), wireformat="json", first="later", clock=HandTime().clock) as client:
        with pytest.raises(RegistrationError):
            client.remote(Namespace("odd", [Odd]))


async def test_cancelled_at_any_moment() -> None:
    """Cancelled after any number of steps, in the middle of connecting, of the hook, of a call or of leaving: the server is
    rid of its peer each time, and can serve the next.
    """

    async def log_in(peer: Peer) -> None:
        await peer.remote(tools).call(Add(a=0, b=0))

    async with stage() as there:
        done, steps = anyio.Event(), 0
        while not done.is_set():
            done, steps = anyio.Event(), steps + 1
            async with anyio.create_task_group() as group:

                async def use(done: anyio.Event = done) -> None:
                    async with reconnecting(there.url, wireformat="json", on_connect=log_in) as client:
                        assert await client.remote(tools).call(Add(a=1, b=2)) == 3
                    done.set()

                group.start_soon(use)
                await turn(steps)
                group.cancel_scope.cancel()
            await until(lambda: not there.peers)
    assert steps > 10, "it was cancelled in the middle of all that"


async def test_nothing_is_left_of_former_connections() -> None:
    """A hundred connections later there is one peer, and one task that keeps it."""
    former: weakref.WeakSet[Peer] = weakref.WeakSet()
    async with stage() as there:
        async with reconnecting(
            there.url, wireformat="json", on_connect=former.add, clock=FastTime().clock
        ) as client:
            for _ in range(100):
                peer = await client.wait_connected()
                await peer.close()
                await connected_again(client, peer)
            del peer
            await until(lambda: len(there.peers) == 1)
            collect()
            assert len(set(former) - {client.peer}) <= 1, "an event loop may still have the last one"
    collect()
    assert not former
