"""A server that writes down each call that it executes, in a process that is killed and started again.

Run as a program it is told by lines on its stdin: `start` forks a process that serves, and answers with its number. So a
server is there again at once, and need not import everything first.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from tests.adapters.common import ROOT, environment

from duologue import Message, Namespace, Services, serve


class Count(Message[int]):
    """Is written down, and then answered with its number; or not answered, if it is to be held."""

    number: int
    is_held: bool = False


counting = Namespace("counting", [Count])


async def _serve(url: str, options: dict[str, Any], file: str) -> None:
    services = Services(counting)
    # One `write` of a few bytes to a file that is open for appending: whatever is killed, it is there or not.
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    @services.handler
    async def count(msg: Count) -> int:
        os.write(descriptor, b"%d\n" % msg.number)
        if msg.is_held:
            await anyio.sleep_forever()
        return msg.number

    async with serve(url, services, wireformat="json", **options) as server:
        Path(f"{file}.url").write_text(server.url)
        await server.wait_closed()


def _main() -> None:
    url, options, file, engine = json.loads(sys.argv[1])
    # All that a server needs is loaded here, once, and not by each of them.
    importlib.import_module(f"anyio._backends._{engine}")
    serve(url, wireformat="json", **options)
    child = 0
    for line in sys.stdin:
        assert line == "start\n"
        if child:
            os.waitpid(child, 0)
            url = Path(f"{file}.url").read_text()  # with the port that it had
        child = os.fork()
        if child == 0:
            anyio.run(_serve, url, options, file, backend=engine)
            os._exit(0)
        print(child, flush=True)
    if child:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


class CountingServer:
    """What a test holds of it."""

    def __init__(self, process: subprocess.Popen[str], file: Path) -> None:
        self._process = process
        self._file = file
        self._child = 0

    async def start(self) -> None:
        """Start the server, which must not be running. It serves a moment later."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("start\n")
        self._process.stdin.flush()
        line = await anyio.to_thread.run_sync(self._process.stdout.readline, abandon_on_cancel=True)
        self._child = int(line)

    def kill(self) -> None:
        """`kill -9`."""
        os.kill(self._child, signal.SIGKILL)

    async def url(self) -> str:
        """Where it serves, as soon as it does."""
        file = Path(f"{self._file}.url")
        while not (file.exists() and (url := file.read_text())):  # noqa: ASYNC110 - another process writes it
            await anyio.sleep(0.001)
        return url

    def executed(self) -> Counter[int]:
        """How often each call was executed."""
        text = self._file.read_text() if self._file.exists() else ""
        return Counter(map(int, text.split()))


@contextmanager
def counting_server(url: str, options: dict[str, Any], file: Path, engine: str) -> Iterator[CountingServer]:
    """The process that starts servers. With the block it ends, and so does the last of them."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.contrib.reconnect.counting",
            json.dumps([url, options, str(file), engine]),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield CountingServer(process, file)
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


if __name__ == "__main__":
    _main()
