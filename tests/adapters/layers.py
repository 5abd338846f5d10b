"""Two small layers, of the kinds that real ones are: one that changes bytes, one that has a handshake and messages."""

from __future__ import annotations

import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from sniffio import current_async_library

from duologue import Limits, Peer, PeerSettings, Server, ServerSettings, Services
from duologue.plugins import find_wireformat
from duologue_adapters import Engine, Layer, LayeredLink, LayerError, Link, Listener
from duologue_adapters.engines import engine_here
from duologue_adapters.memory import MemoryLink, MemoryListener, _listeners
from duologue_adapters.opening import LayeredListener, LayerFactory, connecting, open_layers
from duologue_adapters.server import running_peer, running_server

PING, PONG, DATA, BYE = b"PQDB"


def now() -> float:
    """The clock of the engine that runs here: asyncio's is the system's own, also under uvloop."""
    return anyio.current_time() if current_async_library() == "trio" else time.monotonic()


class Masked(Layer):
    """Each byte is masked. No handshake, no goodbye, nothing to wait for."""

    def __init__(self, mask: int = 0x5A) -> None:
        self._table = bytes(byte ^ mask for byte in range(256))
        self._out: list[bytes] = []

    def receive_data(self, data: bytes | memoryview, now: float) -> list[bytes]:
        return [bytes(data).translate(self._table)]

    def receive_eof(self, now: float) -> None:
        pass

    def send_data(self, buffers: list[bytes], now: float) -> None:
        self._out += [buffer.translate(self._table) for buffer in buffers]

    def send_eof(self, now: float) -> None:
        pass

    def data_to_send(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    @property
    def is_open(self) -> bool:
        return True

    @property
    def is_ended(self) -> bool:
        return False

    def next_deadline(self) -> float | None:
        return None

    def handle_timer(self, now: float) -> None:
        raise AssertionError("it asked for no time")


class Messages(Layer):
    """A greeting first, then messages with a kind and a length, pings if `ping_every` says so, and a goodbye."""

    GREETING = b"HELLO"

    def __init__(
        self,
        *,
        greets: bool = True,
        ping_every: float | None = None,
        patience: float = 60.0,
        started: float = 0.0,
    ) -> None:
        self.pings = self.pongs = 0
        self._greeting = b""
        self._received = bytearray()
        self._out: list[bytes] = [self.GREETING] if greets else []
        self._greets = greets
        self._said_bye = False
        self._ended = False
        self._ping_every = ping_every
        self._next = started + patience if not ping_every else started + ping_every
        self._patience = patience

    def receive_data(self, data: bytes | memoryview, now: float) -> list[bytes]:
        self._received += data
        if not self.is_open and not self._take_greeting(now):
            return []
        received: list[bytes] = []
        while len(self._received) >= 5:
            kind, size = struct.unpack_from("<BI", self._received)
            if len(self._received) < 5 + size:
                break
            body = bytes(self._received[5 : 5 + size])
            del self._received[: 5 + size]
            self._message(kind, body, received)
        return received

    def _take_greeting(self, now: float) -> bool:
        size = len(self.GREETING)
        if not self.GREETING.startswith(bytes(self._received[:size])):
            self._out.append(struct.pack("<BI", BYE, 0))
            raise LayerError("it does not greet")
        if len(self._received) < size:
            return False
        self._greeting = bytes(self._received[:size])
        del self._received[:size]
        if not self._greets:
            self._out.append(self.GREETING)
        self._next = now + self._ping_every if self._ping_every else float("inf")
        return True

    def _message(self, kind: int, body: bytes, received: list[bytes]) -> None:
        if self._ended:
            raise LayerError("a message after the goodbye")
        if kind == DATA:
            received.append(body)
        elif kind == PING:
            self.pings += 1
            self._out.append(struct.pack("<BI", PONG, 0))
        elif kind == PONG:
            self.pongs += 1
        elif kind == BYE:
            self._ended = True
        else:
            self._out.append(struct.pack("<BI", BYE, 0))
            raise LayerError(f"a message of kind {kind}")

    def receive_eof(self, now: float) -> None:
        if not self._ended:
            raise LayerError("it ended without a goodbye")

    def send_data(self, buffers: list[bytes], now: float) -> None:
        assert self.is_open
        assert not self._said_bye
        self._out += [struct.pack("<BI", DATA, len(buffer)) + buffer for buffer in buffers]

    def send_eof(self, now: float) -> None:
        self._said_bye = True
        self._out.append(struct.pack("<BI", BYE, 0))

    def data_to_send(self) -> list[bytes]:
        out, self._out = self._out, []
        return out

    @property
    def is_open(self) -> bool:
        return bool(self._greeting)

    @property
    def is_ended(self) -> bool:
        return self._ended

    def next_deadline(self) -> float | None:
        return None if self._next == float("inf") else self._next

    def handle_timer(self, now: float) -> None:
        assert now >= self._next
        if not self.is_open:
            raise LayerError("it greets too slowly")
        assert self._ping_every is not None
        self._next = now + self._ping_every
        if not self._said_bye:
            self._out.append(struct.pack("<BI", PING, 0))


def layered(engine: Engine, link: Link, *layers: Layer) -> Link:
    """The link with the layers on it, the lowest first."""
    for layer in layers:
        link = LayeredLink(engine, link, layer)
    return link


@asynccontextmanager
async def over_layers(
    below: list[Layer],
    above: list[Layer],
    services: Services | None = None,
    *,
    capacity: int = 65_536,
    limits: Limits = Limits(),
) -> AsyncIterator[tuple[Peer, Peer]]:
    """Two peers at the ends of a pipe, with a stack of layers on each."""
    async with engine_here() as engine:
        one, other = MemoryLink.pair(engine, engine, capacity)
        settings = PeerSettings(wireformat=find_wireformat("msgpack"), services=services, limits=limits)
        async with (
            running_peer(engine, layered(engine, one, *below), settings) as client,
            running_peer(engine, layered(engine, other, *above), settings) as server,
        ):
            yield client, server


def client_layers(started: float) -> list[LayerFactory]:
    """What a client puts on its link: three layers, the lowest first."""
    return [lambda: Masked(1), lambda: Messages(started=started), lambda: Masked(2)]


@asynccontextmanager
async def layered_serving(
    url: str,
    services: Services | None,
    limits: Limits = Limits(),
    on_peer: Callable[[Peer], Awaitable[None] | None] | None = None,
) -> AsyncIterator[Server]:
    """A server whose connections have three layers, on TCP or in memory."""
    async with engine_here() as engine:

        async def listen() -> Listener:
            below: Listener
            if url.startswith("mem"):
                name = url.removeprefix("mem://")
                below = _listeners[name] = MemoryListener(engine, name)
            else:
                below = await engine.listen_tcp("127.0.0.1", 0)
            return LayeredListener(
                engine,
                below,
                below.url,
                lambda: Masked(1),
                lambda: Messages(greets=False, started=engine.now()),
                lambda: Masked(2),
            )

        settings = ServerSettings(
            wireformat=find_wireformat("json"), services=services, limits=limits, on_peer=on_peer
        )
        async with running_server(engine, listen, settings) as server:
            yield server


@asynccontextmanager
async def layered_server(services: Services | None, limits: Limits = Limits()) -> AsyncIterator[str]:
    """One on TCP; gives its URL."""
    async with layered_serving("tcp", services, limits) as server:
        yield server.url


@asynccontextmanager
async def layered_client(
    url: str, services: Services | None = None, limits: Limits = Limits(), *layers: LayerFactory
) -> AsyncIterator[Peer]:
    """A client of it, with other layers if some are given."""
    async with engine_here() as engine:
        with connecting(url, limits.handshake_timeout):
            link = await open_link(engine, url)
            link = await open_layers(engine, link, *(layers or client_layers(engine.now())))
        settings = PeerSettings(wireformat=find_wireformat("json"), services=services, limits=limits)
        async with running_peer(engine, link, settings) as peer:
            yield peer


async def open_link(engine: Engine, url: str) -> Link:
    """A link to a server, with nothing on it yet."""
    if url.startswith("mem"):
        return _listeners[url.removeprefix("mem://")].open_link(engine)
    host, port = url.removeprefix("tcp://").split(":")
    return await engine.connect_tcp(host, int(port))


@asynccontextmanager
async def bare_links(url: str, count: int = 1) -> AsyncIterator[list[Link]]:
    """Links to a server that say nothing."""
    async with engine_here() as engine:
        links = [await open_link(engine, url) for _ in range(count)]
        try:
            yield links
        finally:
            for link in links:
                link.abort()
