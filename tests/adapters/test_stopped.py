"""Processes that are stopped for a while, with SIGSTOP, and go on: the other end has not waited for them, and they get over it.

All transports at once, since a process that is stopped is so for all of them.
"""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from tests.adapters.certificates import Certificates
from tests.adapters.common import Add, Echo, State, closed_event, first_peer, tools, until
from tests.adapters.transports import Transport, transport_of
from tests.adapters.watched import Watched, watched

from duologue import CallError, CallTimeout, CloseReason, Executed, Limits, Peer

HEARTBEAT = 0.5
QUICK = Limits(requests_stalled=0.3)
GIVEN_UP = {CloseReason.WRITE_STALLED, CloseReason.TRANSPORT_FAILED}
"""Why the end that was not stopped ended a connection."""

LEARNT = {
    CloseReason.CLOSED_BY_REMOTE.name,
    CloseReason.TRUNCATED.name,
    CloseReason.TRANSPORT_FAILED.name,
}
"""What the one that was stopped learns of it."""

SCHEMES = ["tcp", "unix", "ws", "zmq+tcp"]


@pytest.fixture
def transports(tmp_path: Path, certificates: Certificates) -> dict[str, Transport]:
    """One of each kind."""
    return {scheme: transport_of(scheme, tmp_path, certificates) for scheme in SCHEMES}


def stop(end: Watched) -> None:
    """Returns when it is really stopped."""
    end.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, end.process.pid, os.WSTOPPED)


def go_on(end: Watched) -> None:
    end.process.send_signal(signal.SIGCONT)


async def add(peer: Peer) -> None:
    assert await peer.remote(tools).call(Add(a=1, b=2)) == 3


async def too_late(peer: Peer) -> None:
    with pytest.raises(CallTimeout) as caught:
        await peer.remote(tools).call(Add(a=1, b=1), timeout=0.05)
    assert caught.value.executed is Executed.UNKNOWN


async def fill(peer: Peer) -> None:
    """Say more than can be taken, and wait until it is given up."""

    async def call() -> None:
        with pytest.raises(CallError):
            await peer.remote(tools).call(Echo(data=bytes(200_000)))

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(call)
    event = await closed_event(peer)
    assert event.reason in GIVEN_UP, (peer, event)
    assert State(peer).is_idle


async def all_at_once(what: Any, peers: list[Peer]) -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for peer in peers:
                group.start_soon(what, peer)


def heartbeat_of(scheme: str) -> dict[str, Any]:
    """Those that can notice it by themselves shall do so soon. The others do by what can't leave."""
    return {"heartbeat": HEARTBEAT} if scheme in ("ws", "zmq+tcp") else {}


@pytest.mark.fault(54)
async def test_a_server_that_is_stopped(transports: dict[str, Transport], anyio_backend: Any) -> None:
    """For a moment: callers have their own timeouts, late answers are dropped, and connections are as good as before. For long: by
    heartbeat, or since it takes nothing, the client gives it up; when it goes on it finds late frames and an end, and serves on."""
    plan = [("serve", scheme, each.url, each.serve_options) for scheme, each in transports.items()]
    async with watched(anyio_backend, plan) as there:
        urls = await there.told(SCHEMES, "serving")
        async with AsyncExitStack() as stack:
            peers = [
                await stack.enter_async_context(
                    each.connect(urls[scheme], limits=QUICK, **heartbeat_of(scheme))
                )
                for scheme, each in transports.items()
            ]
            await all_at_once(add, peers)
            stop(there)
            await all_at_once(too_late, peers)
            assert all(peer.is_open for peer in peers)
            go_on(there)
            await all_at_once(add, peers)
            assert all(State(peer).is_idle for peer in peers)
            stop(there)
            await all_at_once(fill, peers)
            go_on(there)
            learnt = await there.told(SCHEMES, "closed")
            assert set(learnt.values()) <= LEARNT, learnt
        for scheme, each in transports.items():
            async with each.connect(urls[scheme]) as again:
                await add(again)
        assert set((await there.told(SCHEMES, "closed")).values()) == {"CLOSED_BY_REMOTE"}


@pytest.mark.fault(54)
async def test_a_client_that_is_stopped(transports: dict[str, Transport], anyio_backend: Any) -> None:
    """The server gives it up in the same ways, and its callers are told; the client goes on, learns it, and ends in peace."""
    async with AsyncExitStack() as stack:
        servers = {
            scheme: await stack.enter_async_context(each.serve(limits=QUICK, **heartbeat_of(scheme)))
            for scheme, each in transports.items()
        }
        plan = [("connect", scheme, each.url, {}) for scheme, each in servers.items()]
        async with watched(anyio_backend, plan) as there:
            await there.told(SCHEMES, "open")
            peers = [await first_peer(each) for each in servers.values()]
            await all_at_once(add, peers)
            stop(there)
            await all_at_once(fill, peers)
            await until(lambda: not any(tuple(each.peers) for each in servers.values()))
            go_on(there)
            learnt = await there.told(SCHEMES, "closed")
            assert set(learnt.values()) <= LEARNT, learnt
            assert await anyio.to_thread.run_sync(there.process.wait, abandon_on_cancel=True) == 0


@pytest.mark.fault(54)
async def test_one_that_was_stopped_asks_first(transports: dict[str, Transport], anyio_backend: Any) -> None:
    """Stopped for longer than its own heartbeat, a process has heard nothing for as long: but it has not asked either, so it
    does that now, and the connection goes on."""
    pinging = ["ws", "zmq+tcp"]
    async with AsyncExitStack() as stack:
        servers = {each: await stack.enter_async_context(transports[each].serve()) for each in pinging}
        plan = [("connect", scheme, each.url, heartbeat_of(scheme)) for scheme, each in servers.items()]
        async with watched(anyio_backend, plan) as there:
            await there.told(pinging, "open")
            peers = [await first_peer(each) for each in servers.values()]
            await all_at_once(add, peers)
            stop(there)
            await anyio.sleep(2.1 * HEARTBEAT)  # its clock is the only thing that changes meanwhile
            go_on(there)
            await all_at_once(add, peers)
            assert all(peer.is_open for peer in peers)
