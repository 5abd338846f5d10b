"""Processes that a scenario starts, and what the system tells of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from tests.adapters.common import ROOT, environment
from tests.torture.messages import Held, Push, Release, Trim, control
from tests.torture.setting import MIB, Setting
from tests.torture.victim import Plan

from duologue import Peer, connect


class Process:
    """One of ours, with pipes to it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.pid = process.pid

    async def line(self) -> str:
        """The next one that it prints. Raises `EOFError` if it has ended."""
        assert self._process.stdout is not None
        line = await anyio.to_thread.run_sync(self._process.stdout.readline, abandon_on_cancel=True)
        if not line:
            raise EOFError(f"process {self.pid} has ended with {self._process.wait()}")
        return line.rstrip("\n")

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def memory(self) -> int:
        """Bytes that are resident now."""
        return self._status("VmRSS")

    @property
    def peak(self) -> int:
        """The most that it was since `forget_peak`."""
        return self._status("VmHWM")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    @property
    def work(self) -> float:
        """Seconds of the processor."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * 1024
        raise OSError(f"process {self.pid} has no {name}: it has ended")


@contextmanager
def started(module: str, plan: object) -> Iterator[Process]:
    """A module of this package, as a process. It is killed in the end."""
    popen = subprocess.Popen(
        [sys.executable, "-m", f"tests.torture.{module}", json.dumps(plan, default=os.fspath)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    try:
        yield Process(popen)
    finally:
        popen.kill()
        popen.wait()
        for pipe in (popen.stdin, popen.stdout):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                pass  # what it was told last it has not read any more


class Server(Process):
    """The victim, from outside."""

    def __init__(self, process: Process, url: str, peer: Peer) -> None:
        super().__init__(process._process)
        self.url = url
        self.control = peer

    async def held(self) -> dict[str, int]:
        """What it holds now."""
        return await self.control.remote(control).call(Held(), timeout=60)

    async def trimmed(self) -> int:
        """Bytes that are resident when all that is free was given back."""
        await self.control.remote(control).call(Trim(), timeout=60)
        return self.memory

    async def push(self, count: int, size: int) -> int:
        """Have it send to all of its peers."""
        return await self.control.remote(control).call(Push(count=count, size=size), timeout=None)

    async def release(self) -> None:
        """Let the handlers of `Keep` end."""
        await self.control.remote(control).call(Release(), timeout=60)

    async def until(
        self, condition: Callable[[dict[str, int]], bool] | None = None, **expected: int
    ) -> dict[str, int]:
        """Wait until it holds so much of this and that, and give all that it holds then."""
        while True:
            held = await self.held()
            if all(held[name] == count for name, count in expected.items()) and (
                condition is None or condition(held)
            ):
                return held
            await anyio.sleep(0.02)

    async def settled(self, peers: int) -> dict[str, int]:
        """Wait until it has so many peers and the handlers of those who are gone have ended, and give what it holds then."""
        await self.until(lambda held: held["begun"] == held["cancelled"], peers=peers)
        await anyio.sleep(0.1)  # tasks that have been cancelled, and descriptors that are closed soon
        return await self.held()


@asynccontextmanager
async def victim(setting: Setting, url: str = "tcp://127.0.0.1:0", **plan: Any) -> AsyncIterator[Server]:
    """A victim, and a control connection to it that has nothing to do with what is done to it."""
    whole = Plan(setting.engine, url, f"unix://{setting.folder}/control-{os.urandom(4).hex()}", **plan)
    with started("victim", asdict(whole)) as process:
        there = await process.line()
        async with connect(whole.control, wireformat="msgpack") as peer:
            yield Server(process, there, peer)


@dataclass(frozen=True, slots=True)
class Times:
    """How long the calls of the healthy took, in seconds."""

    count: int
    p50: float
    p99: float
    worst: float


class Healthy:
    """One who does no harm, from outside."""

    def __init__(self, process: Process) -> None:
        self.process = process

    async def call(self, seconds: float) -> Times:
        """Call for so long."""
        self.process.tell(str(seconds))
        return Times(*json.loads(await self.process.line()))


@asynccontextmanager
async def healthy(setting: Setting, url: str, **options: Any) -> AsyncIterator[Healthy]:
    """A healthy process that is connected."""
    with started("healthy", [setting.engine, url, options]) as process:
        assert await process.line() == "open"
        yield Healthy(process)


def mib(size: float) -> float:
    return round(size / MIB, 2)
