"""Clients of a ZeroMQ server that keep to nothing. Each costs its own connection at most, and others are served meanwhile."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import anyio
import anyio.to_thread
import pytest
import zmq
from tests.adapters.common import (
    RESPONSE_SID,
    Add,
    Hold,
    State,
    Tools,
    closed_event,
    first_peer,
    frame,
    tools,
    until,
)
from tests.adapters.test_processes import ROOT

from duologue import CloseReason, ConnectionClosed, ConnectionLost, Limits, Server, connect, serve
from duologue_adapters.zeromq.messages import (
    PIECE,
    WINDOW,
    Kind,
    aborting,
    header,
    numbered,
    opening,
    parse,
)
from duologue_adapters.zeromq.sockets import SEND_QUEUE

ONE, TWO = b"11111111", b"22222222"


class Stranger:
    """A process with a bare DEALER."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    async def send(self, *parts: bytes) -> None:
        await self.tell("send", list(parts))

    async def message(self, seconds: float = 10) -> Any:
        """The next message: its kind, its incarnation and the rest; None if there is none."""
        answer = await self.tell("receive", seconds)
        if answer is None:
            return None
        (data,) = answer
        message = parse(data)
        return message.kind, message.incarnation, message.body

    async def tell(self, what: str, value: object) -> Any:
        return await anyio.to_thread.run_sync(self._tell, f"{[what, value]!r}\n")

    def _tell(self, line: str) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return ast.literal_eval(self.process.stdout.readline())

    async def open(self, incarnation: bytes = ONE) -> None:
        """As a client should."""
        await self.send(opening(incarnation))
        assert await self.message() == (Kind.OPENED, incarnation, WINDOW.to_bytes(4, "little"))


@contextmanager
def stranger_at(url: str) -> Iterator[Stranger]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.zeromq_stranger", url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith("COV")},
    ) as process:
        try:
            yield Stranger(process)
        finally:
            process.kill()


@asynccontextmanager
async def served(**options: Any) -> AsyncIterator[tuple[Server, Stranger, Tools]]:
    """A server, and a stranger that knows where it is."""
    there = Tools()
    async with serve("zmq+tcp://127.0.0.1:0", there.services, wireformat="json", **options) as server:
        with stranger_at(server.url) as stranger:
            yield server, stranger, there
            async with connect(server.url, wireformat="json") as peer:
                assert await peer.remote(tools).call(Add(a=1, b=1)) == 2, "others are served all the same"


def dropped(server: Server) -> int:
    count: int = server._listener.dropped  # type: ignore[attr-defined]
    return count


def add(a: int, b: int, cid: int = 1) -> bytes:
    return frame(tools.sid(Add), cid, b'{"a":%d,"b":%d}' % (a, b))


async def test_a_stranger_that_keeps_to_the_protocol() -> None:
    """What the documentation says is enough to talk to a server: open, data, end."""
    async with served() as (server, stranger, _):
        await stranger.open()
        await stranger.send(header(Kind.PING, ONE))
        assert await stranger.message() == (Kind.PONG, ONE, b"")
        call = add(20, 22)
        await stranger.send(header(Kind.DATA, ONE) + call[:5])
        await stranger.send(header(Kind.DATA, ONE) + call[5:])
        assert await stranger.message() == (Kind.DATA, ONE, frame(RESPONSE_SID, 1, b"42"))
        peer = await first_peer(server)
        await stranger.send(header(Kind.END, ONE))
        assert (await stranger.message())[:2] == (Kind.END, ONE)
        assert await peer.wait_closed() is CloseReason.CLOSED_BY_REMOTE


@pytest.mark.fault(72)
async def test_messages_before_the_opening() -> None:
    """Whatever comes from an identity that has not opened a connection is dropped, and counted: no peer is made of it."""
    async with served() as (server, stranger, _):
        rubbish = [
            [b""],
            [b"x"],
            [b"", b""],
            [b"x"] * 1000,
            [header(Kind.DATA, ONE) + add(1, 1)],
            [header(Kind.CREDIT, ONE) + b"1234"],
            [header(Kind.END, ONE)],
            [aborting(ONE, "")],
            [header(Kind.PING, ONE)],
        ]
        for parts in rubbish:
            await stranger.send(*parts)
        await until(lambda: dropped(server) == len(rubbish))
        assert not tuple(server.peers)
        await stranger.open()


@pytest.mark.fault(72)
@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([b"", header(Kind.PING, ONE)], "more than one part"),
        ([header(Kind.PING, ONE)] * 500, "more than one part"),
        ([b""], "0 bytes"),
        ([b"\xff" * 40], "unknown kind 255"),
        ([opening(ONE)], "OPEN"),
        ([numbered(Kind.OPENED, ONE, 5000)], "OPENED"),
        ([numbered(Kind.CREDIT, ONE, 1)], "more credit than"),
    ],
    ids=["two parts", "500 parts", "empty", "unknown", "open", "opened", "credit"],
)
async def test_messages_that_break_the_protocol(parts: list[bytes], text: str) -> None:
    """It is the end of that connection, and the stranger is told why; the identity can open another one."""
    async with served() as (server, stranger, _):
        await stranger.open()
        peer = await first_peer(server)
        await stranger.send(*parts)
        kind, incarnation, reason = await stranger.message()
        assert (kind, incarnation) == (Kind.ABORT, ONE)
        assert text in reason.decode()
        assert text in (await closed_event(peer)).detail
        assert await peer.wait_closed() is CloseReason.TRANSPORT_FAILED
        await stranger.send(header(Kind.PING, ONE))  # the old one is gone for good
        await stranger.open(TWO)
        assert dropped(server) == 1


@pytest.mark.fault(72)
async def test_data_over_the_credit() -> None:
    """A stranger that sends more than it may while its bytes are not read is cut off: memory is bounded by the window."""
    async with served() as (server, stranger, _):
        await stranger.open()
        peer = await first_peer(server)
        link = peer._link  # type: ignore[attr-defined]
        link.pause_reading()
        peer._is_reading = False  # type: ignore[attr-defined]
        for _ in range(WINDOW // PIECE):
            await stranger.send(header(Kind.DATA, ONE) + bytes(PIECE))
        await until(lambda: len(link._inbox) == WINDOW // PIECE)
        await stranger.send(header(Kind.DATA, ONE) + b"x")
        assert (await stranger.message())[0] is Kind.ABORT
        assert await peer.wait_closed() is CloseReason.TRANSPORT_FAILED


@pytest.mark.fault(72)
async def test_a_message_that_is_too_large() -> None:
    """The library itself ends the transport of whoever sends more than there can be in a message, before it is received."""
    async with served(heartbeat=0.05) as (server, stranger, _):
        await stranger.open()
        peer = await first_peer(server)
        await stranger.send(header(Kind.DATA, ONE) + bytes(PIECE + 1))
        assert await peer.wait_closed() is CloseReason.TRANSPORT_FAILED


@pytest.mark.fault(22)
async def test_a_new_incarnation_is_a_new_peer() -> None:
    """An identity that opens again is a new peer: the old one ends, and what was meant for it matches nothing."""
    async with served() as (server, stranger, _):
        await stranger.open(ONE)
        old = await first_peer(server)
        pending = old.call_raw(tools.sid(Add), b"{}")
        async with anyio.create_task_group() as group:

            async def call() -> None:
                with pytest.raises(Exception, match="begun anew"):
                    await pending

            group.start_soon(call)
            kind, _, _ = await stranger.message()
            assert kind is Kind.DATA
            await stranger.open(TWO)
        (new,) = server.peers
        assert new is not old
        # The answer to the old one's call, in the old incarnation: dropped. And the same in the new one: no such call.
        await stranger.send(header(Kind.DATA, ONE) + frame(RESPONSE_SID, 1, b"1"))
        await stranger.send(header(Kind.DATA, TWO) + add(2, 3))
        assert await stranger.message() == (Kind.DATA, TWO, frame(RESPONSE_SID, 1, b"5"))
        assert dropped(server) == 1
        assert State(new).pending == 0


@pytest.mark.fault(72)
async def test_an_identity_that_is_taken() -> None:
    """Who comes with another's identity gets nothing, and the one who has it keeps it."""
    async with served() as (server, first, _):
        await first.tell("identity", b"mine")
        await first.open()
        peer = await first_peer(server)
        with stranger_at(server.url) as second:
            await second.tell("identity", b"mine")
            await second.send(opening(TWO))
            assert await second.message(0.3) is None
            await first.send(header(Kind.DATA, ONE) + add(1, 2))
            assert await first.message() == (Kind.DATA, ONE, frame(RESPONSE_SID, 1, b"3"))
            assert tuple(server.peers) == (peer,)


@pytest.mark.fault(41)
async def test_a_client_that_is_killed() -> None:
    """A ROUTER is not told that a client was killed. The heartbeat finds out, and its handlers are cancelled."""
    async with served(heartbeat=0.2) as (server, stranger, there):
        await stranger.open()
        peer = await first_peer(server)
        await stranger.send(header(Kind.DATA, ONE) + frame(tools.sid(Hold), 1, b'{"name":"x"}'))
        await there.until(lambda: there.began == ["x"])
        stranger.process.send_signal(signal.SIGKILL)
        assert await peer.wait_closed() is CloseReason.TRANSPORT_FAILED
        await there.until(lambda: there.cancelled == ["x"])


@pytest.mark.fault(50)
async def test_a_client_that_hangs() -> None:
    """One that is stopped is still connected, but answers no heartbeat: gone after twice the time."""
    async with served(heartbeat=0.2) as (server, stranger, _):
        await stranger.open()
        peer = await first_peer(server)
        stranger.process.send_signal(signal.SIGSTOP)
        assert "not answered for 0.2 s" in (await closed_event(peer)).detail


@pytest.mark.fault(65)
async def test_a_client_that_opens_and_goes() -> None:
    """Connections that are opened and given up while nothing is accepted leave nothing behind."""
    async with served(limits=Limits(connections=1)) as (server, stranger, _):
        listener = server._listener  # type: ignore[attr-defined]
        await stranger.open()
        with stranger_at(server.url) as second:
            await second.send(opening(TWO))
            await until(lambda: len(listener._waiting) == 1)
            await second.send(aborting(TWO, "never mind"))
            await until(lambda: not listener._waiting)
        await stranger.send(header(Kind.END, ONE))
        await until(lambda: not listener._links)


@pytest.mark.fault(72)
async def test_a_client_that_gives_credit_and_does_not_read() -> None:
    """Credit can be a lie: what waits for one peer in the library has an end all the same, and then the peer is lost."""
    async with serve("zmq+tcp://127.0.0.1:0", wireformat="json", limits=Limits(close_timeout=0.1)) as server:
        with zmq.Context() as context, context.socket(zmq.DEALER) as liar:
            liar.setsockopt(zmq.RCVHWM, 1)
            liar.setsockopt(zmq.LINGER, 0)
            liar.connect(server.url.removeprefix("zmq+"))
            liar.send(opening(ONE))
            peer = await first_peer(server)
            sent = given = 0
            with pytest.raises((ConnectionLost, ConnectionClosed)):
                while True:
                    for _ in range(5):
                        await peer.send_raw(5, bytes(PIECE - 24))
                        sent += 1
                    await until(lambda: State(peer).queued == 0 or not peer.is_open)
                    liar.send(numbered(Kind.CREDIT, ONE, sent * PIECE - given))
                    given = sent * PIECE
            assert "does not read" in (await closed_event(peer)).detail
            assert SEND_QUEUE <= sent < 2 * SEND_QUEUE
