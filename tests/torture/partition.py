"""A network that drops everything and tells nobody, between two processes on machines of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import anyio
from tests.adapters.networks import Network
from tests.torture.processes import started, victim
from tests.torture.setting import Finding, Setting, Skipped, exactly

SCHEMES: dict[str, dict[str, Any]] = {"tcp": {}, "zmq+tcp": {"insecure": True}, "ws": {"origins": []}}


@contextmanager
def network() -> Iterator[Network]:
    """Two machines. Raises `Skipped` where there can be none."""
    if shutil.which("ip") is None:
        raise Skipped("NOT SHOWN HERE: the command `ip` is missing (on Debian it is in iproute2)")
    try:
        made = Network()
    except OSError as exc:
        raise Skipped(
            f"NOT SHOWN HERE: no network namespaces, which takes root (CAP_SYS_ADMIN): {exc}"
        ) from exc
    try:
        try:
            made.lay()
        except OSError as exc:
            raise Skipped(f"NOT SHOWN HERE: no wire between namespaces, which takes veth: {exc}") from exc
        yield made
    finally:
        made.close()


async def partition(setting: Setting) -> list[Finding]:
    """A process on each machine, over each transport: both are told within twice the heartbeat, and others are served on."""
    findings: list[Finding] = []
    for scheme in [*SCHEMES][: setting.pick(3, 2)]:
        with network() as net:
            findings += await _part(setting, scheme, net)
    return findings


async def _part(setting: Setting, scheme: str, net: Network) -> list[Finding]:
    heartbeat = setting.pick(5, 1)
    options = {**SCHEMES[scheme], "heartbeat": heartbeat}
    client_options = {name: value for name, value in options.items() if name != "origins"}
    with net.other.here():
        entered = victim(setting, f"{scheme}://{net.other.address}:0", options=options)
        server = await entered.__aenter__()
    try:
        with ExitStack() as stack:
            with net.one.here():  # whose network the process has that is started
                visitor = stack.enter_context(
                    started("visitor", [setting.engine, server.url, client_options])
                )
            assert await visitor.line() == "open"
            before = await server.until(peers=1, handlers=10)
            net.part()
            start = anyio.current_time()
            times: dict[str, float] = {}

            async def client_told() -> None:
                assert await visitor.line() == "TRANSPORT_FAILED"
                times["client"] = anyio.current_time() - start

            async with anyio.create_task_group() as group:
                group.start_soon(client_told)
                left = await server.settled(peers=0)
                times["server"] = anyio.current_time() - start
        net.mend()
        await _serves_again(setting, net, server.url, client_options)
    finally:
        await entered.__aexit__(None, None, None)
    # The system asks in whole seconds, and counts an answer as missing only when it would be due.
    return [
        *(
            setting.seconds(f"{scheme}: the {who} is told after", seconds, 2 * heartbeat + 2)
            for who, seconds in times.items()
        ),
        *exactly(f"{scheme}: handlers that had begun", before["permits"], 10),
        *exactly(f"{scheme}: of them not cancelled", left["begun"] - left["cancelled"], 0),
    ]


async def _serves_again(setting: Setting, net: Network, url: str, options: dict[str, Any]) -> None:
    # By a process of its own: threads that a library starts now would stay in that network for ever.
    with ExitStack() as stack:
        with net.one.here():
            visitor = stack.enter_context(started("visitor", [setting.engine, url, options]))
        assert await visitor.line() == "open"
