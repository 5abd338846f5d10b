"""What is left when the event loop ends: nothing, and no complaint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
import sys
import anyio
from duologue import connect, serve
from tests.adapters.common import Add, Hold, Tools, tools

async def hold_open(url, connected):
    async with connect(url, wireformat="json") as peer:
        assert await peer.remote(tools).call(Add(a=1, b=1)) == 2
        connected.set()
        await peer.remote(tools).call(Hold(name="for ever"), timeout=None)

async def main():
    here = Tools()
    async with serve(sys.argv[2], here.services, wireformat="json") as server:
        async with anyio.create_task_group() as group:
            for _ in range(5):
                connected = anyio.Event()
                group.start_soon(hold_open, server.url, connected)
                await connected.wait()
            await here.until(lambda: here.running == 5)
            group.cancel_scope.cancel()
    print("clean")

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.fault(62)
@pytest.mark.parametrize("url", ["tcp://127.0.0.1:0", "mem://shutdown"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_loop_ends_with_peers_open_and_handlers_running(backend: str, url: str) -> None:
    """The loop ends under open peers with calls waiting and handlers running: all is cancelled, and with every warning
    an error there is no word of a task that was destroyed or a resource that was not closed."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, backend, url],
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
        cwd=ROOT,
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "clean\n", "")
