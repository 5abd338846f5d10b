"""The engine for asyncio and uvloop: callbacks, no reader or writer task, and what a pass of the loop writes leaves at once."""

from __future__ import annotations

import asyncio
import functools
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from types import TracebackType
from typing import Any

import anyio.abc

from duologue_adapters.engines.endings import end_in
from duologue_adapters.engines.pipes import PipeLink
from duologue_adapters.engines.sockets import SocketLink
from duologue_adapters.engines.streamlink import StreamLink
from duologue_adapters.engines.tcp import TcpListener, connected_to_itself, is_to_itself, tune
from duologue_adapters.engines.threads import Threads
from duologue_adapters.ports import HEARTBEAT, Engine, Job, Link, Listener, Timer
from duologue_adapters.time_slice import TimeSlices


class CallbacksEngine(Engine, AbstractAsyncContextManager[Engine]):
    """Runs one `connect` or `serve` on the running asyncio loop. Its tasks end with it.

    A loop with a clock or tasks of its own derives from it, and hands it out as `engine_here` says.
    """

    task_class: type[asyncio.Task[None]] = asyncio.Task
    """What `start` makes where the first step of a coroutine runs at once: no task factory of the loop is asked there."""

    def __init__(self) -> None:
        self._loop = loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()  # the loop itself holds tasks only weakly
        self._streams: set[asyncio.Task[None]] = set()
        self._threads = Threads(loop.call_soon_threadsafe)
        self.context = copy_context()
        self.now = time.monotonic
        self.call_soon = functools.partial(loop.call_soon, context=self.context)
        self.starts_at_once = sys.version_info >= (3, 12)
        self.time_slices = TimeSlices()
        self.cancel_requests = _cancel_requests
        self.waiter = functools.partial(asyncio.Future, loop=loop)

    async def __aenter__(self) -> Engine:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        tasks = self._tasks - {asyncio.current_task()}  # it may be a handler that leaves
        for task in tasks:
            task.cancel()
        # Those of streams end by themselves, as their links have been cut. Cancelled too early they would leave theirs open.
        tasks |= self._streams
        if tasks:
            await self.finish(lambda: asyncio.wait(tasks, timeout=10.0))

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        # A loop has a clock of its own: uvloop's starts elsewhere, and stands still during a pass.
        return self._loop.call_later(max(0.0, when - time.monotonic()), callback, context=self.context)

    if sys.version_info >= (3, 12):

        def start(self, coroutine: Coroutine[Any, Any, None]) -> Job | None:
            # The first step runs here and now: most handlers end in it, and are never scheduled at all.
            task = self.task_class(coroutine, loop=self._loop, context=self.context.copy(), eager_start=True)
            if task.done():
                return None
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return task

    else:

        def start(self, coroutine: Coroutine[Any, Any, None]) -> Job | None:
            task = self._loop.create_task(coroutine, context=self.context.copy())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return task

    def end_in(self, exc: BaseException) -> BaseException | None:
        return end_in(exc, asyncio.CancelledError)

    def raise_on(self, exc: BaseException) -> None:
        # uvloop lets nothing out of what it calls when bytes came, and cuts the connection.
        self._loop.call_soon(_raise, exc)

    def allow_threads(self, count: int) -> None:
        self._threads.allow(count)

    async def run_in_thread(self, function: Callable[[], None], ended: Callable[[], None]) -> None:
        await self._threads.run(function, ended)

    def watch_readable(self, fd: int, callback: Callable[[], None]) -> Job:
        return ReadableWatch(self._loop, fd, callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def finish(self, wait: Callable[[], Awaitable[object]]) -> None:
        waiting = asyncio.ensure_future(wait())
        cancelled: asyncio.CancelledError | None = None
        while not waiting.done():
            try:
                await asyncio.wait([waiting])
            except asyncio.CancelledError as exc:
                cancelled = exc
        waiting.result()
        if cancelled is not None:
            raise cancelled

    async def connect_tcp(self, host: str, port: int, heartbeat: float = HEARTBEAT) -> Link:
        transport, link = await self._loop.create_connection(SocketLink, host, port)
        if (sock := transport.get_extra_info("socket")) is not None:
            if is_to_itself(sock):
                transport.abort()
                raise connected_to_itself()
            tune(sock, heartbeat)
        return link

    async def listen_tcp(self, host: str, port: int, heartbeat: float = HEARTBEAT) -> Listener:
        infos = await self._loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return TcpListener(self, infos, heartbeat)

    async def socket_link(self, sock: socket.socket) -> Link:
        try:
            sock.setblocking(False)
            _, link = await self._loop.connect_accepted_socket(SocketLink, sock)
        except BaseException:
            sock.close()
            raise
        return link

    def stream_link(self, stream: anyio.abc.AnyByteStream, address: str = "") -> Link:
        return StreamLink(self._start_stream, stream, address)

    def _start_stream(self, function: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        task = self._loop.create_task(function(*args), context=self.context.copy())
        self._streams.add(task)
        task.add_done_callback(self._streams.discard)

    def pipe_link(self, reader: int, writer: int) -> Link:
        return PipeLink(self._loop, reader, writer)


def _raise(exc: BaseException) -> None:
    raise exc


class ReadableWatch:
    """A descriptor in the loop's selector. Cancelled, it has ended at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._fd = fd
        self._is_cancelled = False
        self._callbacks: list[Callable[[Any], object]] = []
        loop.add_reader(fd, callback)

    def cancel(self) -> None:
        if not self._is_cancelled:
            self._is_cancelled = True
            self._loop.remove_reader(self._fd)
            for callback in self._callbacks:
                callback(self)

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        if self._is_cancelled:
            callback(self)
        else:
            self._callbacks.append(callback)


def _cancel_requests() -> Callable[[], int]:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling
