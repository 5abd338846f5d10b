"""Nothing is left behind: for each way in which a call can end, thousands of times, through the real driver.

`DUOLOGUE_LEAK_CALLS=100000 DUOLOGUE_LONGEST=600 pytest tests/adapters/test_leaks.py` does it a hundred thousand times for each.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.adapters.common import (
    Add,
    Echo,
    Fail,
    Hold,
    State,
    Tools,
    collect,
    threads_now,
    tools,
    until,
)

from duologue import (
    CallBudget,
    CallError,
    CallTimeout,
    ConnectionLost,
    ErrorKind,
    Limits,
    Peer,
    PeerSettings,
    RemoteError,
    connect,
    serve,
)
from duologue.plugins import find_wireformat
from duologue.protocol.events import CallReceived, SendReceived
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue_adapters import pair

CALLS = int(os.environ.get("DUOLOGUE_LEAK_CALLS", "600"))
AT_ONCE = 100
KEPT = 200_000 + 2 * CALLS
"""Bytes that may stay: caches, tables as large as they had to be once, and what the measuring takes itself. Calls that
leak would be more, each 500 at least."""
KEPT_TOKENS = 200
"""Calls that may be known yet, of both ends: the heap of deadlines clears up when more than 64 of them have ended."""
KEPT_OBJECTS = 3000
"""The same in objects: trio keeps some hundred timers that are cancelled. Hundreds of connections have dozens each."""


@asynccontextmanager
async def two_peers(tools_there: Tools, limits: Limits = Limits()) -> AsyncIterator[tuple[Peer, Peer]]:
    """A caller, and the one that serves it."""
    wireformat = find_wireformat("msgpack")
    one = PeerSettings(wireformat=wireformat, limits=limits)
    other = PeerSettings(wireformat=wireformat, limits=limits, services=tools_there.services)
    async with pair(one, other) as peers:
        yield peers


class Gauge:
    """What a process holds: tasks, timers, file descriptors, threads."""

    def __init__(self) -> None:
        self.tasks = len(asyncio.all_tasks()) if is_asyncio() else 0
        self.timers = live_timers() if is_asyncio() else 0
        self.descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        self.threads = len(threads_now())

    def __le__(self, other: Gauge) -> bool:
        return all(value <= vars(other)[name] for name, value in vars(self).items())

    def __repr__(self) -> str:
        return str(vars(self))


def live_timers() -> int:
    """Timers that the loop is going to call."""
    scheduled: list[Any] = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return sum(not handle.cancelled() for handle in scheduled)


def is_asyncio() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def many(count: int, once: Callable[[], Awaitable[None]]) -> None:
    """Do it `count` times, many at once."""
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await once()

    async with anyio.create_task_group() as group:
        for _ in range(AT_ONCE):
            group.start_soon(worker)


async def bad_payload(peer: Peer) -> None:
    with pytest.raises(RemoteError) as caught:
        await peer.call_raw(tools.sid(Add), b"\xc1")
    assert caught.value.kind is ErrorKind.DESERIALIZE


async def handler_raises(peer: Peer) -> None:
    with pytest.raises(RemoteError) as caught:
        await peer.remote(tools).call(Fail())
    assert caught.value.kind is ErrorKind.INTERNAL_SERVER_ERROR


async def unknown_service(peer: Peer) -> None:
    with pytest.raises(RemoteError) as caught:
        await peer.call_raw(4711, b"\xc0")
    assert caught.value.kind is ErrorKind.UNKNOWN_SERVICE


async def times_out(peer: Peer) -> None:
    with pytest.raises(CallTimeout):
        await peer.remote(tools).call(Hold(), timeout=0.001)


async def times_out_at_once(peer: Peer) -> None:
    with pytest.raises(CallTimeout):
        await peer.remote(tools).call(Hold(), timeout=0)


async def cancelled(peer: Peer) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(peer.remote(tools).call, Hold())
            await anyio.lowlevel.checkpoint()
            await anyio.lowlevel.checkpoint()
            scope.cancel()


async def result_too_big(peer: Peer) -> None:
    with pytest.raises(RemoteError):
        await peer.remote(tools).call(Echo(data=bytes(1000)))


async def answered(peer: Peer) -> None:
    assert await peer.remote(tools).call(Add(a=1, b=2), timeout=60) == 3


WAYS = [
    answered,
    bad_payload,
    handler_raises,
    unknown_service,
    times_out,
    times_out_at_once,
    cancelled,
    result_too_big,
]


class Growing(Tools):
    """Its answers are larger than its questions, so that only they are over the limit."""

    async def echo(self, msg: Echo) -> bytes:
        return msg.data * 10

    async def hold(self, msg: Hold) -> str:  # type: ignore[override]
        await anyio.lowlevel.checkpoint()
        return ""


@pytest.mark.fault(45, 58)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
async def test_weak_point_02_and_21_calls_that_end(way: Any, caplog: pytest.LogCaptureFixture) -> None:
    """However thousands of calls end: no permit, pending call, timer or task is left of them, and memory stays flat."""
    logging.getLogger("duologue").setLevel(logging.CRITICAL + 1)
    there = Growing()
    limits = Limits(calls=10, max_frame=2000, given_up=0.05, owed=200)
    try:
        async with two_peers(there, limits) as (caller, server):
            tracemalloc.start()
            await many(AT_ONCE * 3, lambda: way(caller))  # caches fill
            await until(lambda: State(caller).is_idle and State(server).is_idle)
            collect()
            before = Gauge()
            size_before = tracemalloc.get_traced_memory()[0]
            await many(CALLS, lambda: way(caller))
            await until(lambda: State(caller).is_idle and State(server).is_idle)
            await until(lambda: owed(caller) == 0)
            collect()
            kept = tracemalloc.get_traced_memory()[0] - size_before
            tracemalloc.stop()
            await until(lambda: Gauge().tasks <= before.tasks)
            after = Gauge()
            assert after.descriptors <= before.descriptors
            assert after.threads <= before.threads, threads_now()
            assert after.timers <= before.timers + 3
            assert timers_of(caller) <= 64 + 2
            assert kept < KEPT
            assert alive() <= KEPT_TOKENS
            assert await caller.remote(tools).call(Add(a=1, b=1)) == 2
    finally:
        tracemalloc.stop()
        logging.getLogger("duologue").setLevel(logging.NOTSET)
        caplog.clear()


@pytest.mark.fault(45)
async def test_an_answer_belongs_to_its_caller_alone(anyio_backend: tuple[str, Any]) -> None:
    """When its caller is through with it an answer is gone, though the call's deadline is still known for a while."""
    there = Tools()
    size = 100_000
    async with two_peers(there) as (caller, _):

        async def once() -> None:
            assert len(await caller.remote(tools).call(Echo(data=bytes(size)), timeout=60)) == size

        await once()
        tracemalloc.start()
        try:
            for _ in range(30):  # fewer than the ended calls that the heap of deadlines keeps
                await once()
            await until(lambda: State(caller).is_idle)
            assert tracemalloc.get_traced_memory()[0] < 3 * size
        finally:
            tracemalloc.stop()


def alive() -> int:
    """Calls, sends and requests that something still holds."""
    kinds = (OutgoingCall, OutgoingSend, CallReceived, SendReceived)
    return sum(type(each) in kinds for each in gc.get_objects())


def owed(peer: Any) -> int:
    """Calls that the remote may still be at, which a caller's own loss of patience does not change."""
    count: int = peer._connection.outgoing.pending.owed
    return count


def timers_of(peer: Any) -> int:
    """Entries in the heap of timers of an engine that has one of its own."""
    return len(getattr(peer._engine, "_timers", ()))


async def test_timers_that_are_set_again_and_again() -> None:
    """Short timeouts among long ones set the one timer again for each: the ones that were cancelled don't pile up."""
    there = Tools()
    async with two_peers(there, Limits(calls=1000)) as (caller, _), anyio.create_task_group() as group:
        group.start_soon(caller.remote(tools).call, Hold())
        await there.until(lambda: there.running == 1)
        for _ in range(500):
            assert await caller.remote(tools).call(Add(a=1, b=1), timeout=30) == 2
            with pytest.raises(CallTimeout):
                await caller.remote(tools).call(Hold(), timeout=0.0001)
        assert timers_of(caller) <= 128 + 2
        there.release.set()


@pytest.mark.fault(45)
async def test_connections_that_are_lost() -> None:
    """Thousands of calls end with their connections: every permit of the budget that the connections share comes back."""
    there, budget = Tools(), CallBudget(50)
    before = Gauge()
    count = max(10, CALLS // 100)
    async with serve("mem://lost", there.services, wireformat="msgpack", budget=budget) as server:
        for number in range(count):
            async with connect(server.url, wireformat="msgpack") as peer, anyio.create_task_group() as group:

                async def call(peer: Peer = peer) -> None:
                    with pytest.raises((ConnectionLost, CallError)):
                        await peer.remote(tools).call(Hold())

                for _ in range(100):
                    group.start_soon(call)
                await there.until(lambda: there.running == 50)
                (next(iter(server.peers)) if number % 2 else peer).abort()  # type: ignore[attr-defined]
            assert State(peer).pending == 0
            await until(lambda: budget.in_use == budget.waiting == budget.lent == there.running == 0)
        await until(lambda: not tuple(server.peers))
    assert len(there.cancelled) == 50 * count
    collect()
    await until(lambda: Gauge() <= before)


@pytest.mark.fault(41)
async def test_connections_opened_and_closed(url: str, anyio_backend: tuple[str, Any]) -> None:
    """A thousand connections opened and closed: no task, descriptor or thread is left, and memory stays flat."""
    there = Tools()

    async def once(url: str) -> None:
        async with connect(url, wireformat="msgpack") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3

    async with serve(url, there.services, wireformat="msgpack") as server:
        for _ in range(20):
            await once(server.url)
        await until(lambda: not tuple(server.peers))
        collect()
        before, objects = Gauge(), len(gc.get_objects())
        for _ in range(100 if anyio_backend == ("asyncio", {"use_uvloop": False}) else 25):
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(once, server.url)
        await until(lambda: not tuple(server.peers))
        await until(lambda: Gauge() <= before)
        collect()
        assert len(gc.get_objects()) - objects < KEPT_OBJECTS
