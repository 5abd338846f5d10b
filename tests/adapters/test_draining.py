"""Draining a peer or a server: what was accepted is answered, nothing new begins, and then it ends."""

from __future__ import annotations

import anyio
import pytest
from tests.adapters.common import Add, Hold, Say, Tools, closed_event, connected, tools, turn, until

from duologue import (
    CloseReason,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    Context,
    Executed,
    Limits,
    Message,
    Namespace,
    PeerClosed,
    RemoteError,
    Services,
    connect,
    serve,
)

ENOUGH = 30.0
"""Seconds that are never needed."""


async def test_a_peer_is_drained(url: str) -> None:
    """Its handler ends and answers, its own call is answered; its remote's new calls are refused, its own are not made."""
    here, there = Tools(), Tools()
    async with connected(url, there.services, here.services) as (client, server):
        drained: list[bool] = []
        answers: list[str] = []

        async def hold(peer_name: str) -> None:
            peer = client if peer_name == "client" else server
            answers.append(await peer.remote(tools).call(Hold(name=peer_name)))

        async def drain() -> None:
            drained.append(await server.drain("an update", timeout=ENOUGH))

        async with anyio.create_task_group() as group:
            group.start_soon(hold, "client")
            group.start_soon(hold, "server")
            await until(lambda: here.running == there.running == 1)
            group.start_soon(drain)
            await until(lambda: not server.is_open)
            assert "draining" in repr(server)
            with pytest.raises(RemoteError):
                await client.remote(tools).call(Add(a=1, b=2))
            with pytest.raises(ConnectionClosed) as caught:
                await server.remote(tools).call(Add(a=1, b=2))
            assert (caught.value.executed, caught.value.detail) == (Executed.NO, "draining: an update")
            with pytest.raises(ConnectionClosed):
                await server.remote(tools).send(Say(text="no"))
            await client.remote(tools).send(Say(text="still heard"))
            await there.until(lambda: there.said == ["still heard"])
            there.release.set()
            await until(lambda: answers == ["client"])
            assert drained == []
            here.release.set()
        assert (answers, drained) == (["client", "server"], [True])
        assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE
        event = await closed_event(server)
        assert (event.reason, event.detail) == (CloseReason.CLOSED_LOCALLY, "an update")
        assert await server.drain() is True, "it is drained, and stays so"


class Roundabout(Message[int]):
    pass


roundabout = Namespace("roundabout", [Roundabout])


async def test_a_handler_may_ask_while_its_peer_drains(url: str) -> None:
    """What was accepted may need the remote to come to its end: calls and sends in its handler are made as ever."""
    services, here = Services(roundabout), Tools()
    begun, go_on = anyio.Event(), anyio.Event()

    @services.handler
    async def ask(msg: Roundabout, ctx: Context) -> int:
        begun.set()
        await go_on.wait()
        await ctx.peer.remote(tools).send(Say(text="by the way"))
        return await ctx.peer.remote(tools).call(Add(a=20, b=22))

    async with connected(url, services, here.services) as (client, server):
        async with anyio.create_task_group() as group:

            async def call() -> None:
                assert await client.remote(roundabout).call(Roundabout()) == 42

            group.start_soon(call)
            await begun.wait()
            group.start_soon(server.drain)
            await until(lambda: not server.is_open)
            go_on.set()
        await here.until(lambda: here.said == ["by the way"])
        assert await server.drain()


async def test_time_is_over(url: str) -> None:
    """Then it is as a close without grace, and who asked for it is told that not all had ended; so is who watches."""
    there = Tools()
    async with connected(url, there.services) as (client, server):
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(RemoteError):
                    await client.remote(tools).call(Hold())

            group.start_soon(call)
            await there.until(lambda: there.running == 1)
            assert not await server.drain("an update", timeout=0.05)
        assert there.cancelled == [""]
        assert (await closed_event(server)).detail == "an update, and not drained in time"


async def test_how_long_it_may_take_by_default(url: str) -> None:
    """`Limits.drain_timeout`; and 0 seconds are no time at all."""
    there = Tools()
    async with connected(url, there.services, limits=Limits(drain_timeout=0.05)) as (client, server):
        await client.remote(tools).send(Hold())
        await there.until(lambda: there.running == 1)
        assert not await server.drain()
    async with connected(url, there.services) as (client, server):
        await client.remote(tools).send(Hold())
        await there.until(lambda: there.running == 1)
        assert not await server.drain(timeout=0)
    assert there.cancelled == ["", ""]


async def test_a_connection_that_is_lost_while_it_drains(url: str) -> None:
    """It was not drained, and the reason says what happened instead."""
    there = Tools()
    async with connected(url, there.services) as (client, server):
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises((ConnectionLost, ConnectionClosed)):
                    await client.remote(tools).call(Hold())

            async def drain() -> None:
                assert not await server.drain(timeout=None)

            group.start_soon(call)
            await there.until(lambda: there.running == 1)
            group.start_soon(drain)
            await until(lambda: not server.is_open)
            await client.close()
        assert await server.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_a_handler_drains_its_own_peer(url: str) -> None:
    """It does not wait for itself: it has still to answer, and so it can't know whether all will have ended."""
    services = Services(roundabout)

    @services.handler
    async def drain(msg: Roundabout, ctx: Context) -> int:
        assert not await ctx.peer.drain()
        await turn(3)
        return 1

    async with connected(url, services) as (client, server):
        assert await client.remote(roundabout).call(Roundabout()) == 1
        assert await server.wait_closed() is CloseReason.CLOSED_LOCALLY
        assert await server.drain()


async def test_who_waits_for_it_is_cancelled(url: str) -> None:
    """It goes on by itself."""
    there = Tools()
    async with connected(url, there.services) as (client, server):
        await client.remote(tools).send(Hold())
        await there.until(lambda: there.running == 1)
        async with anyio.create_task_group() as group:

            async def drain() -> None:
                await server.drain(timeout=None)

            group.start_soon(drain)
            await until(lambda: not server.is_open)
            group.cancel_scope.cancel()
        assert not there.cancelled
        there.release.set()
        assert await server.wait_closed() is CloseReason.CLOSED_LOCALLY
    assert there.ended == [""]


async def test_a_time_that_is_none(url: str) -> None:
    """`ValueError`, and nothing is stopped."""
    async with serve(url, Tools().services, wireformat="json") as server:
        async with connect(server.url, wireformat="json") as peer:
            for each in (peer, server):
                with pytest.raises(ValueError, match="seconds"):
                    await each.drain(timeout=-1)
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3


async def test_a_server_is_drained(url: str) -> None:
    """All its peers at the same time. Nobody can connect any more, and those who have nothing to do are told at once."""
    there = Tools()
    async with serve(url, there.services, wireformat="json") as server, anyio.create_task_group() as group:
        reasons: list[CloseReason] = []

        async def busy() -> None:
            async with connect(server.url, wireformat="json") as peer:
                assert await peer.remote(tools).call(Hold(name="busy")) == "busy"
                reasons.append(await peer.wait_closed())

        async def idle() -> None:
            async with connect(server.url, wireformat="json") as peer:
                reasons.append(await peer.wait_closed())

        for client in (busy, busy, idle):
            group.start_soon(client)
        await until(lambda: there.running == 2 and len(tuple(server.peers)) == 3)
        drained: list[bool] = []

        async def drain() -> None:
            drained.append(await server.drain(timeout=ENOUGH))

        group.start_soon(drain)
        await until(lambda: len(reasons) == 1)
        with pytest.raises((ConnectFailed, ConnectionLost, ConnectionClosed)):
            async with connect(
                server.url, wireformat="json", limits=Limits(handshake_timeout=1, call_timeout=5)
            ) as peer:
                await peer.remote(tools).call(Add(a=1, b=2))
        there.release.set()
        await server.wait_closed()
        await until(lambda: len(reasons) == 3 and drained == [True])
        assert set(reasons) == {CloseReason.CLOSED_BY_REMOTE}


async def test_a_server_with_one_peer_that_takes_too_long(url: str) -> None:
    """The others were drained, this one was not: so the server was not."""
    there = Tools()
    async with serve(url, there.services, wireformat="json") as server:
        async with (
            connect(server.url, wireformat="json") as peer,
            connect(server.url, wireformat="json"),
        ):
            await peer.remote(tools).send(Hold())
            await there.until(lambda: there.running == 1)
            await until(lambda: len(tuple(server.peers)) == 2)
            assert not await server.drain(timeout=0.05)
        assert there.cancelled == [""]


@pytest.mark.parametrize("how", ["drain", "close"])
async def test_a_server_says_why(url: str, how: str) -> None:
    """What it was given as the reason, or that the server closes: in the last event of each of its peers."""
    for reason in ("an update", None):
        async with serve(url, Tools().services, wireformat="json") as server:
            async with connect(server.url, wireformat="json") as client:
                await until(lambda: len(tuple(server.peers)) == 1)
                (peer,) = server.peers
                end = server.drain if how == "drain" else server.close
                await (end() if reason is None else end(reason))
                last = await closed_event(peer)
                assert last.reason is CloseReason.CLOSED_LOCALLY
                assert last.detail == (reason or "the server closes")
                await client.wait_closed()


async def test_a_server_without_peers(url: str) -> None:
    """There is nothing to wait for."""
    async with serve(url, Tools().services, wireformat="json") as server:
        assert await server.drain()
        await server.wait_closed()


async def test_a_handler_drains_the_server(url: str) -> None:
    """It does not wait for itself, and its answer goes out."""
    services = Services(roundabout)
    async with serve(url, services, wireformat="json") as server:

        @services.handler
        async def drain(msg: Roundabout) -> int:
            assert not await server.drain(timeout=ENOUGH)
            return 1

        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(roundabout).call(Roundabout()) == 1
            assert isinstance((await closed_event(peer)), PeerClosed)
        await server.wait_closed()
