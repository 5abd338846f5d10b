"""No file descriptors are left: who is connected is served, and others are when there are some again."""

from __future__ import annotations

from time import monotonic

from tests.torture.attackers import crowd
from tests.torture.processes import healthy, victim
from tests.torture.setting import Finding, Setting, exactly

ROOM = 50
"""Descriptors that the victim can have."""


async def out_of_descriptors(setting: Setting) -> list[Finding]:
    seconds = setting.pick(5, 1)
    async with victim(setting, room=ROOM) as server, healthy(setting, server.url) as good:
        before = await good.call(seconds)
        held = await server.held()
        with crowd(server.url, 4 * ROOM):
            full = held
            while full["lines"] < 2:
                full = await server.held()
            work, start, lines = server.work, monotonic(), full["lines"]
            during = await good.call(seconds)
            full = await server.held()
            passed, used, said = monotonic() - start, server.work - work, full["lines"] - lines
        start = monotonic()
        async with healthy(setting, server.url) as another:
            await another.call(0.1)
            again = monotonic() - start
            both = await good.call(0.1)
        await server.until(peers=1)
        return [
            Finding("connections accepted of 200", full["peers"] - 1, ROOM),
            Finding("calls of the one connected, meanwhile", during.count, 1, is_least=True),
            setting.ratio("p99 of the healthy, to that without", during.p99 / before.p99, 2.0),
            Finding("lines logged in a second", said / passed, 6),
            Finding("work of the victim, of a core", used / passed, unit=""),
            setting.seconds("somebody new is served after", again, 5.0),
            *exactly("calls of the first one went on", min(both.count, 1), 1),
        ]
