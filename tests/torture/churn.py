"""Connections that are opened and closed, by the ten thousand, with a call on its way each time."""

from __future__ import annotations

from tests.torture.attackers import connect_to, message_frame, reset
from tests.torture.loris import leftovers
from tests.torture.messages import Add, Hold
from tests.torture.processes import Server, mib, victim
from tests.torture.setting import Finding, Setting, exactly

AT_ONCE = 50
KEPT = 5.0
"""MiB that may be left after all of them."""


async def churn(setting: Setting) -> list[Finding]:
    count = setting.pick(10_000, 300)
    findings: list[Finding] = []
    ways = {
        "idle": b"",
        "answered": message_frame(Add(a=1, b=2), 1),
        "with a call in its handler": message_frame(Hold(), 1),
        "with half a frame": message_frame(Hold(), 1)[:-1],
    }
    for name, data in [*ways.items()][setting.pick(0, 2) :]:
        async with victim(setting) as server:
            await _open_and_close(server, setting.pick(1_000, 100), data)
            before = await server.settled(peers=0)
            base = server.memory
            await _open_and_close(server, count, data)
            left = await server.settled(peers=0)
            begun = left["begun"]
            findings += [
                Finding(f"{name}: memory left", mib(server.memory - base), KEPT, "MiB"),
                *exactly(f"{name}: handlers not cancelled", begun - left["cancelled"], 0),
                *[each for each in leftovers(before, left) if each.value or name == "with half a frame"],
            ]
            if data == ways["with a call in its handler"]:
                findings.append(Finding(f"{name}: handlers that had begun", begun, 1, is_least=True))
    return findings


async def _open_and_close(server: Server, count: int, data: bytes) -> None:
    """Some at a time. Every second one with a reset; of those with a call most after the server has seen it."""
    for start in range(0, count, AT_ONCE):
        socks = [connect_to(server.url) for _ in range(min(AT_ONCE, count - start))]
        for sock in socks:
            if data:
                sock.send(data)
        if start // AT_ONCE % 4:
            await server.held()  # by then it has looked at what came before
        for number, sock in enumerate(socks):
            if number % 2:
                reset(sock)
            else:
                sock.close()
        await server.until(lambda held: held["peers"] <= 4 * AT_ONCE)
