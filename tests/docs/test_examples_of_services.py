"""The examples of a calculator, a relay and a ticker run as they stand, in processes of their own, and show what they say."""

from __future__ import annotations

import subprocess
import sys

import pytest
from tests.adapters.common import ROOT, environment

ON_TRIO = (
    "import functools, runpy, sys, anyio; anyio.run = functools.partial(anyio.run, backend='trio'); "
    "sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
)

SHOWN = {
    "calculator": """\
1 + 2 = 3.0
10 / 4 = 2.5
10 / 0 is nothing
remembered: 2.5
no answer in time, executed: unknown
not understood: Deserialize
""",
    "relay_balanced": """\
before: ['anna', 'bert', 'carl']
a call was lost: InternalServerError
after: 100 pictures by 2 workers
""",
    "ticker": """\
json: Subscribed(services=['ticker::Halted']), 0 prices
msgpack: Subscribed(services=['ticker::Price', 'ticker::Halted']), 50 prices
too slow: 90 dropped, the first of the rest is at 90 cents
""",
}
TOLD = {"relay_balanced": "the relay has lost worker 1\n"}
"""What comes on standard error."""


def run(name: str, *before: str) -> tuple[int, str, str]:
    """How it ended, and what it wrote."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *before, str(ROOT / "docs" / "examples" / f"{name}.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment(),
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("before", [[], ["-c", ON_TRIO]], ids=["asyncio", "trio"])
@pytest.mark.parametrize("name", SHOWN)
def test_the_examples_run(name: str, before: list[str]) -> None:
    """Each with all its processes, to its end, with the lines that it should print, and no word of anything gone wrong."""
    code, shown, told = run(name, *before)
    assert (code, told) == (0, TOLD.get(name, "")), told
    lines = shown.splitlines(keepends=True)
    # The two subscribers of the ticker end in any order.
    assert "".join(sorted(lines) if name == "ticker" else lines) == SHOWN[name]
