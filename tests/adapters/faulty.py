"""Adapters with a fault each, for what must find them. What is not wrong on purpose is the memory adapter's."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace

from duologue import ConnectFailed, Peer, PeerSettings, Server, ServerSettings
from duologue_adapters import Engine, Link, LinkAdapter, Listener, Receiver
from duologue_adapters.memory import MemoryListener


class Through(Link, Receiver):
    """A link that hands everything on, both ways: sound by itself. Faults are subclasses."""

    def __init__(self, below: Link) -> None:
        self.below = below
        self.above: Receiver
        self.address = below.address

    def start(self, receiver: Receiver) -> None:
        self.above = receiver
        self.below.start(self)

    def write(self, buffers: list[bytes]) -> bool:
        return self.below.write(buffers)

    @property
    def unsent(self) -> int:
        return self.below.unsent

    def pause_reading(self) -> None:
        self.below.pause_reading()

    def resume_reading(self) -> None:
        self.below.resume_reading()

    def end_writing(self) -> None:
        self.below.end_writing()

    def abort(self) -> None:
        self.below.abort()

    def data_received(self, data: bytes | memoryview) -> None:
        self.above.data_received(data)

    def eof_received(self) -> None:
        self.above.eof_received()

    def connection_lost(self, detail: str) -> None:
        self.above.connection_lost(detail)

    def all_written(self) -> None:
        self.above.all_written()


class LosesAByte(Through):
    """The 5,000th byte that comes is dropped."""

    seen = 0

    def data_received(self, data: bytes | memoryview) -> None:
        at = 5000 - self.seen
        self.seen += len(data)
        self.above.data_received(bytes(data[:at]) + bytes(data[at + 1 :]) if 0 <= at < len(data) else data)


class ChangesAByte(Through):
    """A bit of the 5,000th byte that comes flips: most often one of a payload."""

    seen = 0

    def data_received(self, data: bytes | memoryview) -> None:
        changed, at = bytearray(data), 5000 - self.seen
        self.seen += len(data)
        if 0 <= at < len(data):
            changed[at] ^= 1
        self.above.data_received(bytes(changed))


class Repeats(Through):
    """What comes in small pieces comes twice."""

    def data_received(self, data: bytes | memoryview) -> None:
        self.above.data_received(data)
        if len(data) < 100:
            self.above.data_received(data)


class Reorders(Through):
    """Of what is written at once the last pieces, if they are as many as in two frames, leave the other way round."""

    def write(self, buffers: list[bytes]) -> bool:
        if len(buffers) >= 4:
            buffers = [*buffers[:-4], *buffers[-2:], *buffers[-4:-2]]
        return self.below.write(buffers)


class IgnoresPauses(Through):
    """It reads on when it is told to pause."""

    def pause_reading(self) -> None:
        pass


class ForgetsToGoOn(Through):
    """It never reads again after a pause."""

    def resume_reading(self) -> None:
        pass


class NeverAllWritten(Through):
    """It does not say when it has taken what had to wait."""

    def all_written(self) -> None:
        pass


class TakesEverything(Through):
    """It says that all has left, whatever waits in it."""

    def __init__(self, below: Link) -> None:
        super().__init__(below)
        self.waiting: deque[list[bytes]] = deque()
        self.busy = False

    def write(self, buffers: list[bytes]) -> bool:
        self.waiting.append(buffers)
        if not self.busy:
            self.all_written()
        return True

    def all_written(self) -> None:
        self.busy = False
        while self.waiting and not self.busy:
            self.busy = not self.below.write(self.waiting.popleft())


class SwallowsTheEnd(Through):
    """It does not tell that the stream has ended."""

    def eof_received(self) -> None:
        pass


class NeverSaysGoodbye(Through):
    """It does not tell the other end that nothing more comes."""

    def end_writing(self) -> None:
        pass


class EndsTooEarly(TakesEverything):
    """It says that all has left, and the end of the stream overtakes what has not."""

    def end_writing(self) -> None:
        self.waiting.clear()
        super().end_writing()


class SwallowsTheLoss(Through):
    """It does not tell that the link is gone."""

    def connection_lost(self, detail: str) -> None:
        pass


class DoesNotAbort(Through):
    """It goes on when it is told to cut."""

    def abort(self) -> None:
        pass


_kept: list[object] = []


class KeepsItsPeer(Through):
    """It stays alive after its end, and with it the peer."""

    def start(self, receiver: Receiver) -> None:
        _kept.append(receiver)
        super().start(receiver)


class FaultyListener(Listener):
    """Accepts links of one kind."""

    def __init__(self, inner: MemoryListener, kind: Callable[[Link], Link]) -> None:
        self._inner = inner
        self._kind = kind
        self.url = inner.url.replace("mem:", "faulty:")

    async def accept(self) -> Link:
        return self._kind(await self._inner.accept())

    def close(self) -> None:
        self._inner.close()
        _served.pop(self.url, None)


_served: dict[str, MemoryListener] = {}


class Faulty(LinkAdapter):
    """`faulty://name`: pipes within the process, with a fault in their links, or in the adapter as subclasses have it."""

    schemes = ("faulty",)

    def __init__(self, kind: Callable[[Link], Link] = Through) -> None:
        self.kind = kind

    def listener(self, url: str) -> MemoryListener:
        if url not in _served:
            raise ConnectFailed(url, "nobody there")
        return _served[url]

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        return self.kind(self.listener(url).open_link(engine))

    def claim(self, url: str, engine: Engine) -> MemoryListener:
        if url in _served:
            raise ConnectFailed(url, "taken")
        _served[url] = MemoryListener(engine, url.removeprefix("faulty://"))
        return _served[url]

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        return FaultyListener(self.claim(url, engine), self.kind)


class IgnoresOptions(Faulty):
    """It takes whatever keywords it is given."""

    def connect(self, url: str, settings: PeerSettings) -> AbstractAsyncContextManager[Peer]:
        return super().connect(url, replace(settings, options={}))

    def serve(self, url: str, settings: ServerSettings) -> AbstractAsyncContextManager[Server]:
        return super().serve(url, replace(settings, options={}))


class LeaksErrors(Faulty):
    """Its own errors reach the user."""

    def listener(self, url: str) -> MemoryListener:
        return _served[url]


class SharesAddresses(Faulty):
    """A second server takes over from the first."""

    def claim(self, url: str, engine: Engine) -> MemoryListener:
        _served.pop(url, None)
        return super().claim(url, engine)


class OpensOneTooMany(Faulty):
    """It forgets a link that it has opened."""

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        self.listener(url).open_link(engine)
        return await super().open_link(engine, url, settings)


class WrapsExceptions(Faulty):
    """What leaves its block leaves in a group."""

    @asynccontextmanager
    async def connect(self, url: str, settings: PeerSettings) -> AsyncGenerator[Peer, None]:
        try:
            async with super().connect(url, settings) as peer:
                yield peer
        except Exception as exc:
            raise ExceptionGroup("wrapped", [exc]) from exc
