"""Frames of 1 MiB on a slow link, and what is urgent behind them: pings, and small answers."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import anyio
from tests.torture.messages import Add, Tick, news, tools
from tests.torture.processes import victim
from tests.torture.setting import MIB, Finding, Setting, exactly

from duologue import Services, connect

RATE = 4 * MIB
"""Bytes in a second that the link carries."""
HEARTBEAT = 1.0
"""Seconds, of both ends."""
FRAMES = 2
"""A small answer is at most behind the frame that has left, and the one that is next."""
BUFFER = 4 * MIB
"""And behind what the system holds of a connection: so much it lets the send buffer grow. ZeroMQ has a window of 1 MiB besides."""


@asynccontextmanager
async def slow_link(url: str, rate: float) -> AsyncIterator[str]:
    """A URL that leads to the same server, with so many bytes in a second from there, and next to nothing in between."""
    scheme, _, rest = url.partition("://")
    host, _, port = rest.rstrip("/").rpartition(":")
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen()
        listener.setblocking(False)

        async def carry(source: socket.socket, target: socket.socket, piece: int, pause: float) -> None:
            due = monotonic()
            try:
                while data := await _received(source, piece):
                    rest = memoryview(data)
                    while rest:
                        rest = rest[await _sent(target, rest) :]
                    due = max(due + pause * len(data) / piece, monotonic() - 0.01)
                    if pause:
                        await anyio.sleep(max(0.0, due - monotonic()))
                target.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # one end is gone, and the other learns it by the end of this

        async def pass_on(client: socket.socket) -> None:
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
            server.connect((host, int(port)))
            with client, server:
                for each in (client, server):
                    each.setblocking(False)
                async with anyio.create_task_group() as both:
                    both.start_soon(carry, server, client, 16 * 1024, 16 * 1024 / rate)
                    both.start_soon(carry, client, server, 64 * 1024, 0.0)

        async def run() -> None:
            while True:
                await anyio.wait_readable(listener)
                group.start_soon(pass_on, listener.accept()[0])

        async with anyio.create_task_group() as group:
            group.start_soon(run)
            yield f"{scheme}://{host}:{listener.getsockname()[1]}"
            group.cancel_scope.cancel()


async def _received(sock: socket.socket, size: int) -> bytes:
    while True:
        try:
            return sock.recv(size)
        except BlockingIOError:
            await anyio.wait_readable(sock)


async def _sent(sock: socket.socket, data: memoryview) -> int:
    while True:
        try:
            return sock.send(data)
        except BlockingIOError:
            await anyio.wait_writable(sock)


async def large_frames(setting: Setting) -> list[Finding]:
    """The server sends as much as the link takes, for many heartbeats of both ends; meanwhile small calls are made."""
    findings: list[Finding] = []
    schemes: dict[str, dict[str, Any]] = {"ws": {"origins": []}, "zmq+tcp": {}, "tcp": {}}
    for scheme, options in [*schemes.items()][: setting.pick(3, 2)]:
        findings += await _over(setting, scheme, options)
    return findings


async def _over(setting: Setting, scheme: str, options: dict[str, Any]) -> list[Finding]:
    count = setting.pick(80, 12)
    rate = RATE * setting.pick(1, 2)
    heartbeat = HEARTBEAT * setting.pick(1, 2)
    screen = Screen()
    async with (
        victim(setting, f"{scheme}://127.0.0.1:0", options={**options, "heartbeat": heartbeat}) as server,
        slow_link(server.url, rate) as url,
        connect(url, screen.services, wireformat="msgpack", heartbeat=heartbeat) as peer,
        anyio.create_task_group() as group,
    ):
        await server.until(peers=1)
        group.start_soon(server.push, count, MIB - 200)
        worst, asked, start = 0.0, 0, monotonic()
        while screen.arrived < count and peer.is_open:
            began = monotonic()
            assert await peer.remote(tools).call(Add(a=1, b=1), timeout=None) == 2
            worst = max(worst, monotonic() - began)
            asked += 1
        took = monotonic() - start
        return [
            *exactly(f"{scheme}: open, after {count} frames of 1 MiB", peer.is_open, 1),
            Finding(f"{scheme}: heartbeats in that time", round(took / heartbeat, 1)),
            Finding(f"{scheme}: small calls answered meanwhile", asked, 1, is_least=True),
            setting.seconds(f"{scheme}: a small answer came after", worst, (FRAMES * MIB + BUFFER) / rate),
        ]


class Screen:
    """Whoever gets the large frames."""

    def __init__(self) -> None:
        self.arrived = 0
        self.services = Services(news)
        self.services.handler(self.show)

    async def show(self, tick: Tick) -> None:
        self.arrived += 1
