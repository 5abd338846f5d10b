"""The other process is killed while many wait for it, over every transport at once."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.adapters.certificates import Certificates
from tests.adapters.common import Hold, State, tools, until
from tests.adapters.transports import transport_of
from tests.adapters.watched import watched

from duologue import CallError, CloseReason, Executed, Limits, Peer

SCHEMES = ["tcp", "unix", "tls", "ws", "zmq+tcp"]
LIMITS = Limits(owed=200)
CALLERS = 300


@pytest.mark.fault(53)
async def test_killed_over_every_transport(
    tmp_path: Path, certificates: Certificates, anyio_backend: Any
) -> None:
    """SIGKILL under 300 callers for each connection: each has exactly one error, at once, `executed` is unknown for the 200 calls
    that were sent, and nothing is held."""
    transports = {scheme: transport_of(scheme, tmp_path, certificates) for scheme in SCHEMES}
    plan = [("serve", scheme, each.url, each.serve_options) for scheme, each in transports.items()]
    failed: Counter[tuple[Peer, Executed]] = Counter()

    async def call(peer: Peer) -> None:
        with pytest.raises(CallError) as caught:
            await peer.remote(tools).call(Hold(name="x"), timeout=None)
        failed[peer, caught.value.executed] += 1

    async with watched(anyio_backend, plan) as there, AsyncExitStack() as stack:
        urls = await there.told(SCHEMES, "serving")
        peers = [
            await stack.enter_async_context(each.connect(urls[scheme], limits=LIMITS))
            for scheme, each in transports.items()
        ]
        async with anyio.create_task_group() as group:
            for peer in peers:
                for _ in range(CALLERS):
                    group.start_soon(call, peer)
            await until(
                lambda: all(State(peer).pending == LIMITS.owed and not State(peer).queued for peer in peers)
            )
            there.process.kill()
            with anyio.fail_after(10):  # 1 s on a machine that has nothing else to do
                for peer in peers:
                    assert await peer.wait_closed() is not CloseReason.CLOSED_LOCALLY
        for peer in peers:
            assert failed[peer, Executed.UNKNOWN] == LIMITS.owed
            assert failed[peer, Executed.NO] == CALLERS - LIMITS.owed
            assert State(peer).is_idle
