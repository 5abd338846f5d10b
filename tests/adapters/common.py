"""What the tests of the driver share: a few services, a connection of two peers, and a remote that is only bytes."""

from __future__ import annotations

import gc
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.lowlevel

from duologue import (
    CallBudget,
    Context,
    Limits,
    Message,
    Namespace,
    Peer,
    PeerClosed,
    PeerEvent,
    Server,
    Services,
    connect,
    serve,
)
from duologue_adapters.peer import DriverPeer

ROOT = Path(__file__).resolve().parents[2]
RESPONSE_SID = 2**64 - 1
QUICK = Limits(discard_timeout=0.05)
"""For connections whose other end is bytes by hand, and does not hang up when it is told goodbye."""


class Add(Message[int]):
    a: int
    b: int


class Echo(Message[bytes]):
    data: bytes


class Say(Message[None]):
    text: str


class Hold(Message[str]):
    """Its handler waits until the test lets it go on."""

    name: str = ""


class Fail(Message[int]):
    how: str = ""


tools = Namespace("tools", [Add, Echo, Say, Hold, Fail])


class Tools:
    """One end's services, and what came of them."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.began: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.running = 0
        self.most = 0
        self.changed = anyio.Event()
        self.release = anyio.Event()
        self.services = Services(tools)
        for handler in (self.add, self.echo, self.say, self.hold, self.fail):
            self.services.handler(cast("Any", handler))

    async def add(self, msg: Add) -> int:
        return msg.a + msg.b

    async def echo(self, msg: Echo) -> bytes:
        return msg.data

    async def say(self, msg: Say) -> None:
        self.said.append(msg.text)
        self._note()

    async def hold(self, msg: Hold, ctx: Context) -> str:
        self.began.append(msg.name)
        self.running += 1
        self.most = max(self.most, self.running)
        self._note()
        try:
            await self.release.wait()
            self.ended.append(msg.name)
            return msg.name
        except BaseException:
            self.cancelled.append(msg.name)
            raise
        finally:
            self.running -= 1
            self._note()

    async def fail(self, msg: Fail) -> int:
        raise FAILURES[msg.how]()

    def _note(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that a handler changes is so."""
        while not condition():
            await self.changed.wait()


class Unusual(BaseException):
    """No `Exception`."""


FAILURES: dict[str, Callable[[], BaseException]] = {
    "": lambda: ValueError("secret /etc/passwd"),
    "exception": lambda: ValueError("secret"),
    "group": lambda: ExceptionGroup("secret", [ValueError("secret"), KeyError("secret")]),
    "base": lambda: Unusual("secret"),
    "base group": lambda: BaseExceptionGroup("secret", [Unusual("secret")]),
    "stop": lambda: StopIteration("secret"),
    "stop async": lambda: StopAsyncIteration("secret"),
    "memory": lambda: MemoryError("secret"),
    "recursion": lambda: RecursionError("secret"),
    "timeout": lambda: TimeoutError("secret"),
    "assertion": lambda: AssertionError("secret"),
}


@asynccontextmanager
async def connected(
    url: str,
    server: Services | None = None,
    client: Services | None = None,
    *,
    wireformat: str = "msgpack",
    limits: Limits = Limits(),
    client_limits: Limits | None = None,
    budget: CallBudget | None = None,
) -> AsyncIterator[tuple[Peer, Peer]]:
    """A server with one client: the client's peer, and the server's peer of it."""
    arrived: list[Peer] = []
    here = anyio.Event()

    def on_peer(peer: Peer) -> None:
        arrived.append(peer)
        here.set()

    async with (
        serve(url, server, wireformat=wireformat, limits=limits, budget=budget, on_peer=on_peer) as serving,
        connect(serving.url, client, wireformat=wireformat, limits=client_limits or limits) as peer,
    ):
        await here.wait()
        yield peer, arrived[0]


async def first_peer(server: Server) -> Peer:
    """The server's first peer, as soon as it is there."""
    while not (peers := tuple(server.peers)):
        await turn()
    return peers[0]


async def turn(count: int = 1) -> None:
    """Let others run for some passes of the loop."""
    for _ in range(count):
        await anyio.lowlevel.checkpoint()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that has no event of its own. The test's own end ends it, too."""
    while not condition():  # noqa: ASYNC110 - it has no event
        await anyio.sleep(0.001)


async def events_of(peer: Peer) -> list[PeerEvent]:
    """All events from now to the end."""
    return [event async for event in peer.events()]


async def next_event(events: Any) -> PeerEvent:
    event: PeerEvent = await anext(events)
    return event


async def closed_event(peer: Peer) -> PeerClosed:
    """The last event of a peer."""
    last = (await events_of(peer))[-1]
    assert isinstance(last, PeerClosed)
    return last


class State:
    """What a peer holds now. Looked at from the inside, since nothing of it is for users."""

    def __init__(self, peer: Peer) -> None:
        connection = cast("DriverPeer", peer)._connection
        incoming, outgoing = connection.incoming, connection.outgoing
        self.permits = incoming.budget.in_use
        self.lent = incoming.budget.lent
        self.line = incoming.budget.waiting
        self.handlers = incoming.running
        self.unanswered = incoming.unanswered
        self.parked = incoming.parking.waiting
        self.sends = incoming.sends.running
        self.pending = len(outgoing.pending)
        self.waiting = outgoing.waiting
        self.queued = connection.outbox.level

    @property
    def is_idle(self) -> bool:
        """Nothing is held, nothing is under way."""
        return not any(vars(self).values())

    def __repr__(self) -> str:
        return str({name: value for name, value in vars(self).items() if value})


def frame(sid: int, cid: int, payload: bytes = b"") -> bytes:
    """A frame, written by hand: the length counts itself."""
    return struct.pack("<QQQ", 24 + len(payload), sid, cid) + payload


class RawRemote:
    """The other end of a connection, which knows nothing of the library: a bare socket, and frames by hand.

    It reads only when it is asked to, so it can be a remote that does not read.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.received = b""
        """Everything that ever came."""
        self._taken = 0

    async def send(self, data: bytes) -> None:
        """Write all of it."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.socket.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self.socket)

    async def receive(self) -> bytes:
        """Some bytes; none at the end of the stream."""
        while True:
            try:
                data = self.socket.recv(65536)
            except BlockingIOError:
                await anyio.wait_readable(self.socket)
            else:
                self.received += data
                return data

    async def frame(self) -> tuple[int, int, bytes]:
        """The next frame: service id, call id, payload."""
        header = await self._next(24)
        size, sid, cid = struct.unpack("<QQQ", header)
        return sid, cid, await self._next(size - 24)

    async def _next(self, size: int) -> bytes:
        while len(self.received) - self._taken < size:
            if not await self.receive():
                raise EOFError(self.received[self._taken :])
        self._taken += size
        return self.received[self._taken - size : self._taken]

    async def read_to_end(self) -> bytes:
        """Everything that ever came, when the stream has ended."""
        while await self.receive():
            pass
        return self.received

    def end_writing(self) -> None:
        """Half-close."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Vanish in the rudest way: everything unsent is lost, and the other end gets a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


@asynccontextmanager
async def raw_client(url: str) -> AsyncIterator[RawRemote]:
    """A socket that is connected to a server."""
    host, port = url.removeprefix("tcp://").rsplit(":", 1)
    with socket.create_connection((host, int(port))) as sock:
        yield RawRemote(sock)


@asynccontextmanager
async def raw_server(
    *, receive_buffer: int = 0
) -> AsyncIterator[tuple[str, Callable[[], Awaitable[RawRemote]]]]:
    """A socket that listens: its URL, and what gives the next connection."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        if receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)

        async def accept() -> RawRemote:
            await anyio.wait_readable(listener)
            return RawRemote(stack.enter_context(listener.accept()[0]))

        host, port = listener.getsockname()
        yield f"tcp://{host}:{port}", accept


def environment() -> dict[str, str]:
    """For another process: it finds the tests, too, and is not counted into their coverage, as it may be killed."""
    found = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    found["PYTHONPATH"] = os.pathsep.join([str(ROOT), found.get("PYTHONPATH", "")])
    return found


def children_now() -> set[int]:
    """The processes that this one has started and not waited for: zombies, too."""
    found: set[int] = set()
    # Not by a pattern for the paths: that looks at each of them, and fails at a process that ends in this moment.
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        try:
            fields = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[1]) == os.getpid():
            found.add(int(pid))
    return found


def threads_now() -> set[threading.Thread]:
    """Threads that were started for a purpose: the pools that loops keep for later are not counted."""
    pools = ("worker", "trio thread")
    return {each for each in threading.enumerate() if not any(name in each.name.lower() for name in pools)}


def collect() -> None:
    """All garbage, cycles of cycles too."""
    for _ in range(2):
        gc.collect()
