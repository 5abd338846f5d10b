"""The load generators: how each case loads a client, the same for every subject with awaitable calls."""

from __future__ import annotations

import os
import statistics
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import perf_counter

from benchmarks.cases import Case
from benchmarks.runtimes import Runtime

SENDS_PER_PASS = 100
"""After so many sends the loop gets a turn: a subject without a limit of its own would never write otherwise."""

BARRIER_SECONDS = 30.0
"""How long the server may take to handle what is still on its way when the sending ends."""

WARM_UP = 0.25
"""Seconds of the same load before each measurement, or the measurement's own time where that is less."""


class BenchmarkError(Exception):
    """A subject did something wrong: lost a message, gave a wrong answer."""


@dataclass
class Tally:
    """How much was done, and how long it took."""

    count: int
    seconds: float

    @property
    def rate(self) -> float:
        return self.count / self.seconds


class Client(ABC):
    """One connection of a subject, as the cases see it."""

    @abstractmethod
    async def touch(self) -> None:
        """Make one call, so that the connection is up at both ends."""

    @abstractmethod
    async def one_at_a_time(self, seconds: float) -> list[float]:
        """Call again and again, and return how many seconds each took."""

    @abstractmethod
    async def calls(self, outstanding: int, seconds: float) -> Tally:
        """Keep so many calls on their way."""

    @abstractmethod
    async def sends(self, seconds: float) -> Tally:
        """Send one-way messages; it is over when the server has handled exactly as many as were sent."""

    @abstractmethod
    async def echoes(self, size: int, outstanding: int, seconds: float, encoded: bool) -> Tally:
        """Keep so many echoes on their way; the tally counts bytes, once for both ways."""


class AwaitableClient(Client):
    """A client whose calls are awaitables: most. A subject gives the five verbs, the loops are here."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._sent = 0

    @abstractmethod
    def add(self, a: int, b: int) -> Awaitable[int]:
        """Call: the sum."""

    @abstractmethod
    def echo(self, data: bytes) -> Awaitable[bytes]:
        """Call: the same bytes."""

    @abstractmethod
    async def send_lines(self, count: int) -> None:
        """Send so many one-way messages, as a user of the subject would in a loop."""

    @abstractmethod
    async def handled(self) -> int:
        """Call: how many one-way messages this server has handled since it was started."""

    def payload_size(self, size: int) -> int:
        """The payload that makes a frame of `size` bytes; where frames aren't comparable, `size` itself."""
        return size

    async def touch(self) -> None:
        await self._checked_add()

    async def _checked_add(self) -> None:
        if await self.add(1, 2) != 3:
            raise BenchmarkError("a wrong answer to 1 + 2")

    async def one_at_a_time(self, seconds: float) -> list[float]:
        add = self.add
        times: list[float] = []
        before = perf_counter()
        end = before + seconds
        while before < end:
            if await add(1, 2) != 3:
                raise BenchmarkError("a wrong answer to 1 + 2")
            now = perf_counter()
            times.append(now - before)
            before = now
        return times

    async def calls(self, outstanding: int, seconds: float) -> Tally:
        add = self.add
        count = 0

        async def call_in_a_loop() -> None:
            nonlocal count
            while perf_counter() < end:
                if await add(1, 2) != 3:
                    raise BenchmarkError("a wrong answer to 1 + 2")
                count += 1

        start = perf_counter()
        end = start + seconds
        await self._runtime.run_all([call_in_a_loop] * outstanding)
        return Tally(count, perf_counter() - start)

    async def sends(self, seconds: float) -> Tally:
        before = self._sent
        start = perf_counter()
        end = start + seconds
        while perf_counter() < end:
            await self.send_lines(SENDS_PER_PASS)
            self._sent += SENDS_PER_PASS
            await self._runtime.checkpoint()
        await self._barrier()
        return Tally(self._sent - before, perf_counter() - start)

    async def _barrier(self) -> None:
        """Wait until the server has handled all that was sent: nothing may be lost, nothing handled twice."""
        deadline = perf_counter() + BARRIER_SECONDS
        while (handled := await self.handled()) != self._sent:
            if handled > self._sent or perf_counter() > deadline:
                raise BenchmarkError(f"{self._sent} one-way messages sent, {handled} handled")

    def echo_frame(self, payload: bytes) -> Awaitable[bytes]:
        """Call: the same payload, as it is."""
        raise NotImplementedError

    def frame_payload_size(self, size: int) -> int:
        """The payload of a bare frame of `size` bytes."""
        raise NotImplementedError

    async def echoes(self, size: int, outstanding: int, seconds: float, encoded: bool) -> Tally:
        echo = self.echo if encoded else self.echo_frame
        # Random, so that nobody profits from compressing it.
        data = os.urandom(self.payload_size(size) if encoded else self.frame_payload_size(size))
        if await echo(data) != data:
            raise BenchmarkError("an echo is not what was sent")
        count = 0

        async def echo_in_a_loop() -> None:
            nonlocal count
            while perf_counter() < end:
                if len(await echo(data)) != len(data):
                    raise BenchmarkError("an echo has another length than what was sent")
                count += 1

        start = perf_counter()
        end = start + seconds
        await self._runtime.run_all([echo_in_a_loop] * outstanding)
        return Tally(count * size, perf_counter() - start)


async def measure(case: Case, client: Client, seconds: float) -> dict[str, float]:
    """Warm up, measure, and return the case's figures by the names of its metrics."""
    warm_up = min(WARM_UP, seconds)
    if case.kind == "one":
        await client.one_at_a_time(warm_up)
        times = await client.one_at_a_time(seconds)
        return {"rate": len(times) / sum(times), "p50_us": statistics.median(times) * 1e6}
    load: Callable[[float], Awaitable[Tally]]
    if case.kind == "calls":

        def load(seconds: float) -> Awaitable[Tally]:
            return client.calls(case.outstanding, seconds)
    elif case.kind == "sends":
        load = client.sends
    else:

        def load(seconds: float) -> Awaitable[Tally]:
            return client.echoes(case.size, case.outstanding, seconds, case.encoded)

    await load(warm_up)
    rate = (await load(seconds)).rate
    return {"mb_per_s": rate / 1e6} if case.kind == "echoes" else {"rate": rate}
