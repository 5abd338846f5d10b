"""What a program leaves behind: processes, and files in the directory for temporary ones."""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

_MARK = "DUOLOGUE_TEST_MARK"


class Traces:
    """Of one program, and of all that it starts."""

    def __init__(self, temporary: Path) -> None:
        self._temporary = temporary
        self._mark = str(uuid.uuid4())
        self.environment = {_MARK: self._mark, "TMPDIR": str(temporary)}
        """To be added to the program's. Children inherit it, whatever session they are in."""

    def processes(self) -> dict[int, str]:
        """Those that run now, and their commands."""
        found: dict[int, str] = {}
        for process in Path("/proc").iterdir():
            if not process.name.isdigit():
                continue
            try:
                environment = (process / "environ").read_bytes()
                command = (process / "cmdline").read_bytes()
            except OSError:  # it has ended, or is somebody else's
                continue
            if f"{_MARK}={self._mark}".encode() in environment.split(b"\0"):
                found[int(process.name)] = command.replace(b"\0", b" ").decode()
        return found

    def files(self) -> list[str]:
        """Those that are there now."""
        return [str(path) for path in self._temporary.rglob("*")]


@contextmanager
def traces() -> Generator[Traces]:
    """Skips the test where processes can't be looked at."""
    if not sys.platform.startswith("linux") or not os.path.isdir("/proc/self"):
        pytest.skip("only Linux shows the environment of processes")
    # With a short path, since there will be sockets in it.
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield Traces(Path(directory))
