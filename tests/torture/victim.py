"""The one to whom it is done: a server in a process of its own, `python -m tests.torture.victim PLAN`.

It prints its URL, and tells of itself on a control socket. It ends with its standard input, so that it never outlives the
one who has started it.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import json
import logging
import os
import resource
import sys
import threading
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import anyio
from tests.torture.messages import (
    Add,
    Echo,
    Held,
    Hold,
    Keep,
    Push,
    Release,
    Say,
    Tick,
    Trim,
    Work,
    control,
    news,
    tools,
)

from duologue import Limits, Peer, PubSub, Server, Services, serve
from duologue_adapters.peer import DriverPeer
from duologue_adapters.server import DriverServer


@dataclass
class Plan:
    """What the victim is to be."""

    engine: tuple[str, dict[str, bool]]
    url: str
    control: str
    limits: dict[str, Any] = field(default_factory=dict[str, Any])
    options: dict[str, Any] = field(default_factory=dict[str, Any])
    record: str = ""
    """A file to which each `Work` adds its number, before anything else."""
    answered_below: int = 0
    """Numbers of `Work` that are answered; the others wait for ever."""
    work_seconds: float = 0.0
    """How long that takes."""
    room: int = 0
    """So many file descriptors can be had when all is set up; 0 for as many as the system allows."""
    subscribes: bool = False
    """Every peer gets what is published."""


class Lines(logging.Handler):
    """Counts what is logged, and keeps none of it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1


class Victim:
    """Its services, and what came of them."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.begun = self.cancelled = self.said = 0
        self.lines = Lines()
        self.ticks = PubSub(news)
        self.services = Services(tools)
        self.controls = Services(control)
        for handler in (self.add, self.echo, self.hold, self.work, self.say, self.keep):
            self.services.handler(cast("Any", handler))
        self.controls.handler(self.held)
        self.controls.handler(self.trim)
        self.controls.handler(self.push)
        self.controls.handler(self.release)
        self.released = anyio.Event()
        self.server: Server
        self._record = os.open(plan.record, os.O_WRONLY | os.O_APPEND | os.O_CREAT) if plan.record else -1

    async def add(self, msg: Add) -> int:
        return msg.a + msg.b

    async def echo(self, msg: Echo) -> bytes:
        return msg.data

    async def hold(self, msg: Hold) -> None:
        await self._until_cancelled()

    async def say(self, msg: Say) -> None:
        self.said += 1

    async def keep(self, msg: Keep) -> None:
        await self.released.wait()

    async def release(self, msg: Release) -> None:
        self.released.set()

    async def _until_cancelled(self) -> None:
        self.begun += 1
        try:
            await anyio.sleep_forever()
        finally:
            self.cancelled += 1

    async def work(self, msg: Work) -> int:
        os.write(self._record, msg.number.to_bytes(4, "little"))
        if msg.number >= self.plan.answered_below:
            await anyio.sleep_forever()
        await anyio.sleep(self.plan.work_seconds)
        return msg.number

    async def push(self, msg: Push) -> int:
        data = bytes(msg.size)
        count = 0
        for peer in self.server.peers:
            for number in range(msg.count):
                await peer.remote(news).send(Tick(number=number, data=data), timeout=None)
                count += 1
        return count

    async def held(self, msg: Held) -> dict[str, int]:
        peers = [cast("DriverPeer", peer) for peer in self.server.peers]
        return {
            "tasks": tasks_now(),
            "fds": descriptors_now(),
            "threads": threading.active_count(),
            "peers": len(peers),
            "permits": sum(peer._connection.incoming.budget.in_use for peer in peers),
            "handlers": sum(peer._connection.incoming.running for peer in peers),
            "received": cast("DriverServer", self.server)._received.held,
            "subscriptions": len(self.ticks.subscriptions),
            "begun": self.begun,
            "cancelled": self.cancelled,
            "said": self.said,
            "lines": self.lines.count,
        }

    async def trim(self, msg: Trim) -> None:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)

    def greet(self, peer: Peer) -> None:
        if self.plan.subscribes:
            self.ticks.subscribe(peer)

    async def run(self) -> None:
        logging.getLogger("duologue").addHandler(self.lines)
        limits = Limits(**self.plan.limits)
        async with AsyncExitStack() as stack:
            self.server = server = await stack.enter_async_context(
                serve(
                    self.plan.url,
                    [self.services, self.ticks],
                    wireformat="msgpack",
                    limits=limits,
                    on_peer=self.greet,
                    **self.plan.options,
                )
            )
            await stack.enter_async_context(serve(self.plan.control, self.controls, wireformat="msgpack"))
            if self.plan.room:
                used = len(os.listdir("/proc/self/fd")) - 1
                hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
                resource.setrlimit(resource.RLIMIT_NOFILE, (used + self.plan.room, hard))
            print(server.url, flush=True)
            await anyio.sleep_forever()


def tasks_now() -> int:
    """Of the loop that runs, whichever it is."""
    try:
        return len(asyncio.all_tasks())
    except RuntimeError:
        import trio

        return trio.lowlevel.current_statistics().tasks_living


def descriptors_now() -> int:
    """Those that are open; -1 if there is none left to look with."""
    try:
        return len(os.listdir("/proc/self/fd"))
    except OSError:
        return -1


def end_with_input() -> None:
    """In a thread: whoever has started this process is gone when its input ends."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


def allow_descriptors() -> None:
    """As many as the system lets us have."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


if __name__ == "__main__":
    end_with_input()
    allow_descriptors()
    _plan = Plan(**json.loads(sys.argv[1]))
    anyio.run(Victim(_plan).run, backend=_plan.engine[0], backend_options=_plan.engine[1])
