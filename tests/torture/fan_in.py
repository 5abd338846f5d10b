"""Very many connections that each hold a part of a large frame: the server's memory is bounded for all of them together."""

from __future__ import annotations

import socket
from time import monotonic

import anyio
import anyio.lowlevel
from tests.adapters.common import frame
from tests.torture.attackers import connect_to, crowd, cut_times, push
from tests.torture.loris import leftovers
from tests.torture.messages import Echo, tools
from tests.torture.processes import Server, healthy, mib, victim
from tests.torture.setting import MIB, Finding, Setting, exactly

PEER = 64 * 1024
"""What a connection may cost besides the bytes that it holds."""

PROCESS = 4 * MIB
"""What the allocator may hold in pieces that it can't give back, however small the bound is."""


async def fan_in(setting: Setting) -> list[Finding]:
    """As many as may connect, each with as much of a frame of 1 MiB as is taken; one more has to wait until another leaves."""
    count = setting.pick(10_000, 200)
    limit = 256 * MIB if not setting.short else 8 * MIB
    part = 128 * 1024
    timeout = 30.0 if not setting.short else 3.0
    limits = {"server_bytes": limit, "connections": count, "frame_timeout": timeout}
    data = frame(tools.sid(Echo), 1, bytes(MIB - 24))[:part]
    seconds = setting.pick(8, 1)
    async with victim(setting, limits=limits) as server, healthy(setting, server.url) as good:
        before = await good.call(seconds)
        base, held = server.memory, await server.held()
        server.forget_peak()
        most: list[int] = []
        with crowd(server.url, count - 1) as socks:
            await server.until(peers=count)
            idle = server.memory - base
            with connect_to(server.url) as one_more:
                start = monotonic()
                async with anyio.create_task_group() as group:
                    group.start_soon(_send_parts, socks, data)
                    group.start_soon(_watch, server, most, group.cancel_scope)
                    during = await good.call(seconds)
                    accepted = (await server.held())["peers"]
                    times = await cut_times(socks, start, 4 * timeout + 30)
                    await anyio.sleep(0.1)
                    group.cancel_scope.cancel()
                await server.until(peers=2)
                one_more.close()
        left = await server.settled(peers=1)
        return [
            Finding("connections that were accepted", accepted, count),
            Finding("bytes held of what was received", mib(max(most)), mib(limit * 1.25), "MiB"),
            Finding("the same, at least", mib(max(most)), mib(limit / 2), "MiB", is_least=True),
            Finding("bytes that were offered", mib(part * (count - 1)), unit="MiB"),
            Finding("memory of an idle connection", round(idle / count / 1024, 1), PEER / 1024, "KiB"),
            Finding(
                "memory at its peak, over that",
                mib(server.peak - base - idle),
                mib(limit * 1.5 + PROCESS),
                "MiB",
            ),
            Finding("p99 of the healthy, to that without", during.p99 / before.p99, unit="x"),
            Finding("calls of the healthy meanwhile", during.count, 1, is_least=True),
            *exactly("cut", len(times), count - 1),
            setting.seconds("last one cut after", max(times, default=0), 2 * timeout + 30),
            *leftovers(held, left),
        ]


async def _send_parts(socks: list[socket.socket], data: bytes) -> None:
    """Each sends a piece in turn, as far as it is taken, and then the next, until all of it has left or nobody takes more."""
    sent = dict.fromkeys(socks, 0)
    while sent:
        for number, sock in enumerate(tuple(sent)):
            count = push(sock, data[sent[sock] : sent[sock] + 16_384])
            sent[sock] += max(count, 0)
            if count < 0 or sent[sock] >= len(data):
                del sent[sock]
            if number % 100 == 99:
                await anyio.lowlevel.checkpoint()
        await anyio.sleep(0.01)


async def _watch(server: Server, most: list[int], scope: anyio.CancelScope) -> None:
    while not scope.cancel_called:
        most.append((await server.held())["received"])
        await anyio.sleep(0.05)
