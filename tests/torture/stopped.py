"""SIGSTOP: a process that is there, and does nothing. And SIGCONT: it is back, and does not know."""

from __future__ import annotations

import signal

import anyio
from tests.torture.messages import Add, tools
from tests.torture.processes import healthy, started, victim
from tests.torture.setting import Finding, Setting, exactly

from duologue import CallTimeout, connect


async def stopped(setting: Setting) -> list[Finding]:
    return [*await _a_client(setting), *await _a_server(setting)]


async def _a_client(setting: Setting) -> list[Finding]:
    """Clients of which one is stopped, over WebSocket, whose pings are ours, and over TCP, where the system answers for it."""
    heartbeat = setting.pick(2, 1)
    seconds = setting.pick(5, 1)
    findings: list[Finding] = []
    for scheme, options in ("ws", {"origins": []}), ("tcp", {}):
        url = f"{scheme}://127.0.0.1:0"
        async with (
            victim(setting, url, options={**options, "heartbeat": heartbeat}) as server,
            healthy(setting, server.url, heartbeat=heartbeat) as good,
        ):
            await good.call(0.5)
            before = await good.call(seconds)
            with started("visitor", [setting.engine, server.url, {"heartbeat": heartbeat}]) as visitor:
                assert await visitor.line() == "open"
                held = await server.until(peers=2, handlers=10)
                visitor.signal(signal.SIGSTOP)
                start = anyio.current_time()
                if scheme == "ws":
                    await server.until(peers=1)
                    told = anyio.current_time() - start
                    findings.append(setting.seconds("ws: the server is told after", told, 2 * heartbeat + 1))
                    during = await good.call(seconds)
                else:
                    during = await good.call(2.5 * heartbeat)
                    kept = (await server.held())["peers"]
                    findings += exactly("tcp: the system answers, so it is kept", kept, 2)
                findings.append(
                    setting.ratio(
                        f"{scheme}: p99 of the healthy, to that without", during.p99 / before.p99, 2.0
                    )
                )
                visitor.signal(signal.SIGCONT)
                if scheme == "ws":
                    reason = await visitor.line()
                    findings += exactly("ws: it learns it when it goes on", reason != "", 1)
                    left = await server.settled(peers=1)
                    findings += exactly(
                        "ws: its handlers that were not cancelled", left["begun"] - left["cancelled"], 0
                    )
                else:
                    visitor.tell("ask")
                    answered = await visitor.line()
                    findings += exactly("tcp: it goes on where it was", answered == "answered", 1)
                assert held["permits"] == 10
    return findings


async def _a_server(setting: Setting) -> list[Finding]:
    """Callers have their own timeouts, and when it goes on the connection is as good as before."""
    findings: list[Finding] = []
    async with victim(setting) as server, connect(server.url, wireformat="msgpack") as peer:
        assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
        server.signal(signal.SIGSTOP)
        latest = timeouts = 0.0

        async def caller() -> None:
            nonlocal latest, timeouts
            start = anyio.current_time()
            try:
                await peer.remote(tools).call(Add(a=1, b=1), timeout=1.0)
            except CallTimeout:
                timeouts += 1
            latest = max(latest, anyio.current_time() - start)

        async with anyio.create_task_group() as group:
            for _ in range(1_000):
                group.start_soon(caller)
        server.signal(signal.SIGCONT)
        start = anyio.current_time()
        assert await peer.remote(tools).call(Add(a=1, b=1), timeout=None) == 2
        findings += [
            *exactly("server: callers that got their timeout", timeouts, 1_000),
            setting.seconds("server: last one after", latest, 2.0),
            setting.seconds("server: answers again after", anyio.current_time() - start, 1.0),
        ]
    return findings
