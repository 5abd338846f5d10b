"""How a client ends: its block is left, it is closed, it is cancelled; and nothing is left of it."""

from __future__ import annotations

import weakref
from typing import Any

import anyio
import pytest
from tests.adapters.common import Add, Say, collect, first_peer, raw_server, tools, turn, until
from tests.contrib.reconnect.stage import (
    FastTime,
    HandTime,
    connected_again,
    new_url,
    stage,
)

from duologue import (
    CloseReason,
    ConnectionClosed,
    Peer,
    RegistrationError,
    Services,
)
from duologue_contrib.reconnect import (
    reconnecting,
)


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


async def test_a_mistake_in_what_decides() -> None:
    """`gives_up` itself raises: the block is cancelled, its calls end, and the error comes out as it is."""

    def decide(error: Exception) -> bool:
        raise LookupError("no decision")

    with pytest.raises(LookupError, match="no decision"):
        async with reconnecting(
            new_url(), wireformat="json", first="later", clock=HandTime().clock, gives_up=decide
        ) as client:
            await client.remote(tools).call(Add(a=1, b=2), timeout=None)
            raise AssertionError
    with pytest.raises(ConnectionClosed):
        await client.remote(tools).call(Add(a=1, b=2))
