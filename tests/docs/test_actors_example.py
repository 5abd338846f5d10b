"""`docs/examples/actors.py` runs as a program of its own, and prints what its reader expects."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "actors.py"

PRINTED = """\
-- in this process
anna has 10
anna has 30
anna has 60
bert can't pay: Account['bert']::Deposit: its handler failed (executed: yes)
bert has 15
-- over TCP
anna has 10
anna has 30
anna has 60
bert can't pay: bank::Deposit (call 5) at 127.0.0.1:PORT: the remote answered InternalServerError; its log may say more (executed: unknown)
bert has 30
open accounts: anna bert
-- a clerk who is replaced
report 1
report 2
no report: Clerk::Report: its handler failed (executed: yes) since \
AssertionError('out of paper')
report 1
report 2
"""


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_example_plays(backend: str) -> None:
    """On both event loops the same, with nothing on its standard error."""
    command = [sys.executable, "-W", "error", str(EXAMPLE), backend]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT", done.stdout) == PRINTED
