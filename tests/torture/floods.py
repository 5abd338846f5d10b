"""Floods: one-way messages without end, and calls without end whose answers nobody reads."""

from __future__ import annotations

import socket
from time import monotonic

import anyio
from tests.adapters.common import frame
from tests.torture.attackers import Flood, crowd, flood, message_frame
from tests.torture.loris import leftovers
from tests.torture.messages import Add, Keep
from tests.torture.processes import Server, healthy, mib, victim
from tests.torture.setting import MIB, Finding, Setting, exactly

FLOOD_COSTS = 16.0
"""MiB for each connection that floods with one-way messages."""
DEAF_COSTS = 2.0
"""MiB for each that does not read its answers."""


async def send_flood(setting: Setting) -> list[Finding]:
    """Small messages and large ones, whose handlers never end."""
    count = setting.pick(8, 4)
    seconds = setting.pick(5, 1)
    findings: list[Finding] = []
    sizes = {"small": 10, "of 1 MiB": MIB - 100, "large": 100_000}
    for name, size in [*sizes.items()][: setting.pick(3, 2)]:
        block = message_frame(Keep(data=bytes(size))) * max(1, 200_000 // (size + 40))
        async with victim(setting) as server, healthy(setting, server.url) as good:
            before = await good.call(seconds / 2)
            base, held = server.memory, await server.held()
            server.forget_peak()
            with crowd(server.url, count) as socks:
                flooded = Flood()
                async with anyio.create_task_group() as group:
                    group.start_soon(_flood_for, seconds, socks, block, flooded)
                    during = await good.call(seconds)
                now = await server.held()
                await server.release()
                each = mib(server.peak - base) / count
            left = await server.settled(peers=1)
            findings += [
                Finding(f"{name}: memory for each", each, FLOOD_COSTS, "MiB"),
                Finding(f"{name}: sent by each", round(flooded.sent / count / MIB, 1), unit="MiB"),
                Finding(f"{name}: handlers", now["handlers"], 1_000 * count),
                Finding(f"{name}: p99 of the healthy, to that without", during.p99 / before.p99, unit="x"),
                *[each for each in leftovers(held, left) if each.value or name == "small"],
            ]
    return findings


async def _flood_for(seconds: float, socks: list[socket.socket], block: bytes, found: Flood) -> None:
    end = monotonic() + seconds
    found.sent = (await flood(socks, block, lambda: monotonic() > end)).sent


async def never_reads(setting: Setting) -> list[Finding]:
    """Calls, good ones and ones to nowhere, and not an answer is read."""
    stalled = 1.0 if setting.short else 10.0
    count = setting.pick(10, 4)
    # The buffers of a Unix socket are small. In those of TCP there is room for 100,000 calls, which takes a while to fill.
    url = f"unix://{setting.folder}/deaf"
    findings: list[Finding] = []
    for name, block in (
        ("calls to nowhere", b"".join(frame(4711, cid) for cid in range(1, 20_000))),
        ("good calls", b"".join(message_frame(Add(a=1, b=2), cid) for cid in range(1, 20_000))),
    ):
        async with victim(setting, url, limits={"answers_stalled": stalled}) as server:
            await _warm_up(server, block)
            base, held = server.memory, await server.held()
            server.forget_peak()
            with crowd(server.url, count) as socks:
                done = await flood(socks, block, lambda: False)
            left = await server.settled(peers=0)
            findings += [
                *exactly(f"{name}: were closed", done.cut, count),
                setting.seconds(f"{name}: after nothing was taken for", done.stalled, stalled + 1),
                Finding(f"{name}: memory for each", mib(server.peak - base) / count, DEAF_COSTS, "MiB"),
                *[each for each in leftovers(held, left) if each.value or name == "good calls"],
            ]
    return findings


async def _warm_up(server: Server, block: bytes) -> None:
    """What is made once in a process is nobody's cost."""
    with crowd(server.url, 1) as socks:
        end = monotonic() + 0.5
        await flood(socks, block, lambda: monotonic() > end)
    await server.until(peers=0)
