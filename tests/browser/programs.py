"""A server as a process of its own, which can be killed, and started again at the same address."""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import anyio

ROOT = Path(__file__).parents[2]
STARTS_WITHIN = 30.0
"""Seconds that a server has to say where it is."""

_URL = re.compile(r"https?://[^\s)'\",]+")


class Program:
    """A Python program that serves, and prints where."""

    def __init__(self, args: tuple[str, ...]) -> None:
        self._args = args
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self.url = ""

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start it, and wait until it serves. The second time it gets the port that it had."""
        port = str(urlsplit(self.url).port or 0)
        command = [sys.executable, "-u", *(arg.replace("{port}", port) for arg in self._args)]
        found: queue.Queue[str] = queue.Queue()
        self._run(command, found)
        self.url = await anyio.to_thread.run_sync(found.get, True, STARTS_WITHIN)
        assert self.url, f"it has ended and not said where it serves: {command}"

    def _run(self, command: list[str], found: queue.Queue[str]) -> None:
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        self._reader = threading.Thread(target=_read, args=(self._process.stdout, found))
        self._reader.start()

    async def kill(self) -> None:
        """`kill -9`, and wait for its end."""
        if self._process is not None and self._reader is not None:
            self._process.kill()
            await anyio.to_thread.run_sync(self._process.wait)
            await anyio.to_thread.run_sync(self._reader.join)


def _read(output: IO[str], found: queue.Queue[str]) -> None:
    """Look for its address, and read what follows, too, or it would come to wait for that."""
    with output:
        for line in output:
            if url := _URL.search(line):
                found.put(url[0])
    found.put("")


@asynccontextmanager
async def program(*args: str) -> AsyncIterator[Program]:
    """Run `python *args` from the repository's root, with `{port}` for the port to serve at, until the block is left."""
    made = Program(args)
    try:
        await made.start()
        yield made
    finally:
        with anyio.CancelScope(shield=True):
            await made.kill()
