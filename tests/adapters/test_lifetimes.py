"""What surrounds a connection: blocks that fail or are cancelled, loops that end, handlers that never do."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable

import anyio
import anyio.lowlevel
import pytest
from tests.adapters.common import (
    Add,
    Fail,
    Hold,
    Say,
    State,
    Tools,
    connected,
    tools,
    turn,
    until,
)

from duologue import (
    CallError,
    CloseReason,
    ConnectionClosed,
    Context,
    Limits,
    Message,
    Namespace,
    Peer,
    Server,
    Services,
    connect,
    serve,
)


class Trouble(Exception):
    """In the user's block."""


@pytest.mark.parametrize("make", [Trouble, lambda: ExceptionGroup("two", [Trouble(), Trouble()])])
async def test_an_exception_in_the_block_of_a_server(url: str, make: Callable[[], Exception]) -> None:
    """It comes out as it is, in no group of ours; clients are cut off, and their calls end."""
    trouble, there = make(), Tools()

    async def client(address: str) -> None:
        async with connect(address, wireformat="json") as peer:
            await lost(peer)

    async with anyio.create_task_group() as group:
        with pytest.raises(type(trouble)) as caught:
            async with serve(url, there.services, wireformat="json") as server:
                group.start_soon(client, server.url)
                await there.until(lambda: there.running == 1)
                raise trouble
    assert caught.value is trouble
    assert there.cancelled == [""]


@pytest.mark.parametrize("make", [Trouble, lambda: ExceptionGroup("two", [Trouble(), Trouble()])])
async def test_an_exception_straight_through(url: str, make: Callable[[], Exception]) -> None:
    """The innermost block raises while handlers run: the very exception comes out of all three blocks."""
    trouble, there = make(), Tools()
    with pytest.raises(type(trouble)) as caught:
        async with serve(url, there.services, wireformat="json") as server:
            async with connect(server.url, wireformat="json") as one:
                async with connect(server.url, wireformat="json"):
                    await one.remote(tools).send(Hold())
                    await there.until(lambda: there.running == 1)
                    raise trouble
    assert caught.value is trouble
    assert there.cancelled == [""]


async def test_a_block_that_is_cancelled(url: str) -> None:
    """Cancelled in any of its awaits: the connection is cut, the other end learns it, and nothing is left behind."""
    there = Tools()
    async with serve(url, there.services, wireformat="json") as server:
        for passes in range(40):
            async with anyio.create_task_group() as group:

                async def block() -> None:
                    async with connect(server.url, wireformat="json") as peer:
                        await peer.remote(tools).call(Add(a=1, b=1))
                        await peer.remote(tools).call(Hold())

                group.start_soon(block)
                await turn(passes)
                group.cancel_scope.cancel()
            await until(lambda: not tuple(server.peers))
        await until(lambda: there.running == 0)


async def test_a_server_that_is_cancelled(url: str) -> None:
    """The same for a server's block: its listener is gone, so the name or port can be served again."""
    there = Tools()
    address = url

    async def block(task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED) -> None:
        async with serve(address, there.services, wireformat="json") as server:
            task_status.started(server.url)
            await anyio.sleep_forever()

    for passes in range(20):
        async with anyio.create_task_group() as group:
            address = await group.start(block)
            with anyio.CancelScope(shield=True):
                async with connect(address, wireformat="json") as peer:
                    await turn(passes)
                    group.cancel_scope.cancel()
                    reason = await peer.wait_closed()
        assert reason in (CloseReason.CLOSED_BY_REMOTE, CloseReason.TRANSPORT_FAILED)


async def test_connecting_when_cancelled_already(url: str) -> None:
    """`connect` and `serve` in a scope that is cancelled already end at once, and leave nothing that runs."""
    async with serve(url, wireformat="json") as server:
        for _ in range(3):
            with anyio.fail_after(5), anyio.CancelScope() as scope:
                scope.cancel()
                async with connect(server.url, wireformat="json") as peer:
                    await peer.wait_closed()
            with anyio.fail_after(5), anyio.CancelScope() as scope:
                scope.cancel()
                address = url if url.startswith("tcp") else f"{url}-cancelled"
                async with serve(address, wireformat="json") as other:
                    await other.wait_closed()
        await until(lambda: not tuple(server.peers))


async def test_leaving_a_block_when_its_time_is_over(url: str) -> None:
    """The scope around a block ends while the block is left: closing goes on to its end, shielded, and then it is told."""
    here, there = Tools(), Tools()
    async with serve(url, there.services, wireformat="json") as server:
        with anyio.CancelScope() as scope:
            async with connect(server.url, here.services, wireformat="json") as peer:
                assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
                scope.cancel()
            await anyio.lowlevel.checkpoint()
            raise AssertionError("it was cancelled")
        assert scope.cancelled_caught
        assert await peer.wait_closed() is CloseReason.CLOSED_LOCALLY


class Through(Message[int]):
    url: str
    number: int


relays = Namespace("relays", [Through])


async def test_a_handler_that_connects(url: str) -> None:
    """A handler opens a connection of its own and calls through it, several levels deep: each closes what it opened."""
    services = Services(relays)

    @services.handler
    async def through(msg: Through, ctx: Context) -> int:
        if msg.number == 0:
            return 1
        async with connect(msg.url, wireformat="json") as peer:
            return 1 + await peer.remote(relays).call(Through(url=msg.url, number=msg.number - 1))

    async with serve(url, services, wireformat="json", limits=Limits(calls=1)) as server:
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(relays).call(Through(url=server.url, number=10)) == 11
        await until(lambda: not tuple(server.peers))


async def test_a_handler_that_is_cancelled_while_it_connects(url: str) -> None:
    """Its peer goes away: the handler, and the connection that it holds, end with it."""
    inner = Tools()
    services = Services(tools)

    async def nested(msg: Hold) -> str:
        async with connect(address, wireformat="json") as peer:
            return await peer.remote(tools).call(Hold(name="inner"))

    services.handler(Hold, nested)
    async with serve("mem://inner", inner.services, wireformat="json") as target:
        address = target.url
        async with connected(url, services) as (client, server):
            async with anyio.create_task_group() as group:
                group.start_soon(lost, client)
                await inner.until(lambda: inner.running == 1)
                await client.close()
            await inner.until(lambda: inner.cancelled == ["inner"])
            await until(lambda: State(server).is_idle)
        await until(lambda: not tuple(target.peers))


async def lost(peer: Peer) -> None:
    with pytest.raises(CallError):
        await peer.remote(tools).call(Hold())


@pytest.mark.fault(59)
async def test_a_handler_that_fails_while_it_is_cancelled(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Its tasks raise as they are cancelled, in groups of all sorts: that ends nobody but the handler."""
    caplog.set_level(logging.CRITICAL, "duologue")
    services = Services(tools)
    running = anyio.Event()

    @services.handler
    async def hold(msg: Hold) -> str:
        async def child() -> None:
            try:
                running.set()
                await anyio.sleep_forever()
            finally:
                raise Trouble

        async with anyio.create_task_group() as group:
            group.start_soon(child)
            group.start_soon(child)
            await anyio.sleep_forever()
        return ""

    @services.handler
    async def add(msg: Add) -> int:
        return msg.a + msg.b

    async with serve(url, services, wireformat="json") as server:
        async with connect(server.url, wireformat="json") as victim, anyio.create_task_group() as group:
            group.start_soon(lost, victim)
            await running.wait()
            victim.abort()  # type: ignore[attr-defined]
        await until(lambda: not tuple(server.peers))
        async with connect(server.url, wireformat="json") as other:
            assert await other.remote(tools).call(Add(a=1, b=1)) == 2


async def test_a_handler_that_does_not_want_to_end(url: str) -> None:
    """A handler takes its time when it is cancelled: the connection closes all the same, and the permit comes back at its end."""
    services = Services(tools)
    running, may_end = anyio.Event(), anyio.Event()

    @services.handler
    async def hold(msg: Hold) -> str:
        try:
            running.set()
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await may_end.wait()
        return ""

    async with connected(url, services) as (client, server):
        async with anyio.create_task_group() as group:
            group.start_soon(lost, client)
            await running.wait()
            await client.close()
        await server.wait_closed()
        assert State(server).permits == 1
        may_end.set()
        await until(lambda: State(server).is_idle)


async def test_leaving_while_threads_run(url: str) -> None:
    """A handler in a thread outlives its server: leaving does not wait for it, and what it does later harms nobody."""
    services = Services(tools)
    began, may_end, ended = threading.Event(), threading.Event(), threading.Event()

    @services.handler
    def hold(msg: Hold) -> str:
        began.set()
        may_end.wait(30)
        ended.set()
        return ""

    try:
        with anyio.fail_after(10):
            async with connected(url, services) as (client, _), anyio.create_task_group() as group:
                group.start_soon(lost, client)
                await until(began.is_set)
                await client.close()
        assert not ended.is_set()
    finally:
        may_end.set()
    await until(ended.is_set)
    await turn(5)


@pytest.mark.fault(62)
@pytest.mark.parametrize("python_flags", [["-W", "error", "-X", "dev"]])
@pytest.mark.parametrize("backend", ["asyncio", "uvloop", "trio"])
def test_the_loop_ends_while_peers_are_open(backend: str, python_flags: list[str]) -> None:
    """The main task is cancelled, or fails, with open peers and running handlers: no warning, nothing pending, no word."""
    result = subprocess.run(
        [sys.executable, *python_flags, "-c", SHUTDOWN, backend],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "done\n" * 3), result.stderr
    # In development mode asyncio tells which callbacks took long, which is no fault on a busy machine.
    words = [line for line in result.stderr.splitlines() if "took" not in line]
    assert words == []


SHUTDOWN = textwrap.dedent(
    """
    import gc, sys
    import anyio
    from tests.adapters.common import Hold, Tools, tools
    from duologue import CallError, connect, serve

    async def main(how):
        there = Tools()
        async with serve("tcp://127.0.0.1:0", there.services, wireformat="json") as server:
            async with serve("mem://here", there.services, wireformat="json") as memory:
                async with connect(server.url, wireformat="json") as one:
                    async with connect(memory.url, wireformat="json") as two, anyio.create_task_group() as group:
                        for peer in (one, two):
                            group.start_soon(peer.remote(tools).call, Hold())
                            await peer.remote(tools).send(Hold())
                        await there.until(lambda: there.running == 4)
                        if how == "raise":
                            raise ZeroDivisionError
                        if how == "cancel":
                            raise KeyboardInterrupt
                        there.release.set()

    backend = sys.argv[1]
    options = {"use_uvloop": backend == "uvloop"} if backend != "trio" else {}
    for how in ("return", "raise", "cancel"):
        try:
            anyio.run(main, how, backend="trio" if backend == "trio" else "asyncio", backend_options=options)
        except* (ZeroDivisionError, KeyboardInterrupt):
            pass
        gc.collect()
        print("done")
    """
)


@pytest.mark.fault(62)
def test_a_loop_that_is_just_left() -> None:
    """Everything inside a block is dropped by cancelling all tasks, as `asyncio.run` does: each peer ends, and says so."""
    reasons: list[CloseReason] = []

    async def main() -> None:
        there = Tools()

        async def forever(url: str) -> None:
            async with connect(url, wireformat="json") as peer:
                try:
                    await peer.remote(tools).call(Hold())
                finally:
                    peer.when_closed(  # type: ignore[attr-defined]
                        lambda peer: reasons.append(peer._closed.reason)
                    )

        async def server(started: asyncio.Future[str]) -> None:
            async with serve("tcp://127.0.0.1:0", there.services, wireformat="json") as serving:
                started.set_result(serving.url)
                await asyncio.Event().wait()

        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        tasks = [asyncio.create_task(server(started))]
        tasks += [asyncio.create_task(forever(await started)) for _ in range(3)]
        await there.until(lambda: there.running == 3)
        del tasks

    asyncio.run(main())
    gc.collect()
    assert reasons == [CloseReason.CLOSED_LOCALLY] * 3


async def test_calls_of_a_left_peer(url: str) -> None:
    """A peer that is kept after its block: it is closed, and says so at once."""
    there = Tools()
    kept: list[Peer] = []
    servers: list[Server] = []
    async with serve(url, there.services, wireformat="json") as server:
        servers.append(server)
        async with connect(server.url, wireformat="json") as peer:
            kept.append(peer)
    with pytest.raises(ConnectionClosed):
        await kept[0].remote(tools).call(Fail())
    with pytest.raises(ConnectionClosed):
        await kept[0].remote(tools).send(Say(text=""))
    assert await kept[0].wait_closed() is CloseReason.CLOSED_LOCALLY
    await kept[0].close()
    await servers[0].wait_closed()
    await servers[0].close()
    assert not kept[0].is_open
