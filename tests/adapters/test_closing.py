"""How connections end: from either end, by a handler, with grace, by accident; and what whoever waits is told."""

from __future__ import annotations

import math

import anyio
import pytest
from tests.adapters.common import (
    RESPONSE_SID,
    Add,
    Hold,
    Say,
    State,
    Tools,
    closed_event,
    connected,
    events_of,
    first_peer,
    frame,
    raw_client,
    tools,
    turn,
    until,
)

from duologue import (
    CallError,
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    Context,
    Executed,
    Limits,
    Message,
    Namespace,
    Peer,
    PeerClosed,
    RemoteError,
    Services,
    connect,
    serve,
)

ENOUGH = 5.0
"""Seconds of grace that are never needed."""


async def test_each_end_learns_who_closed(url: str) -> None:
    """The one that closes: closed locally; the other: closed by remote. Each is told exactly once, with the reason given."""
    async with connected(url) as (client, server), anyio.create_task_group() as group:
        ends: dict[str, list[PeerClosed]] = {}

        async def watch(name: str, peer: Peer) -> None:
            ends[name] = [event for event in await events_of(peer) if isinstance(event, PeerClosed)]

        group.start_soon(watch, "client", client)
        group.start_soon(watch, "server", server)
        await turn(3)
        await client.close("enough")
        assert await client.wait_closed() is CloseReason.CLOSED_LOCALLY
        assert await server.wait_closed() is CloseReason.CLOSED_BY_REMOTE
        assert not client.is_open
        await until(lambda: len(ends) == 2)
        [here], [there] = ends["client"], ends["server"]
        assert (here.reason, here.detail) == (CloseReason.CLOSED_LOCALLY, "enough")
        assert there.reason is CloseReason.CLOSED_BY_REMOTE


@pytest.mark.fault(55)
async def test_closed_from_both_ends_and_twice(url: str) -> None:
    """Closed from both ends at once, several times over: each end has one end, and nobody waits long."""
    for passes in range(6):
        async with connected(url) as (client, server):
            with anyio.fail_after(5):
                async with anyio.create_task_group() as group:
                    group.start_soon(client.close)
                    await turn(passes)
                    group.start_soon(server.close)
                    group.start_soon(client.close)
                    group.start_soon(server.wait_closed)
                await client.close(grace=1)
            for peer in (client, server):
                assert [type(event) for event in await events_of(peer)] == [PeerClosed]


class Quit(Message[str]):
    grace: float


closing = Namespace("closing", [Quit])


@pytest.mark.fault(55)
async def test_closed_by_a_handler(url: str) -> None:
    """A handler closes its own peer: it does not wait for itself; with grace its own answer still goes out."""
    services = Services(closing)
    went_on: list[str] = []

    @services.handler
    async def quit_(msg: Quit, ctx: Context) -> str:
        await ctx.peer.close("a handler said so", grace=msg.grace)
        went_on.append("closed")
        await turn(3)
        return "bye"

    async with connected(url, services) as (client, server):
        assert await client.remote(closing).call(Quit(grace=ENOUGH)) == "bye"
        assert await server.wait_closed() is CloseReason.CLOSED_LOCALLY
    async with connected(url, services) as (client, server):
        with pytest.raises(RemoteError):
            await client.remote(closing).call(Quit(grace=0))
        event = await closed_event(server)
        assert (event.reason, event.detail) == (CloseReason.CLOSED_LOCALLY, "a handler said so")
        await until(lambda: State(server).is_idle)
    assert went_on[0] == "closed"


@pytest.mark.fault(56)
async def test_calls_after_the_end(url: str) -> None:
    """A call or a send on a connection that is closed, or closing: `ConnectionClosed` at once, executed: no."""
    there, here = Tools(), Tools()
    async with connected(url, there.services, here.services) as (client, server):
        async with anyio.create_task_group() as group:
            group.start_soon(swallow, server, Hold())
            await here.until(lambda: here.running == 1)
            group.start_soon(lambda: client.close(grace=ENOUGH))
            await refused(client)
            here.release.set()
        await client.wait_closed()
        await server.wait_closed()
        await refused(client)
        await refused(server, CloseReason.CLOSED_BY_REMOTE)


async def swallow(peer: Peer, message: Message[str]) -> None:
    """Call, whatever comes of it."""
    try:
        await peer.remote(tools).call(message)
    except CallError:
        pass


async def refused(peer: Peer, reason: CloseReason = CloseReason.CLOSED_LOCALLY) -> None:
    while peer.is_open:
        await turn()
    for _ in range(3):
        with anyio.fail_after(1):
            with pytest.raises(ConnectionClosed) as caught:
                await peer.remote(tools).call(Add(a=1, b=2), timeout=None)
            assert (caught.value.executed, caught.value.reason) == (Executed.NO, reason)
            with pytest.raises(ConnectionClosed):
                await peer.remote(tools).send(Say(text=""), timeout=None)


@pytest.mark.fault(57)
async def test_grace(url: str) -> None:
    """Closing with grace: our own calls fail first, handlers run on, their answers still arrive, new calls are refused."""
    there, here = Tools(), Tools()
    async with connected(url, there.services, here.services) as (client, server):
        answers: list[str] = []

        async def call(name: str) -> None:
            answers.append(await client.remote(tools).call(Hold(name=name)))

        async with anyio.create_task_group() as group:
            group.start_soon(call, "one")
            group.start_soon(call, "two")
            await there.until(lambda: there.running == 2)
            group.start_soon(lambda: server.close("going", grace=ENOUGH))
            with pytest.raises(ConnectionClosed):
                await server.remote(tools).call(Hold())
            with pytest.raises(RemoteError):
                await client.remote(tools).call(Add(a=1, b=1))
            assert there.running == 2
            assert "grace" in repr(server)
            there.release.set()
        assert sorted(answers) == ["one", "two"]
        assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE


@pytest.mark.fault(57)
async def test_grace_fails_our_own_calls_first(url: str) -> None:
    """A call of ours that waits when we close with grace ends at once: `ConnectionClosed`, and it may have run."""
    there, here = Tools(), Tools()
    async with connected(url, there.services, here.services) as (client, server):
        ended: list[str] = []

        async def own_call() -> None:
            with pytest.raises(ConnectionClosed) as caught:
                await server.remote(tools).call(Hold(name="ours"))
            assert caught.value.executed is Executed.UNKNOWN
            ended.append("own call")

        async def close() -> None:
            await server.close(grace=ENOUGH)
            ended.append("close")

        async with anyio.create_task_group() as group:
            group.start_soon(own_call)
            group.start_soon(swallow, client, Hold(name="theirs"))
            await here.until(lambda: here.running == 1)
            await there.until(lambda: there.running == 1)
            group.start_soon(close)
            await until(lambda: ended == ["own call"])
            there.release.set()
        assert ended == ["own call", "close"]


@pytest.mark.fault(57, 44)
async def test_grace_has_an_end(url: str) -> None:
    """Handlers that are not done when the grace is over are cancelled, their callers are told, and the connection closes."""
    there = Tools()
    async with connected(url, there.services) as (client, server):
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(RemoteError):
                    await client.remote(tools).call(Hold(name="slow"), timeout=None)

            group.start_soon(call)
            await there.until(lambda: there.running == 1)
            await server.close(grace=0.05)
        assert there.cancelled == ["slow"]
        await until(lambda: State(server).is_idle)


@pytest.mark.parametrize("grace", [-1, math.nan])
async def test_a_grace_that_is_none(grace: float) -> None:
    """A grace below 0, or not a number: `ValueError`, and the connection stays."""
    there = Tools()
    async with connected("mem://grace", there.services) as (client, _):
        with pytest.raises(ValueError, match="grace"):
            await client.close(grace=grace)
        assert await client.remote(tools).call(Add(a=1, b=1)) == 2


@pytest.mark.fault(8, 41)
async def test_the_remote_vanishes(url: str) -> None:
    """The other end aborts while calls are out: each ends at once with `ConnectionLost`, and handlers are cancelled."""
    there, here = Tools(), Tools()
    async with connected(url, there.services, here.services) as (client, server):
        errors: list[ConnectionLost] = []

        async def call(number: int) -> None:
            with pytest.raises(ConnectionLost) as caught:
                await client.remote(tools).call(Hold(name=str(number)))
            errors.append(caught.value)

        async with anyio.create_task_group() as group:
            for number in range(10):
                group.start_soon(call, number)
            group.start_soon(swallow, server, Hold(name="back"))
            await there.until(lambda: there.running == 10)
            await here.until(lambda: here.running == 1)
            server.abort()  # type: ignore[attr-defined]
        assert len(errors) == 10
        assert {error.executed for error in errors} == {Executed.UNKNOWN}
        await until(lambda: len(there.cancelled) == 10 and here.cancelled == ["back"])
        await until(lambda: State(client).is_idle and State(server).is_idle)


@pytest.mark.fault(7)
async def test_an_end_in_the_middle_of_a_frame() -> None:
    """The stream ends inside a frame: truncated, which is not a clean end."""
    there = Tools()
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="json") as server:
        async with raw_client(server.url) as raw:
            peer = await first_peer(server)
            await raw.send(frame(tools.sid(Say), 0, b'{"text":"x"}')[:-3])
            raw.end_writing()
            event = await closed_event(peer)
        assert event.reason is CloseReason.TRUNCATED
        assert "33 of 36 bytes" in event.detail


@pytest.mark.fault(52)
@pytest.mark.parametrize("eof_grace", [0.0, ENOUGH])
async def test_a_remote_that_half_closes(eof_grace: float) -> None:
    """The remote ends its half and reads on: handlers are cancelled, or, if they are given time, their answers still arrive."""
    there = Tools()
    limits = Limits(eof_grace=eof_grace)
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="json", limits=limits) as server:
        async with raw_client(server.url) as raw:
            await raw.send(frame(tools.sid(Hold), 7, b'{"name":"half"}'))
            await there.until(lambda: there.running == 1)
            peer = await first_peer(server)
            raw.end_writing()
            if eof_grace:
                await until(lambda: not peer.is_open)
                there.release.set()
                assert await raw.read_to_end() == frame(RESPONSE_SID, 7, b'"half"')
            else:
                await there.until(lambda: there.cancelled == ["half"])
                answer = await raw.read_to_end()
                assert answer[8:24] == frame(0, 7)[8:24]
        assert await peer.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_a_reset_while_closing() -> None:
    """The remote resets the connection in the very moment in which we close it: that is the end, and nothing escapes."""
    there = Tools()
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="json") as server:
        for passes in range(8):
            async with raw_client(server.url) as raw:
                await raw.send(frame(tools.sid(Add), 1, b'{"a":1,"b":2}'))
                await raw.frame()
                [peer] = server.peers
                raw.reset()
                await turn(passes)
                with anyio.fail_after(5):
                    await peer.close()


async def test_the_last_answers_arrive() -> None:
    """Closing with grace right behind large answers: they arrive whole, though the remote goes on sending meanwhile."""
    there = Tools()
    async with connected("tcp://127.0.0.1:0", there.services) as (client, server):
        lengths: list[int] = []

        async def call() -> None:
            lengths.append(len(await client.remote(tools).call(Hold(name="x" * 900_000))))

        async def chatter() -> None:
            with pytest.raises(CallError):
                while True:
                    await client.remote(tools).send(Say(text="x" * 1000))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(call)
            group.start_soon(chatter)
            await there.until(lambda: there.running == 5)
            there.release.set()
            await server.close(grace=ENOUGH)
        assert lengths == [900_000] * 5


async def test_waiting_for_the_end_can_be_given_up(url: str) -> None:
    """Whoever waits for the end, and is cancelled, leaves nothing behind; others still learn it, also afterwards."""
    async with connected(url) as (client, server):
        for _ in range(100):
            with anyio.CancelScope() as scope:
                scope.cancel()
                await client.wait_closed()
        assert len(client._close_waiters) == 0  # type: ignore[attr-defined]
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(client.wait_closed)
            await turn(2)
            await server.close()
        assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_a_close_that_is_cancelled(url: str) -> None:
    """A cancelled `close` has closed nevertheless: only the waiting for it was given up."""
    there = Tools()
    async with connected(url, there.services) as (client, server):
        with anyio.move_on_after(0):
            await client.close()
        assert not client.is_open
        assert await server.wait_closed() is CloseReason.CLOSED_BY_REMOTE
        assert await client.wait_closed() is CloseReason.CLOSED_LOCALLY


async def test_a_remote_that_does_not_hang_up() -> None:
    """We close, and the remote neither reads nor closes: after the time for dropping its input it is cut off."""
    limits = Limits(discard_timeout=0.05)
    async with serve("tcp://127.0.0.1:0", wireformat="json", limits=limits) as server, raw_client(server.url):
        peer = await first_peer(server)
        with anyio.fail_after(5):
            await peer.close()
        assert await peer.wait_closed() is CloseReason.CLOSED_LOCALLY


@pytest.mark.fault(42)
@pytest.mark.parametrize("what", ["answers", "close"])
async def test_a_remote_that_does_not_read(what: str) -> None:
    """Answers that the remote does not read: it is cut off as stalled; one that blocks our closing, when its time is over."""
    there = Tools()
    limits = Limits(answers_stalled=0.3, close_timeout=0.3)
    async with (
        serve("tcp://127.0.0.1:0", there.services, wireformat="json", limits=limits) as server,
        raw_client(server.url) as raw,
    ):
        peer = await first_peer(server)
        name = b'{"name":"' + b"x" * 500_000 + b'"}'
        for number in range(1, 30):
            await raw.send(frame(tools.sid(Hold), number, name))
        await there.until(lambda: there.running == 29)
        there.release.set()
        with anyio.fail_after(10):
            if what == "answers":
                assert await peer.wait_closed() is CloseReason.WRITE_STALLED
            else:
                await until(lambda: State(peer).queued > 0)
                await peer.close()
                assert await peer.wait_closed() is CloseReason.CLOSED_LOCALLY


async def test_connections_of_a_closed_peer_can_be_made_again(url: str) -> None:
    """A name or port that was served is free again as soon as the server has closed."""
    there = Tools()
    async with serve(url, there.services, wireformat="json") as server:
        again = server.url
        async with connect(again, wireformat="json") as peer:
            await server.close()
            await peer.wait_closed()
        async with (
            serve(again, there.services, wireformat="json") as second,
            connect(second.url, wireformat="json") as peer,
        ):
            assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
