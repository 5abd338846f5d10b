"""The command `duologue` as users have it: in a process of its own, with an exit code, an output and an error output."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent
"""The folder of `shop.py`."""
MODULE = [sys.executable, "-W", "error", "-m", "duologue_contrib"]
SCRIPT = [str(Path(sys.executable).with_name("duologue"))]
LONG_ENOUGH = 60.0
"""Seconds after which a test that hangs fails."""
NOBODY = "tcp://127.0.0.1:1"
"""Where nobody listens. Who checks before connecting never finds out."""


def run(
    *args: str, stdin: str = "", command: list[str] = MODULE, folder: Path = HERE
) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [*command, *args],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=LONG_ENOUGH,
    )


def started(*args: str, command: list[str] = MODULE, folder: Path = HERE) -> subprocess.Popen[str]:
    """Start it, with pipes."""
    return subprocess.Popen(
        [*command, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
    )


class Serving:
    """A `duologue serve` that runs."""

    def __init__(self, process: subprocess.Popen[str], count: int) -> None:
        self.process = process
        self.urls = [self.line() for _ in range(count)]
        self.url = self.urls[0]

    def line(self) -> str:
        """The next line of its output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(f"it has ended: {self.process.communicate()[1]}")
        return line.rstrip("\n")

    def says(self, wanted: str) -> None:
        """Wait until a handler has printed a line. Those of other handlers may come before."""
        while self.line() != wanted:
            pass

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code, and what it wrote to its error output."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """The same, when it ends by itself."""
        _, errors = self.process.communicate(timeout=LONG_ENOUGH)
        return self.process.returncode, errors


@contextmanager
def serving(
    *args: str,
    listen: tuple[str, ...] = ("tcp://127.0.0.1:0",),
    services: str = "shop:services",
    command: list[str] = MODULE,
) -> Iterator[Serving]:
    """Start it, and wait until it listens. What is left of it at the end is killed."""
    urls = [word for url in listen for word in ("--listen", url)]
    with started("serve", services, *urls, *args, command=command) as process:
        try:
            yield Serving(process, len(listen))
        finally:
            process.kill()
