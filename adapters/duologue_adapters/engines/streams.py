"""The engine on anyio, for trio: streams, and tasks in groups."""

from __future__ import annotations

import heapq
import itertools
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import AbstractAsyncContextManager
from contextvars import copy_context
from types import TracebackType
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel

from duologue_adapters.engines.endings import end_in, end_of_process_in
from duologue_adapters.engines.pipes import PipeStream
from duologue_adapters.engines.sockets import name_of
from duologue_adapters.engines.streamlink import StreamLink
from duologue_adapters.engines.tcp import TcpListener, connected_to_itself, is_to_itself, tune
from duologue_adapters.engines.threads import Threads
from duologue_adapters.ports import HEARTBEAT, Engine, Job, Link, Listener, Timer
from duologue_adapters.time_slice import TimeSlices

_SLACK = 64
"""Timers kept before the cancelled ones among them are looked for."""


class StreamsEngine(Engine, AbstractAsyncContextManager[Engine]):
    """Runs one `connect` or `serve` in a task group.

    The group is shielded: when the user's block is cancelled, the driver still has to say goodbye. It ends when the
    block has been left. Timers and `call_soon` are one task, which sleeps until the next of them.
    """

    def __init__(self) -> None:
        self.context = copy_context()
        self.now = anyio.current_time
        self.call_soon = self._call_soon
        self.waiter = StreamsWaiter
        self.starts_at_once = False
        self.time_slices = TimeSlices()
        self.cancel_requests = lambda: _never  # a scope that a handler opens ends with it
        self._soon: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[float, int, StreamsTimer]] = []
        self._numbers = itertools.count()
        self._clean_at = _SLACK
        self._wake = anyio.Event()
        self._cancelled = anyio.get_cancelled_exc_class()
        self._threads = Threads(_call_from_thread())
        self._finishing: set[anyio.CancelScope] = set()
        self._has_died = False
        """Something has ended the group, and nothing that is waited for comes any more."""
        self._outer: anyio.abc.TaskGroup
        self._group: anyio.abc.TaskGroup

    async def __aenter__(self) -> Engine:
        self._outer = anyio.create_task_group()
        await self._outer.__aenter__()
        running = anyio.Event()
        self._outer.start_soon(self._run, running)
        # Not by `start`: if the block is cancelled already, what it starts shielded would be in nobody's group, for ever.
        with anyio.CancelScope(shield=True):
            await running.wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._group.cancel_scope.cancel()
        try:
            if exc is None or isinstance(exc, self._cancelled):
                return await self._outer.__aexit__(kind, exc, traceback)
            # An exception of the user's block goes on as it is: that a task group runs here is nobody's business. Nor
            # does a cancellation that comes meanwhile take its place.
            self._outer.cancel_scope.shield = True
            await self._outer.__aexit__(None, None, None)
        except BaseExceptionGroup as group:
            if (end := end_of_process_in(group)) is not None:
                raise end from None
            raise
        return None

    async def _run(self, running: anyio.Event) -> None:
        try:
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as self._group:
                    running.set()
                    await self._tick()
        finally:
            self._has_died = True
            for scope in self._finishing:
                scope.cancel()

    async def _tick(self) -> None:
        soon, timers = self._soon, self._timers
        while True:
            for _ in range(len(soon)):  # what they ask for in turn comes after a checkpoint
                soon.popleft()()
            now = anyio.current_time()
            while timers and timers[0][0] <= now:
                timer = heapq.heappop(timers)[2]
                if timer.callback is not None:
                    timer.callback()
            if soon:
                await anyio.lowlevel.checkpoint()
                continue
            self._wake = anyio.Event()
            with anyio.CancelScope(deadline=timers[0][0] if timers else float("inf")):
                await self._wake.wait()

    def _call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)
        self._wake.set()

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = StreamsTimer(callback)
        timers = self._timers
        heapq.heappush(timers, (when, next(self._numbers), timer))
        if timers[0][2] is timer:
            self._wake.set()
        if len(timers) > self._clean_at:
            timers[:] = [entry for entry in timers if entry[2].callback is not None]
            heapq.heapify(timers)
            self._clean_at = max(_SLACK, 2 * len(timers))
        return timer

    def start(self, coroutine: Coroutine[Any, Any, None]) -> Job | None:
        job = StreamsJob(coroutine)
        _ = self.context.run(self._group.start_soon, job.run)  # nobody waits for it: the group does
        return job

    def end_in(self, exc: BaseException) -> BaseException | None:
        return end_in(exc, self._cancelled)

    def raise_on(self, exc: BaseException) -> None:
        raise exc

    def allow_threads(self, count: int) -> None:
        self._threads.allow(count)

    async def run_in_thread(self, function: Callable[[], None], ended: Callable[[], None]) -> None:
        await self._threads.run(function, ended)

    def watch_readable(self, fd: int, callback: Callable[[], None]) -> Job:
        async def watch() -> None:
            while True:
                await anyio.wait_readable(fd)
                callback()

        job = StreamsJob(watch())
        self._group.start_soon(job.run)
        return job

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    async def finish(self, wait: Callable[[], Awaitable[object]]) -> None:
        with anyio.CancelScope(shield=True) as scope:
            self._finishing.add(scope)
            try:
                if not self._has_died:
                    await wait()
            finally:
                self._finishing.discard(scope)

    async def connect_tcp(self, host: str, port: int, heartbeat: float = HEARTBEAT) -> Link:
        try:
            stream = await anyio.connect_tcp(host, port)
        except OSError as exc:
            raise real_cause(exc) from exc
        sock = stream.extra(anyio.abc.SocketAttribute.raw_socket)
        if is_to_itself(sock):
            await anyio.aclose_forcefully(stream)
            raise connected_to_itself()
        tune(sock, heartbeat)
        return self._over_socket(stream)

    async def listen_tcp(self, host: str, port: int, heartbeat: float = HEARTBEAT) -> Listener:
        infos = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return TcpListener(self, infos, heartbeat)

    async def socket_link(self, sock: socket.socket) -> Link:
        kind = anyio.abc.UNIXSocketStream if sock.family == socket.AF_UNIX else anyio.abc.SocketStream
        try:
            await (
                anyio.lowlevel.checkpoint()
            )  # whoever accepts many of them must not keep others from running
            return self._over_socket(await kind.from_socket(sock))
        except ValueError as exc:  # so it says that the other end has gone again
            sock.close()
            raise ConnectionAbortedError(str(exc)) from exc
        except BaseException:
            sock.close()
            raise

    def pipe_link(self, reader: int, writer: int) -> Link:
        return self.stream_link(PipeStream(reader, writer))

    def _over_socket(self, stream: anyio.abc.SocketStream) -> Link:
        # The address of one that is gone already can't be had. Reading will tell that it is.
        return self.stream_link(stream, name_of(stream.extra(anyio.abc.SocketAttribute.remote_address, "")))

    def stream_link(self, stream: anyio.abc.AnyByteStream, address: str = "") -> Link:
        return StreamLink(self._group.start_soon, stream, address)


class StreamsWaiter:
    """A value to wait for; the event is made only if someone really has to wait."""

    __slots__ = ("_event", "_is_done", "_result")

    def __init__(self) -> None:
        self._event: anyio.Event | None = None
        self._is_done = False
        self._result: Any = None

    def done(self) -> bool:
        return self._is_done

    def set_result(self, result: Any, /) -> None:
        self._result = result
        self._is_done = True
        if self._event is not None:
            self._event.set()

    def __await__(self) -> Generator[Any, Any, Any]:
        if not self._is_done:
            self._event = anyio.Event()
            try:
                yield from self._event.wait().__await__()
            except BaseException:
                self._is_done = True  # nobody waits any more
                raise
        return self._result


class StreamsTimer:
    """An entry of the engine's heap. Cancelled ones stay there for a while, without what they would have called."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class StreamsJob:
    """A coroutine in the engine's group, with a scope of its own to cancel it by."""

    __slots__ = ("_callbacks", "_coroutine", "_scope")

    def __init__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self._coroutine = coroutine
        self._scope = anyio.CancelScope()
        self._callbacks: list[Callable[[Any], object]] | None = []

    async def run(self) -> None:
        try:
            with self._scope:
                if not self._scope.cancel_called:  # before its first step
                    await self._coroutine
        finally:
            self._coroutine.close()
            callbacks, self._callbacks = self._callbacks or [], None
            for callback in callbacks:
                callback(self)

    def cancel(self) -> None:
        self._scope.cancel()

    def add_done_callback(self, callback: Callable[[Any], object], /) -> None:
        if self._callbacks is None:
            callback(self)
        else:
            self._callbacks.append(callback)


def _call_from_thread() -> Callable[[Callable[[], None]], object]:
    """How a worker thread has something called in the loop that runs now, without waiting for that: the loop may be ending."""
    native: Any = anyio.lowlevel.current_token().native_token  # a `trio.lowlevel.TrioToken`
    call: Callable[[Callable[[], None]], object] = native.run_sync_soon
    return call


def real_cause(error: OSError) -> OSError:
    """What the system said, where anyio only says that it was of no use; of several addresses all that it said."""
    match error.__cause__:
        case OSError() as cause:
            return cause
        case ExceptionGroup(exceptions=causes):
            return OSError("; ".join(dict.fromkeys(map(str, causes))))
        case _:
            return error


def _never() -> int:
    return 0
