"""The first connection, those that follow, and what is told."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from tests.adapters.common import Add, Tools, first_peer, tools, until
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
    Peer,
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
    wrong: Any
    for wrong in ({"on_connect": "login"}, {"on_event": 7}, {"gives_up": True}, {"backoff": 0.1}):
        # Each attempt would fail of it, and be followed by another.
        with pytest.raises(TypeError, match=rf"{next(iter(wrong))}=.*: give "):
            reconnecting("mem://x", wireformat="json", **wrong)


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
