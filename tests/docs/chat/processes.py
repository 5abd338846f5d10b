"""The chat's server and its terminal clients as processes, and what they print."""

from __future__ import annotations

import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

CHAT = Path(__file__).parents[3] / "docs" / "examples" / "chat"
LONG_ENOUGH = 30.0
"""Seconds without a line after which a process hangs for sure."""


class Running:
    """A process, and its lines."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self._lines = BufferedByteReceiveStream(process.stdout)
        self.seen: list[str] = []

    async def line(self) -> str:
        """The next one. A time at its beginning is left out."""
        with anyio.fail_after(LONG_ENOUGH):
            line = (await self._lines.receive_until(b"\n", 10_000)).decode()
        line = line[6:] if line[2:3] == ":" and line[:2].isdigit() else line
        self.seen.append(line)
        return line

    async def until(self, text: str) -> str:
        """The next line with this in it."""
        while text not in (line := await self.line()):
            pass
        return line

    async def type(self, *lines: str) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send("".join(f"{line}\n" for line in lines).encode())

    async def rest(self) -> list[str]:
        """What it prints to its end, which comes when it has nothing more to read."""
        assert self.process.stdin is not None
        await self.process.stdin.aclose()
        lines = list[str]()
        try:
            while True:
                lines.append(await self.line())
        except (anyio.EndOfStream, anyio.IncompleteRead):
            return lines

    async def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        with anyio.fail_after(LONG_ENOUGH):
            return await self.process.wait()


@asynccontextmanager
async def running(script: str, *args: str) -> AsyncIterator[Running]:
    """Run a script of the chat until the block is left. What it writes as errors goes to the test's own error output."""
    command = [sys.executable, "-W", "error", str(CHAT / script), *args]
    async with await anyio.open_process(command, stderr=None) as process:
        try:
            yield Running(process)
        finally:
            if process.returncode is None:
                process.kill()


class ChatServer:
    """The server, which can be killed, and started again at the same ports."""

    def __init__(self, loop: str) -> None:
        self._loop = loop
        self.port, self.terminal_port = _free_port(), _free_port()

    @property
    def url(self) -> str:
        """For terminals."""
        return f"tcp://127.0.0.1:{self.terminal_port}"

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @asynccontextmanager
    async def run(self) -> AsyncIterator[Running]:
        """It serves while the block runs."""
        ports = ("--port", str(self.port), "--terminal-port", str(self.terminal_port))
        async with running("server.py", *ports, "--loop", self._loop) as server:
            await server.until("Ctrl-C")
            yield server

    @asynccontextmanager
    async def terminal(self, nick: str, *args: str) -> AsyncIterator[Running]:
        """A client with pipes for a terminal."""
        async with running("terminal.py", self.url, "--nick", nick, "--loop", self._loop, *args) as terminal:
            yield terminal


def _free_port() -> int:
    """None of those that the system gives to whoever wants any: the server is to have it again after it was killed."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port
