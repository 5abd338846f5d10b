"""A peer over a stream that the user brings: any anyio byte stream, or object stream of bytes, on either loop."""

from __future__ import annotations

import contextlib
import math
import socket
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.abc
import pytest
from anyio.streams.stapled import StapledByteStream, StapledObjectStream
from tests.adapters.common import (
    QUICK,
    Add,
    Echo,
    Hold,
    Say,
    State,
    Tools,
    closed_event,
    tools,
    turn,
)

from duologue import CloseReason, ConnectionLost, Limits, Peer, Services, connect
from duologue_adapters import Receiver, engine_here, peer_over

Streams = tuple[Any, Any]


def object_streams(size: float = 10) -> Streams:
    """Two ends of a pipe of messages."""
    one_send, other_receive = anyio.create_memory_object_stream[bytes](size)
    other_send, one_receive = anyio.create_memory_object_stream[bytes](size)
    return StapledObjectStream(one_send, one_receive), StapledObjectStream(other_send, other_receive)


async def socket_streams() -> Streams:
    """Two ends of a pair of Unix sockets."""
    one, other = socket.socketpair()
    return (
        await anyio.abc.UNIXSocketStream.from_socket(one),
        await anyio.abc.UNIXSocketStream.from_socket(other),
    )


class Pieces(anyio.abc.ByteStream):
    """A byte stream that is not a socket: it moves a few bytes at a time, and fails when it is told to."""

    def __init__(self, below: Any, size: int = 5) -> None:
        self._below = below
        self._size = size
        self._received = b""
        self.fails_with: Exception | None = None
        self.close_fails = False
        self.can_half_close = True
        self.is_closed = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        if not self._received:
            self._received = await self._below.receive()
        if self.fails_with is not None:
            raise self.fails_with
        size = min(self._size, max_bytes)
        data, self._received = self._received[:size], self._received[size:]
        return data

    async def send(self, item: bytes) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        for start in range(0, len(item), 1000):
            await self._below.send(item[start : start + 1000])

    async def send_eof(self) -> None:
        if not self.can_half_close:
            raise NotImplementedError("like TLS")
        await self._below.send_eof()

    async def aclose(self) -> None:
        self.is_closed = True
        await self._below.aclose()
        if self.close_fails:
            raise RuntimeError("can't even close")


async def piecewise() -> Streams:
    one, other = object_streams(math.inf)
    return Pieces(one), Pieces(other, 17)


async def messages() -> Streams:
    return object_streams()


async def messages_one_by_one() -> Streams:
    return object_streams(0)


@contextlib.asynccontextmanager
async def over(
    streams: Streams,
    services: Services | None = None,
    *,
    limits: Limits = Limits(),
    wireformat: str = "msgpack",
) -> AsyncIterator[tuple[Peer, Peer]]:
    async with (
        peer_over(streams[0], services, wireformat=wireformat, limits=limits, name="one") as one,
        peer_over(streams[1], services, wireformat=wireformat, limits=limits, name="other") as other,
    ):
        yield one, other


@pytest.mark.parametrize("make", [socket_streams, piecewise, messages, messages_one_by_one])
async def test_any_stream_will_do(make: Callable[[], Any]) -> None:
    """Sockets, home-made byte streams, queues of messages, with and without room in them: calls in both directions."""
    there = Tools()
    async with over(await make(), there.services) as (one, other):
        for peer in (one, other):
            remote = peer.remote(tools)
            assert await remote.call(Add(a=1, b=2)) == 3
            assert await remote.call(Echo(data=b"x" * 20_000)) == b"x" * 20_000
            await remote.send(Say(text="hello"))
        await there.until(lambda: len(there.said) == 2)
        assert (one.info.name, other.info.name) == ("one", "other")
        await one.close()
        assert await other.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_many_calls_over_messages(wireformat: str) -> None:
    """Hundreds of calls at once, in each wire format, over a pipe that holds ten messages."""
    there = Tools()
    async with over(object_streams(), there.services, wireformat=wireformat) as (one, _):
        answers: list[int] = []
        async with anyio.create_task_group() as group:

            async def call(number: int) -> None:
                answers.append(await one.remote(tools).call(Add(a=number, b=0)))

            for number in range(300):
                group.start_soon(call, number)
        assert sorted(answers) == list(range(300))


async def test_the_stream_is_closed_with_the_block() -> None:
    """Leaving the block closes the stream, also by an exception, and also if the stream fails to be closed."""
    for fails in (False, True):
        below = object_streams(math.inf)
        one, other = Pieces(below[0]), Pieces(below[1])
        one.close_fails = fails
        async with over((one, other)):
            pass
        assert one.is_closed
        assert other.is_closed
    below = object_streams(math.inf)
    one, other = Pieces(below[0]), Pieces(below[1])
    with pytest.raises(ZeroDivisionError):
        async with over((one, other)):
            raise ZeroDivisionError
    assert one.is_closed
    assert other.is_closed


@pytest.mark.parametrize(
    "error", [anyio.BrokenResourceError(), anyio.ClosedResourceError(), OSError("cut"), KeyError("its own")]
)
@pytest.mark.parametrize("where", ["receive", "send"])
async def test_a_stream_that_fails(error: Exception, where: str) -> None:
    """Whatever a stream raises is the end of the connection, and of nothing else: transport failed, and which error."""
    there = Tools()
    below = object_streams(math.inf)
    one, other = Pieces(below[0]), Pieces(below[1])
    async with over((one, other), there.services) as (peer, remote):
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(ConnectionLost) as caught:
                    await peer.remote(tools).call(Hold())
                assert caught.value.reason is CloseReason.TRANSPORT_FAILED

            group.start_soon(call)
            await there.until(lambda: there.running == 1)
            one.fails_with = error
            if where == "receive":
                await remote.remote(tools).send(Say(text="here it comes"))
            else:
                await peer.remote(tools).send(Say(text="there it goes"))
        event = await closed_event(peer)
        assert event.reason is CloseReason.TRANSPORT_FAILED
        assert type(error).__name__ in event.detail
        assert await remote.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_a_stream_that_can_not_half_close() -> None:
    """Streams such as TLS can't end one direction alone: the other end learns of the end when the stream is closed."""
    there = Tools()
    below = object_streams(math.inf)
    one, other = Pieces(below[0]), Pieces(below[1])
    one.can_half_close = False
    async with over((one, other), there.services, limits=QUICK) as (peer, remote):
        assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
        await peer.close()
        assert await remote.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_a_slow_stream_makes_progress() -> None:
    """A large frame over a stream that takes long for it, in all, but never stops: it is not taken for stalled."""

    class Slow(Pieces):
        async def send(self, item: bytes) -> None:
            await anyio.sleep(0.15)
            await self._below.send(item)

    there = Tools()
    below = object_streams(math.inf)
    limits = Limits(answers_stalled=1.0, requests_stalled=1.0)
    async with over((Slow(below[0], 65536), Slow(below[1], 65536)), there.services, limits=limits) as (
        one,
        _,
    ):
        data = b"x" * 700_000  # more than a second and a half, in each direction
        assert await one.remote(tools).call(Echo(data=data)) == data


async def test_services_that_can_not_be_made() -> None:
    """Something is wrong before the peer runs: the error comes out as it is, and the stream is closed."""
    below = object_streams(math.inf)
    one = Pieces(below[0])

    def broken(peer: Peer) -> Services:
        raise LookupError("no services today")

    with pytest.raises(LookupError):
        async with peer_over(one, broken, wireformat="json"):  # type: ignore[arg-type]
            raise AssertionError
    assert one.is_closed
    await below[1].aclose()


@pytest.mark.parametrize("is_started", [False, True])
async def test_a_link_that_is_cut_before_it_was_used(is_started: bool) -> None:
    """A link of a stream that nobody has started, or that is cut as soon as it was started, closes its stream, too."""
    below = object_streams(math.inf)
    one = Pieces(below[0])
    async with engine_here() as engine:
        link = engine.stream_link(one, "somewhere")
        assert link.address == "somewhere"
        if is_started:
            link.start(Lost())
        link.abort()
    assert one.is_closed
    await below[1].aclose()


class Lost(Receiver):
    """Is told of nothing but the end."""

    def data_received(self, data: bytes | memoryview) -> None:
        raise AssertionError

    def eof_received(self, cut_short: str = "") -> None:
        raise AssertionError

    def connection_lost(self, detail: str) -> None:
        assert detail == ""

    def all_written(self) -> None:
        raise AssertionError


async def test_a_stream_at_one_end_and_a_socket_at_the_other() -> None:
    """`connect` over a socket, and a peer over a stream at the other end."""
    there = Tools()
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(anyio.abc.SocketAttribute.local_port)

        async def handle(stream: anyio.abc.SocketStream) -> None:
            async with peer_over(stream, there.services, wireformat="cbor") as peer:
                await peer.wait_closed()

        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, handle)
            async with connect(f"tcp://127.0.0.1:{port}", wireformat="cbor") as peer:
                assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
            group.cancel_scope.cancel()


async def test_a_process_behind_the_stream() -> None:
    """The standard streams of a process, stapled together, are a stream like any other."""
    program = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer, 1)"
    async with await anyio.open_process([sys.executable, "-c", program]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stream = StapledByteStream(process.stdin, process.stdout)
        async with peer_over(stream, wireformat="json", limits=QUICK) as peer:
            # It echoes: our own request comes back, and is for a service that nobody serves here.
            events = peer.events()
            await peer.send_raw(4711, b"1")
            event = await anext(events)
            assert "UnknownService" in repr(event)
            await turn()
            assert State(peer).is_idle
