"""Connections that begin a frame and never end it: a byte now and then, by a thousand."""

from __future__ import annotations

from time import monotonic

import anyio
from tests.adapters.common import frame
from tests.torture.attackers import crowd, cut_times, send_all
from tests.torture.messages import Echo, tools
from tests.torture.processes import healthy, mib, victim
from tests.torture.setting import MIB, Finding, Setting, exactly

PER_CONNECTION = 64 * 1024
"""What one of them may cost: the peer, its connection, and the socket's transport."""


async def slow_loris(setting: Setting) -> list[Finding]:
    count = setting.pick(1_000, 100)
    limits = {"frame_timeout": 2.0} if setting.short else {}
    timeout = limits.get("frame_timeout", 30.0)
    seconds = setting.pick(8, 1) / 2
    begun = frame(tools.sid(Echo), 1, bytes(MIB - 24))[:40]
    async with victim(setting, limits=limits) as server, healthy(setting, server.url) as good:
        await good.call(seconds)
        before = await good.call(seconds)
        base, held = server.memory, await server.held()
        with crowd(server.url, count) as socks:
            await server.until(peers=count + 1)
            start = monotonic()
            await send_all(socks, begun)
            result: list[float] = []

            async def watch() -> None:
                result.extend(await cut_times(socks, start, 12 * timeout, dribble=True))

            async with anyio.create_task_group() as group:
                group.start_soon(watch)
                during = await good.call(seconds)
                each = (server.memory - base) / count
        after = await good.call(seconds)
        left = await server.settled(peers=1)
        worst = max(before.p99, after.p99)
        return [
            setting.ratio("p99 of the healthy, to that without", during.p99 / worst, 2.0),
            Finding("p99 of the healthy", during.p99 * 1000, unit="ms"),
            Finding("memory of each", round(each / 1024, 1), PER_CONNECTION / 1024, "KiB"),
            *exactly("cut", len(result), count),
            Finding("first one cut after", min(result, default=0), timeout * 0.99, "s", is_least=True),
            setting.seconds("last one cut after", max(result, default=0), timeout + 2),
            *leftovers(held, left),
            Finding("memory left", mib(server.memory - base), unit="MiB"),
        ]


def leftovers(before: dict[str, int], after: dict[str, int]) -> list[Finding]:
    """What is there that was not there before. Threads of a pool may stay, since they are used again."""
    names = {
        "tasks": "tasks",
        "fds": "fds",
        "permits": "permits",
        "handlers": "handlers",
        "received": "bytes",
    }
    return [Finding(f"{what} left", after[name] - before[name], 0) for name, what in names.items()] + [
        Finding("threads left", after["threads"] - before["threads"], 1)
    ]
