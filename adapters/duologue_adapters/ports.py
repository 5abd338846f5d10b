"""The three ports of the driver: who runs things (`Engine`), what carries bytes (`Link`), what wraps them (`Layer`)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextvars import Context
from types import MappingProxyType
from typing import Any, Protocol


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

    @abstractmethod
    async def accept(self) -> Link:
        """The next link. Raises `OSError` if it can't be had for want of something, which may pass."""

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
    async def connect_tcp(self, host: str, port: int) -> Link:
        """Open a TCP connection. Raises `OSError`."""

    @abstractmethod
    async def listen_tcp(self, host: str, port: int) -> Listener:
        """Listen on a TCP port; 0 picks one. Raises `OSError`."""


class Receiver(ABC):
    """What a link calls back: the driver, or the layer above the link."""

    @abstractmethod
    def data_received(self, data: bytes | memoryview) -> None:
        """Bytes came. A view is valid only until this returns."""

    @abstractmethod
    def eof_received(self) -> None:
        """The other end has ended its half."""

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

    extra: Mapping[str, Any] = MappingProxyType({})
    """What else is known about the other end, for `PeerInfo.extra`."""

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

    @abstractmethod
    def end_writing(self) -> None:
        """Tell the other end that nothing more comes from here, and go on reading."""

    @abstractmethod
    def abort(self) -> None:
        """Cut it, at once, whatever is unsent. `connection_lost` follows."""


class Layer(ABC):
    """Stands between a link and what uses it, without I/O: TLS, WebSocket. `layers.LayeredLink` runs it."""

    @abstractmethod
    def receive_data(self, data: bytes | memoryview, now: float) -> list[bytes]:
        """Bytes came from the link; gives what is to go up. Raises `LayerError` if the other end broke the layer's rules."""

    @abstractmethod
    def receive_eof(self, now: float) -> None:
        """The link's stream has ended. Raises `LayerError` if that cuts the layer's own stream."""

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

    @abstractmethod
    def next_deadline(self) -> float | None:
        """When to call `handle_timer`; None for never."""

    @abstractmethod
    def handle_timer(self, now: float) -> None:
        """The time has come: a ping is due, or the other end is late. Raises `LayerError` to give up."""


class LayerError(Exception):
    """The other end broke a layer's rules; the text says which."""
