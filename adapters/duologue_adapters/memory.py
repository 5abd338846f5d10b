"""In-process pipes: `mem://name`, and `pair()` for two peers that know each other. Bounded like a socket, and as strict."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from duologue import Adapter, ConnectFailed, Peer, PeerSettings, ServerSettings, hookimpl
from duologue_adapters.engines import engine_here
from duologue_adapters.link_adapter import LinkAdapter
from duologue_adapters.ports import Engine, Link, Listener, Receiver, Waiter
from duologue_adapters.server import running_peer

CAPACITY = 64 * 1024
"""Bytes on their way in one direction, as in a socket's buffer: more waits at the sender."""


class MemoryLink(Link):
    """One end of a pipe. Only `bytes`, which nobody can change, go through it."""

    def __init__(self, engine: Engine, capacity: int = CAPACITY) -> None:
        self._engine = engine
        self._capacity = capacity
        self._other: MemoryLink
        self._receiver: Receiver | None = None
        self._inbox: deque[bytes | memoryview] = deque()
        self._inbox_size = 0
        self._outgoing: deque[bytes | memoryview] = deque()
        self._unsent = 0
        self._reads = False
        self._scheduled = False
        self._eof_arrived = False
        self._eof_told = False
        self._is_cut = False
        self._aborted = False

    @staticmethod
    def pair(engine: Engine, other_engine: Engine, capacity: int = CAPACITY) -> tuple[MemoryLink, MemoryLink]:
        """Two ends of one pipe. Both engines must run on the same loop."""
        one, other = MemoryLink(engine, capacity), MemoryLink(other_engine, capacity)
        one._other, other._other = other, one
        return one, other

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.resume_reading()

    def write(self, buffers: list[bytes]) -> bool:
        if self._other._is_cut or self._is_cut:
            return False  # the loss is on its way
        self._outgoing += buffers
        self._unsent += sum(map(len, buffers))
        self._move()
        return not self._outgoing

    @property
    def unsent(self) -> int:
        return self._unsent

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True
        self._schedule()

    def end_writing(self) -> None:
        self._other._eof_arrived = True
        self._other._schedule()

    def abort(self) -> None:
        self._aborted = True
        for end in (self, self._other):
            if not end._is_cut:
                end._is_cut = True
                end._schedule()
        self._schedule()  # it may have been cut there already, and held that back behind an end that was not read

    def _move(self) -> None:
        """Move what fits into the other end's inbox. A buffer that does not fit goes in pieces."""
        other = self._other
        while self._outgoing and (room := self._capacity - other._inbox_size) > 0:
            buffer = self._outgoing.popleft()
            if len(buffer) > room:
                view = memoryview(buffer)
                self._outgoing.appendleft(view[room:])
                buffer = view[:room]
            self._unsent -= len(buffer)
            other._inbox.append(buffer)
            other._inbox_size += len(buffer)
        if other._inbox:
            other._schedule()

    def _schedule(self) -> None:
        if not self._scheduled and self._receiver is not None:
            self._scheduled = True
            self._engine.call_soon(self._deliver)

    def _deliver(self) -> None:
        """One pass: what has arrived, then the end of the stream, then the loss. A paused reader gets only the loss."""
        self._scheduled = False
        receiver = self._receiver
        if receiver is None:
            return
        if self._reads and self._inbox:
            data = b"".join(self._inbox)
            self._inbox.clear()
            self._inbox_size = 0
            receiver.data_received(data)
            self._other._writable()
        if (
            self._eof_arrived
            and not self._eof_told
            and self._reads
            and not self._inbox
            and not self._other._outgoing
        ):
            self._eof_told = True
            receiver.eof_received()
        # An end that said goodbye before it was cut may be read to the end, as with a socket.
        if self._is_cut and (self._eof_told or not self._eof_arrived or self._aborted):
            self._receiver = None
            self._inbox.clear()
            receiver.connection_lost("" if self._eof_told or self._aborted else "the other end is gone")

    def _writable(self) -> None:
        if self._outgoing:
            self._move()
            if not self._outgoing and self._receiver is not None:
                self._receiver.all_written()


class MemoryListener(Listener):
    """A name that links can be opened to, within this process."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine = engine
        self._name = name
        self._links: deque[Link] = deque()
        self._waiter: Waiter | None = None
        self._is_closed = False
        self._thread = threading.get_ident()
        self.url = f"mem://{name}"

    async def accept(self) -> Link:
        while not self._links:
            if self._is_closed:
                raise OSError("closed")
            self._waiter = self._engine.waiter()
            await self._waiter
        return self._links.popleft()

    def open_link(self, engine: Engine) -> Link:
        """The other end of a new link. Raises `ConnectFailed` in another thread than that of the server's event loop."""
        if threading.get_ident() != self._thread:
            raise ConnectFailed(
                self.url,
                "it is served by another event loop: a pipe in memory can't leave its own, use tcp://",
                is_permanent=True,
            )
        mine, theirs = MemoryLink.pair(self._engine, engine)
        mine.address = theirs.address = self.url
        self._links.append(mine)
        self._notify()
        return theirs

    def close(self) -> None:
        self._is_closed = True
        if _listeners.get(self._name) is self:
            del _listeners[self._name]
        for link in self._links:
            link.abort()
        self._notify()

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


_listeners: dict[str, MemoryListener] = {}


class MemoryAdapter(LinkAdapter):
    """`mem://name`: peers of one event loop, with nothing between them but the protocol. No option."""

    schemes = ("mem",)

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        listener = _listeners.get(_name_in(url))
        if listener is None:
            known = sorted(_listeners) or "none"
            raise ConnectFailed(url, f"nobody serves that name in this process; served are {known}")
        return listener.open_link(engine)

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        name = _name_in(url)
        if name in _listeners:
            raise ConnectFailed(url, "the name is served already in this process: choose another")
        listener = _listeners[name] = MemoryListener(engine, name)
        return listener


@asynccontextmanager
async def pair(
    one: PeerSettings, other: PeerSettings, *, capacity: int = CAPACITY
) -> AsyncGenerator[tuple[Peer, Peer], None]:
    """Two peers at the ends of one pipe of `capacity` bytes in each direction."""
    async with engine_here() as engine:
        one_link, other_link = MemoryLink.pair(engine, engine, capacity)
        async with (
            running_peer(engine, one_link, one) as one_peer,
            running_peer(engine, other_link, other) as other_peer,
        ):
            yield one_peer, other_peer


def _name_in(url: str) -> str:
    _, separator, name = url.partition("://")
    if not separator or not name:
        raise ConnectFailed(url, "write mem://name", is_permanent=True)
    return name


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return MemoryAdapter()
