"""Real processes that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import anyio
import anyio.lowlevel
import pytest
from tests.adapters.common import Hold, tools

from duologue import CallError, Executed, connect

ROOT = Path(__file__).resolve().parents[2]
OWED, CALLERS = 1024, 9000
"""Calls that can be out, and callers: 8,192 of them could wait for room."""


@pytest.fixture
def server_process(anyio_backend: tuple[str, object]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server in another process, and its URL."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.hanging_server", anyio_backend[0]],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        yield process, process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.fault(53)
async def test_a_server_is_killed_while_thousands_wait(
    server_process: tuple[subprocess.Popen[str], str],
) -> None:
    """The other process is killed with SIGKILL under 9,000 callers: each gets exactly one error, at once, and `executed`
    is unknown for the 1,024 calls that were sent, and no for those that still waited for room."""
    process, url = server_process
    failed: Counter[Executed] = Counter()
    async with connect(url, wireformat="msgpack") as peer:
        remote = peer.remote(tools)

        async def call() -> None:
            with pytest.raises(CallError) as caught:
                await remote.call(Hold(name="x"), timeout=None)
            failed[caught.value.executed] += 1

        async with anyio.create_task_group() as group:
            for _ in range(CALLERS):
                group.start_soon(call)
            while f"{OWED} calls out" not in repr(peer):
                await anyio.lowlevel.checkpoint()
            process.send_signal(signal.SIGKILL)
            start = perf_counter()
        took = perf_counter() - start
    assert failed == {Executed.UNKNOWN: OWED, Executed.NO: CALLERS - OWED}
    assert took < 5, "a second on a machine that has nothing else to do"
