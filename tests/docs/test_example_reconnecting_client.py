"""The example of the client that reconnects runs as it stands, in a process of its own, and shows what it says."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.adapters.common import ROOT, environment

EXAMPLE = ROOT / "docs" / "examples" / "reconnecting_client.py"
ON_TRIO = (
    "import functools, runpy, sys, anyio; anyio.run = functools.partial(anyio.run, backend='trio'); "
    "sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
)


@pytest.mark.parametrize("command", [[], ["-c", ON_TRIO]], ids=["asyncio", "trio"])
def test_the_example_runs(command: list[str]) -> None:
    """It loses its server and finds the next one; how often it tries meanwhile depends on chance, and all else does not."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *command, str(EXAMPLE)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line != "no connection: ConnectFailed"]
    assert lines[:3] == ["the server is up", "connected", "balance: 5"]
    assert "a call was lost, executed: unknown" in lines
    assert any(line.startswith("disconnected: ") for line in lines)
    assert lines[-2:] == ["connected", "balance at the new server: 0"]
    assert [line for line in done.stderr.splitlines() if not line.startswith("unix://")] == []
