"""The three ports of the driver: who runs things (`Engine`), what carries bytes (`Link`), what wraps them (`Layer`)."""

from __future__ import annotations

import socket
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context
from types import MappingProxyType
from typing import Any, Protocol

import anyio.abc

from duologue_adapters.time_slice import TimeSlices

HEARTBEAT = 20.0
"""Seconds of silence after which an end asks whether the other is there, and after which, unanswered, it is gone. Proxies and
routers forget a connection that is silent for a minute, some of them sooner."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Timer(Protocol):
    """Something that is going to happen at a time."""

    def cancel(self) -> object:
        """It shall not happen."""
        ...


class Waiter(Protocol):
    """A value that is still to come. One task waits for it, by `await`; a cancelled wait just ends."""

    def done(self) -> bool:
        """Whether it has come, or whoever waited for it was cancelled."""
        ...

    def set_result(self, result: Any, /) -> None:
        """Here it is. Only if it is not `done`."""
        ...

    def __await__(self) -> Any: ...


class Job(Protocol):
    """A coroutine that was started and has not ended."""

    def cancel(self) -> object:
        """Cancel it. It ends soon, or as it likes; maybe without having begun."""
        ...

    def add_done_callback(self, callback: Callable[[Any], object], /) -> object:
        """Call this when it has ended, however it ended."""
        ...


class Listener(ABC):
    """Waits for links that others open."""

    url: str
    """Where it really listens."""

    has_handshake = False
    """Whether a link that was accepted needs `open` before it is used."""

    @abstractmethod
    async def accept(self) -> Link:
        """The next link. Raises `OSError` if it can't be had for want of something, which may pass."""

    async def open(self, link: Link) -> Link:
        """Do the handshake on a link that was accepted, and give what is to be used from then on.

        The server runs this for many links at once, cuts the link when `Limits.handshake_timeout` is over, and cancels this.
        Raises `LayerError`.
        """
        return link

    @abstractmethod
    def close(self) -> None:
        """Listen no more."""


class Engine(ABC):
    """Runs things, for one `connect` or `serve`. The driver knows no event loop but through this."""

    now: Callable[[], float]
    """Monotonic seconds. (The ones that are called often are attributes, so that an event loop's own functions can stand here.)"""

    call_soon: Callable[[Callable[[], None]], object]
    """Call it when what runs now has given way: one pass of the loop is the rhythm of all writing."""

    waiter: Callable[[], Waiter]
    """Make a value to wait for."""

    context: Context
    """The variables of whoever called `connect` or `serve`. Handlers start in copies of it, and so none sees another's."""

    starts_at_once: bool
    """Whether `start` runs the first step of a coroutine before it returns."""

    time_slices: TimeSlices
    """For how long the requests of one connection run until all else in the event loop has its turn."""

    cancel_requests: Callable[[], Callable[[], int]]
    """For the task that runs now: a function that counts how often it was asked to end, and has not ended."""

    @abstractmethod
    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        """Call it at a time in the clock of `now`."""

    @abstractmethod
    def start(self, coroutine: Coroutine[Any, Any, None]) -> Job | None:
        """Run a coroutine in a task and a copy of `context` of its own, at once if that can be; None if it has ended already."""

    @abstractmethod
    def end_in(self, exc: BaseException) -> BaseException | None:
        """What must be raised further: the end of the task or of the process, by itself or in a group.

        None if there is none in it, so that it is a handler's failure and nothing else.
        """

    @abstractmethod
    def raise_on(self, exc: BaseException) -> None:
        """The process, or the loop, is to end by this. Raise it from where the loop lets it through."""

    @abstractmethod
    def allow_threads(self, count: int) -> None:
        """So many more threads may be needed at once; with a negative number, fewer."""

    @abstractmethod
    async def run_in_thread(self, function: Callable[[], None], ended: Callable[[], None]) -> None:
        """Run a function in a worker thread. `ended` is called here when it has really ended there, which may be
        long after the one who waited for it was cancelled: a thread can't be.
        """

    @abstractmethod
    def watch_readable(self, fd: int, callback: Callable[[], None]) -> Job:
        """Call it whenever a descriptor is readable, until the job is cancelled. Close the descriptor only when that has ended."""

    @abstractmethod
    async def sleep(self, seconds: float) -> None:
        """Wait."""

    @abstractmethod
    async def finish(self, wait: Callable[[], Awaitable[object]]) -> None:
        """Wait for something that has an end of its own, to the end, even if the caller is cancelled meanwhile."""

    @abstractmethod
    async def connect_tcp(self, host: str, port: int, heartbeat: float = HEARTBEAT) -> Link:
        """Open a TCP connection. The system asks after `heartbeat` seconds of silence whether the other end is there. Raises `OSError`."""

    @abstractmethod
    async def listen_tcp(self, host: str, port: int, heartbeat: float = HEARTBEAT) -> Listener:
        """Listen on a TCP port; 0 picks one. The same heartbeat for all connections. Raises `OSError`."""

    @abstractmethod
    async def socket_link(self, sock: socket.socket) -> Link:
        """A link over a stream socket that is connected. The socket is the link's from now on, and closed if this raises.

        Raises `ConnectionAbortedError` if the other end has gone again.
        """

    @abstractmethod
    def stream_link(self, stream: anyio.abc.AnyByteStream, address: str = "") -> Link:
        """A link over a stream of anyio that is open, of bytes or of objects that are bytes. The stream is the link's from now on."""

    @abstractmethod
    def pipe_link(self, reader: int, writer: int) -> Link:
        """A link that reads from one descriptor and writes to another: pipes, or one socket twice. Both are the link's from now on.

        They don't block while they are, and are then set back, since other processes may share them.
        """


class Receiver(ABC):
    """What a link calls back: the driver, or the layer above the link."""

    @abstractmethod
    def data_received(self, data: bytes | memoryview) -> None:
        """Bytes came. A view is valid only until this returns."""

    @abstractmethod
    def eof_received(self, cut_short: str = "") -> None:
        """The other end has ended its half. `cut_short` says in words why that is no clean end; empty if it is one."""

    @abstractmethod
    def connection_lost(self, detail: str) -> None:
        """The link is gone; `detail` is empty if it was closed by us. The last call."""

    @abstractmethod
    def all_written(self) -> None:
        """What `write` could not take at once has been taken."""


class Link(ABC):
    """Carries bytes, in order. It decides nothing."""

    address: str = ""
    """The other end, for people."""

    extra: Mapping[str, Any] = _NOTHING
    """What else is known of the other end, for `PeerInfo.extra`."""

    @property
    def end_detail(self) -> str:
        """What is known, when the stream has ended, of how the other end did: for `PeerClosed.detail`."""
        return ""

    @property
    def is_refused(self) -> bool:
        """Whether it was lost since the other end does not want this one, and won't the next time."""
        return False

    @abstractmethod
    def start(self, receiver: Receiver) -> None:
        """Begin to read, and call back."""

    @abstractmethod
    def write(self, buffers: list[bytes]) -> bool:
        """Take bytes. True if all have left; False if some wait, and then `all_written` follows. Not called again before."""

    @property
    @abstractmethod
    def unsent(self) -> int:
        """Bytes that were given to `write` and have not left."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Read nothing for now. Something that is on its way may still be called back."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Read on."""

    def read_at_most(self, size: int | None) -> None:  # noqa: B027 - whoever reads little at once has nothing to do
        """From now on read no more than so many bytes at once, as memory is short; None for as many as it likes."""

    @abstractmethod
    def end_writing(self) -> None:
        """Tell the other end that nothing more comes from here, and go on reading."""

    @abstractmethod
    def abort(self) -> None:
        """Cut it, at once, whatever is unsent. `connection_lost` follows."""

    async def wait_said(self) -> None:
        """After `abort`: wait until a layer's last words have left. Most links have none. One may wait, for a second at most."""
        return


class Layer(ABC):
    """Stands between a link and what uses it, without I/O: TLS, WebSocket. `LayeredLink` runs it."""

    extra: Mapping[str, Any] = _NOTHING
    """What the handshake has told of the other end, for `PeerInfo.extra`; looked at once, when it `is_open`."""

    @abstractmethod
    def receive_data(self, data: bytes | memoryview, now: float) -> list[bytes]:
        """Bytes came from the link; gives what is to go up. Raises `LayerError` if the other end broke the layer's rules."""

    @abstractmethod
    def receive_eof(self, now: float) -> None:
        """The link's stream has ended. Raises `CutShort` if that cuts the layer's own stream, or `LayerError` if it must not be."""

    @abstractmethod
    def send_data(self, buffers: list[bytes], now: float) -> None:
        """Bytes came from above, to be wrapped. Only when `is_open`."""

    @abstractmethod
    def send_eof(self, now: float) -> None:
        """Nothing more comes from above: say goodbye in the layer's way."""

    @abstractmethod
    def data_to_send(self) -> list[bytes]:
        """What is to go down to the link now. Receiving makes such data, too."""

    @property
    @abstractmethod
    def is_open(self) -> bool:
        """Whether the handshake is done, so that bytes from above may pass."""

    @property
    @abstractmethod
    def is_ended(self) -> bool:
        """Whether the other end has said goodbye in the layer's way."""

    def reading_paused(self, now: float) -> None:  # noqa: B027 - most layers don't mind
        """Nothing comes from the link for now, since whoever is above has enough: silence means nothing, until further notice."""

    def reading_resumed(self, now: float) -> None:  # noqa: B027 - the same
        """The link is read again."""

    @abstractmethod
    def next_deadline(self) -> float | None:
        """When to call `handle_timer`; None for never."""

    @abstractmethod
    def handle_timer(self, now: float) -> None:
        """The time has come: a ping is due, or the other end is late. Raises `LayerError` to give up."""


class LayerError(Exception):
    """The other end broke a layer's rules; the text says which. The link is lost for what is above.

    `is_permanent`: it would again, as long as nothing is changed at either end (`ConnectFailed.is_permanent`).
    """

    def __init__(self, text: str, *, is_permanent: bool = False) -> None:
        super().__init__(text)
        self.is_permanent = is_permanent


class CutShort(LayerError):
    """The stream ended without the layer's goodbye. That is an end of the stream for what is above, but no clean one."""
