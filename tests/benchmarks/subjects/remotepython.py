"""RPyC, which is synchronous: many calls are kept on their way with its `async_` results instead of tasks."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import rpyc  # type: ignore[import-untyped, import-not-found, unused-ignore]  # optional, without types
from rpyc.utils.server import ThreadedServer  # type: ignore[import-untyped, import-not-found, unused-ignore]

from benchmarks.load import BARRIER_SECONDS, BenchmarkError, Client, Tally
from benchmarks.runtimes import Runtime
from benchmarks.subjects.base import HOST, Subject

_SENDS_ON_THEIR_WAY = 64
"""It has no one-way messages: calls whose (empty) answers nobody looks at are what comes nearest."""

_handled = 0


class _Service(rpyc.Service):  # type: ignore[misc, unused-ignore]  # rpyc has no types
    def on_connect(self, conn: Any) -> None:
        _do_not_compress(conn)

    def exposed_add(self, a: int, b: int) -> int:
        return a + b

    def exposed_echo(self, data: bytes) -> bytes:
        return data

    def exposed_log(self, line: str) -> None:
        global _handled
        _handled += 1

    def exposed_handled(self) -> int:
        return _handled


def _do_not_compress(connection: Any) -> None:
    # By default it compresses whatever is over 3,000 bytes, and there is no public switch. No other subject
    # compresses, and the echoes are random bytes.
    connection._channel.compress = False


class _Client(Client):
    def __init__(self, connection: Any) -> None:
        root = connection.root
        self._add = root.add
        self._handled = root.handled
        self._start_add = rpyc.async_(root.add)
        self._start_echo = rpyc.async_(root.echo)
        self._start_log = rpyc.async_(root.log)
        self._sent = 0

    async def touch(self) -> None:
        if self._add(1, 2) != 3:
            raise BenchmarkError("a wrong answer to 1 + 2")

    async def one_at_a_time(self, seconds: float) -> list[float]:
        add = self._add
        times: list[float] = []
        before = perf_counter()
        end = before + seconds
        while before < end:
            if add(1, 2) != 3:
                raise BenchmarkError("a wrong answer to 1 + 2")
            now = perf_counter()
            times.append(now - before)
            before = now
        return times

    async def calls(self, outstanding: int, seconds: float) -> Tally:
        def is_right(answer: Any) -> bool:
            return bool(answer == 3)

        return self._keep_busy(lambda: self._start_add(1, 2), is_right, outstanding, seconds)

    async def echoes(self, size: int, outstanding: int, seconds: float, encoded: bool) -> Tally:
        data = os.urandom(size)

        def is_right(answer: Any) -> bool:
            return len(answer) == size

        tally = self._keep_busy(lambda: self._start_echo(data), is_right, outstanding, seconds)
        return Tally(tally.count * size, tally.seconds)

    async def sends(self, seconds: float) -> Tally:
        def is_right(answer: Any) -> bool:
            return answer is None

        start = perf_counter()
        tally = self._keep_busy(lambda: self._start_log("hello"), is_right, _SENDS_ON_THEIR_WAY, seconds)
        self._sent += tally.count
        while (handled := self._handled()) != self._sent:
            if handled > self._sent or perf_counter() > start + seconds + BARRIER_SECONDS:
                raise BenchmarkError(f"{self._sent} one-way messages sent, {handled} handled")
        return Tally(tally.count, perf_counter() - start)

    def _keep_busy(
        self,
        start_call: Callable[[], Any],
        is_right: Callable[[Any], bool],
        outstanding: int,
        seconds: float,
    ) -> Tally:
        """Answers come in order, so waiting for the oldest call and starting another keeps the number."""
        start = perf_counter()
        end = start + seconds
        on_their_way = deque(start_call() for _ in range(outstanding))
        count = 0
        while on_their_way:
            if not is_right(on_their_way.popleft().value):
                raise BenchmarkError("a wrong answer")
            count += 1
            if perf_counter() < end:
                on_their_way.append(start_call())
        return Tally(count, perf_counter() - start)


class RemotePython(Subject):
    """RPyC's threaded server; the one busy connection has a thread to itself."""

    async def serve(self, ready: Callable[[str], None]) -> None:
        server = ThreadedServer(_Service, hostname=HOST, port=0, backlog=1024)
        ready(str(server.port))
        # Blocks the loop of this process for good, in which nothing else runs.
        server.start()

    @asynccontextmanager
    async def connect(self, address: str) -> AsyncIterator[_Client]:
        connection = rpyc.connect(HOST, int(address))
        _do_not_compress(connection)
        try:
            yield _Client(connection)
        finally:
            connection.close()


def make(runtime: Runtime, wireformat: str) -> Subject:
    """The subject; it has a serialization of its own."""
    return RemotePython(runtime)
