"""Peers that lean on each other: deep recursion, large answers both ways, floods; over a pipe of 4 KiB, none of it locks."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from tests.adapters.common import (
    QUICK,
    RESPONSE_SID,
    Add,
    Echo,
    Hold,
    RawRemote,
    Say,
    State,
    Tools,
    first_peer,
    frame,
    raw_client,
    tools,
    until,
)

from duologue import (
    CallError,
    Context,
    Limits,
    Message,
    Namespace,
    Overloaded,
    Peer,
    PeerSettings,
    RemoteError,
    Services,
    connect,
    serve,
)
from duologue.plugins import find_wireformat
from duologue_adapters import pair

PIPE = 4096
MEGABYTES = int(os.environ.get("DUOLOGUE_PUSH_MEGABYTES", "100"))
"""How much each end pushes at the other."""


@asynccontextmanager
async def narrow(
    one: Services | None, other: Services | None, limits: Limits = Limits(), capacity: int = PIPE
) -> AsyncIterator[tuple[Peer, Peer]]:
    """Two peers at the ends of a narrow pipe."""
    settings = [
        PeerSettings(wireformat=find_wireformat("msgpack"), services=services, limits=limits)
        for services in (one, other)
    ]
    async with pair(settings[0], settings[1], capacity=capacity) as peers:
        yield peers


class Descend(Message[int]):
    depth: int


class Note(Message[None]):
    depth: int


recursion = Namespace("recursion", [Descend, Note])


class Recursive:
    """Calls back until the depth is reached, by calls and by one-way messages."""

    def __init__(self) -> None:
        self.deepest = 0
        self.services = Services(recursion)
        self.services.handler(self.descend)
        self.services.handler(self.note)

    async def descend(self, msg: Descend, ctx: Context) -> int:
        if msg.depth == 0:
            return 0
        return 1 + await ctx.peer.remote(recursion).call(Descend(depth=msg.depth - 1))

    async def note(self, msg: Note, ctx: Context) -> None:
        """A send whose handler calls back, and sends on."""
        self.deepest = max(self.deepest, msg.depth)
        if msg.depth < 50:
            await ctx.peer.remote(recursion).call(Descend(depth=3))
            await ctx.peer.remote(recursion).send(Note(depth=msg.depth + 1))


@pytest.mark.fault(39)
async def test_weak_point_04_calls_fifty_deep_at_a_limit_of_one(url: str) -> None:
    """Two peers call each other, 50 deep, with one permit each: whoever waits lends its permit, and all of it ends."""
    ends = Recursive(), Recursive()
    limits = Limits(calls=1)
    async with serve(url, ends[0].services, wireformat="msgpack", limits=limits) as server:
        async with connect(server.url, ends[1].services, wireformat="msgpack", limits=limits) as client:
            peer = await first_peer(server)
            depths: list[int] = []

            async def call(each: Peer) -> None:
                depths.append(await each.remote(recursion).call(Descend(depth=50)))

            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(call, client)
                    group.start_soon(call, peer)
            assert depths == [50] * 6
            await until(lambda: State(client).is_idle and State(peer).is_idle)


async def test_calls_that_never_end_going_round() -> None:
    """Recursion without end: at the limit of what may be lent the innermost call is refused, and all of it comes back."""
    ends = Recursive(), Recursive()
    limits = Limits(calls=1, lent=30)
    async with narrow(ends[0].services, ends[1].services, limits) as (one, other):
        with pytest.raises(RemoteError):
            await one.remote(recursion).call(Descend(depth=10_000))
        await until(lambda: State(one).is_idle and State(other).is_idle)
        assert await one.remote(recursion).call(Descend(depth=20)) == 20


async def test_refused_inside_of_a_handler() -> None:
    """The handler whose call would be one too many gets `Overloaded`, and may do something about it."""
    seen: list[Overloaded] = []
    ends = Recursive(), Recursive()

    async def descend(msg: Descend, ctx: Context) -> int:
        try:
            return 1 + await ctx.peer.remote(recursion).call(Descend(depth=0))
        except Overloaded as exc:
            seen.append(exc)
            return 0

    for end in ends:
        end.services.remove(Descend)
        end.services.handler(Descend, descend)
    async with narrow(ends[0].services, ends[1].services, Limits(calls=1, lent=10)) as (one, _):
        assert await one.remote(recursion).call(Descend(depth=1)) == 20
    assert len(seen) == 1


async def test_send_handlers_that_call_back() -> None:
    """Handlers of one-way messages call back and send on, 50 times over and over a pipe of 4 KiB, with one slot each."""
    ends = Recursive(), Recursive()
    limits = Limits(calls=1, sends=1)
    async with narrow(ends[0].services, ends[1].services, limits) as (one, other):
        async with anyio.create_task_group() as group:
            for peer in (one, other):
                for _ in range(5):
                    group.start_soon(peer.remote(recursion).send, Note(depth=0))
        await until(lambda: max(end.deepest for end in ends) == 50)
        await until(lambda: State(one).is_idle and State(other).is_idle)


async def test_large_answers_in_both_directions_at_once() -> None:
    """Answers of a megabyte, twenty in each direction at once, through 4 KiB: both ends write and read at the same time."""
    there, here = Tools(), Tools()
    size = 2**20 - 100
    async with narrow(here.services, there.services, capacity=PIPE) as (one, other):
        lengths: list[int] = []

        async def call(peer: Peer) -> None:
            lengths.append(len(await peer.remote(tools).call(Echo(data=bytes(size)))))

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(call, one)
                group.start_soon(call, other)
        assert lengths == [size] * 6


class Push(Message[None]):
    data: bytes


class Sum(Message[int]):
    pass


pushing = Namespace("pushing", [Push, Sum])


class Sink:
    """Counts what is pushed at it."""

    def __init__(self) -> None:
        self.size = 0
        self.services = Services(pushing)
        self.services.handler(self.push)
        self.services.handler(self.sum)

    async def push(self, msg: Push) -> None:
        self.size += len(msg.data)

    async def sum(self, msg: Sum) -> int:
        return self.size


async def test_weak_point_05_both_ends_push_through_a_narrow_pipe(anyio_backend: tuple[str, Any]) -> None:
    """Both ends push megabytes of one-way messages at each other through 4 KiB: none waits for the other for ever."""
    sinks = Sink(), Sink()
    piece = 100_000
    count = MEGABYTES * (10 if anyio_backend == ("asyncio", {"use_uvloop": False}) else 2)
    async with narrow(sinks[0].services, sinks[1].services) as (one, other):

        async def push(peer: Peer) -> None:
            data = bytes(piece)
            for _ in range(count):
                await peer.remote(pushing).send(Push(data=data))
                assert State(peer).queued < 2**20

        async with anyio.create_task_group() as group:
            group.start_soon(push, one)
            group.start_soon(push, other)
        await until(lambda: all(sink.size == piece * count for sink in sinks))
        assert await one.remote(pushing).call(Sum()) == piece * count


@pytest.mark.fault(38)
async def test_weak_point_10_a_flood_of_sends() -> None:
    """One-way messages faster than they are handled: reading stops at the limit, the sender waits, and nothing is lost."""
    there = Tools()
    limits = Limits(sends=10, outbox_high=1000, outbox_low=100)
    async with narrow(None, there.services, limits) as (one, other):
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for number in range(500):
                await one.remote(tools).send(Hold(name=str(number)))
                sent += 1

        async with anyio.create_task_group() as group:
            group.start_soon(flood)
            await there.until(lambda: there.running == 10)
            await until(lambda: State(one).waiting == 1)
            assert State(other).sends == 10
            assert sent < 500
            there.release.set()
        await there.until(lambda: len(there.ended) == 500)
        assert sorted(map(int, there.ended)) == list(range(500))


@pytest.mark.fault(40)
async def test_bad_calls_from_a_remote_that_does_not_read() -> None:
    """Calls to nowhere by the thousand, and no answer is read: a bounded amount is kept, then reading stops; cut off as stalled."""
    limits = Limits(answers_stalled=0.3, outbox_high=10_000, outbox_low=1000)
    async with serve("tcp://127.0.0.1:0", wireformat="json", limits=limits) as server:
        async with raw_client(server.url) as raw:
            peer = await first_peer(server)
            highest = 0
            with anyio.fail_after(20):
                async with anyio.create_task_group() as group:

                    async def flood(raw: RawRemote) -> None:
                        number = 0
                        try:
                            while True:
                                number += 1000
                                await raw.send(
                                    b"".join(frame(4711, number + each) for each in range(1, 1001))
                                )
                        except OSError:
                            pass  # cut off

                    group.start_soon(flood, raw)
                    while peer.is_open:
                        highest = max(highest, State(peer).queued)
                        await anyio.sleep(0.01)
            assert "stalled" in (await peer.wait_closed()).value
            assert highest < 2**20


@pytest.mark.fault(48)
async def test_a_frame_that_takes_long(wireformat: str) -> None:
    """A megabyte of empty containers is refused in a fraction of a second, and others are served right after it."""
    there = Tools()
    bomb = {"cbor": b"\x80", "msgpack": b"\x90", "json": b"[],"}[wireformat] * 340_000
    head = {
        "cbor": b"\xa1\x64data\x9a" + (340_000).to_bytes(4, "big"),
        "msgpack": b"\x81\xa4data\xdd" + (340_000).to_bytes(4, "big"),
        "json": b'{"data":[',
    }[wireformat]
    tail = b"[]]}" if wireformat == "json" else b""
    async with serve("tcp://127.0.0.1:0", there.services, wireformat=wireformat) as server:
        async with (
            raw_client(server.url) as raw,
            connect(server.url, wireformat=wireformat) as other,
        ):
            await raw.send(frame(tools.sid(Echo), 1, head + bomb + tail))
            start = time.process_time()
            sid, cid, payload = await raw.frame()
            assert time.process_time() - start < 0.5
            assert (sid, cid) == (0, 1)
            assert b"Deserialize" in payload
            assert await other.remote(tools).call(Add(a=1, b=1)) == 2


@pytest.mark.fault(41)
async def test_connect_call_vanish_and_again() -> None:
    """Connections that call and vanish, again and again: their handlers are cancelled, and nothing is left of them."""
    there = Tools()
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="json", limits=QUICK) as server:
        for number in range(100):
            async with raw_client(server.url) as raw:
                await raw.send(frame(tools.sid(Hold), 1, b'{"name":"x"}'))
                if number % 3 == 0:
                    await there.until(lambda: there.running > 0)
                if number % 2:
                    raw.reset()
        await until(lambda: not tuple(server.peers) and there.running == 0)
        assert not there.ended


async def test_weak_point_25_timeouts_do_not_wait_for_work() -> None:
    """While requests and answers stream in without a pause, the timeout of a call comes at its time."""
    there, here = Tools(), Tools()
    async with narrow(here.services, there.services, capacity=65536) as (one, other):
        async with anyio.create_task_group() as group:

            async def busy(peer: Peer) -> None:
                while True:
                    await peer.remote(tools).call(Echo(data=bytes(5000)))

            for _ in range(20):
                group.start_soon(busy, one)
                group.start_soon(busy, other)
            start = anyio.current_time()
            with pytest.raises(CallError):
                await one.remote(tools).call(Hold(), timeout=0.1)
            assert anyio.current_time() - start < 2
            group.cancel_scope.cancel()


async def test_weak_point_20_small_frames_leave_at_once(url: str) -> None:
    """Nothing waits in a buffer for more: one small message leaves, and arrives, with nothing behind it."""
    there = Tools()
    async with serve(url, there.services, wireformat="json") as server:
        async with connect(server.url, wireformat="json") as peer:
            for number in range(5):
                await peer.remote(tools).send(Say(text=str(number)))
                with anyio.fail_after(5):
                    await there.until(lambda number=number: len(there.said) == number + 1)  # type: ignore[misc]


async def test_answers_in_one_piece_are_requests_in_one_piece() -> None:
    """A thousand calls in one write are answered whole, in whatever order: everything that came is decoded and dispatched."""
    there = Tools()
    async with serve("tcp://127.0.0.1:0", there.services, wireformat="json") as server:
        async with raw_client(server.url) as raw:
            calls = [frame(tools.sid(Add), number, b'{"a":%d,"b":1}' % number) for number in range(1, 1001)]
            await raw.send(b"".join(calls))
            answers = {cid: (sid, payload) for sid, cid, payload in [await raw.frame() for _ in calls]}
            assert answers == {number: (RESPONSE_SID, b"%d" % (number + 1)) for number in range(1, 1001)}
