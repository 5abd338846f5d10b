"""Both ends of `exec:` and `stdio:` in one process, so that the suite for adapters can look at both.

A real child is started by the real `exec:` for each connection. It hands what it was started with, its standard input and
output, over to the process of the test, where `stdio:` takes them, and lives for as long as that connection.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
from tests.adapters.faulty import Through

from duologue import ConnectFailed, Peer, PeerSettings, ServerSettings, register_adapter
from duologue_adapters import Engine, Link, LinkAdapter, Listener, stdio
from duologue_adapters.command import ExecAdapter
from duologue_adapters.stdio import StdioAdapter
from duologue_contrib.testing import play_child

SCHEME = "handed"

CHILD = """
import os, socket, sys
ours, theirs = socket.socketpair()
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
    door.connect(sys.argv[1])
    socket.send_fds(door, [b"."], [0, 1, theirs.fileno()])
theirs.close()
os.close(0)
os.close(1)
ours.recv(1)  # until nobody has the other end any more
"""


class HandedAdapter(LinkAdapter):
    """`handed:///path`: a client is `exec:`, and what a server accepts is `stdio:`."""

    schemes = (SCHEME,)

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        raise AssertionError("exec: opens it")

    @asynccontextmanager
    async def connect(self, url: str, settings: PeerSettings) -> AsyncGenerator[Peer, None]:
        path = path_in(url)
        if not settings.options and not is_served(path):  # a child would be there in any case
            raise ConnectFailed(url, "nobody would take it")
        argv = [sys.executable, "-I", "-S", "-c", CHILD, path]
        # An option that is none of ours is none of exec's either.
        command = replace(settings, options={"argv": argv, **settings.options})
        async with ExecAdapter().connect("exec:", command) as peer:
            yield peer

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        if is_served(path_in(url)):
            raise ConnectFailed(url, "somebody takes them already")
        return Door(engine, url, settings)


class Door(Listener):
    """Where children hand over what they have."""

    def __init__(self, engine: Engine, url: str, settings: ServerSettings) -> None:
        self.url = url
        self._engine = engine
        self._settings = settings
        self._path = Path(path_in(url))
        self._path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(self._path))

    async def accept(self) -> Link:
        while True:
            await anyio.wait_readable(self._socket)
            try:
                _, received, _, _ = socket.recv_fds(self._socket, 1, 3)
            except BlockingIOError:
                continue
            stdin, stdout, alive = received
            try:
                with standing_for_ours(stdin, stdout):
                    link = await StdioAdapter().open_link(self._engine, "stdio:", self._settings)
            except BaseException:
                os.close(alive)
                raise
            return HandedLink(link, alive)

    def close(self) -> None:
        self._socket.close()
        self._path.unlink()


class HandedLink(Through):
    """When it is lost the child ends."""

    def __init__(self, below: Link, alive: int) -> None:
        super().__init__(below)
        self._alive = alive

    def abort(self) -> None:
        self._let_go()  # it need not have been started, and then nothing more follows
        super().abort()

    def connection_lost(self, detail: str) -> None:
        self._let_go()
        super().connection_lost(detail)

    def _let_go(self) -> None:
        alive, self._alive = self._alive, -1
        if alive >= 0:
            os.close(alive)


@contextmanager
def standing_for_ours(stdin: int, stdout: int) -> Iterator[None]:
    """For `stdio:` these are what the process was started with. It leaves something harmless in their place."""
    before = stdio.STDIN, stdio.STDOUT
    stdio.STDIN, stdio.STDOUT = stdin, stdout
    try:
        yield
    finally:
        stdio.STDIN, stdio.STDOUT = before
        os.close(stdin)
        os.close(stdout)


def is_served(path: str) -> bool:
    """Whether somebody reads there."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(path)
        except OSError:
            return False
    return True


def path_in(url: str) -> str:
    return url.removeprefix(f"{SCHEME}://")


def main() -> None:
    """The other process of the suite: `python -m tests.adapters.handed_over PLAN`."""
    plan = json.loads(sys.argv[1])
    register_adapter(SCHEME, HandedAdapter())
    anyio.run(
        play_child, plan["role"], plan["url"], plan["wireformat"], plan["options"], backend=plan["engine"]
    )


if __name__ == "__main__":
    main()
