"""Where the rows play: the server's process, a child's, and connections to them or within this one."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import Any

import anyio
import anyio.abc
from anyio.streams.buffered import BufferedByteReceiveStream

from duologue import Limits, Peer, Services, connect, serve
from duologue_contrib.demo.progress import Progress
from duologue_contrib.demo.server import Offer, name_of
from duologue_contrib.demo.services import Counts, server_services

STARTING = 30.0
"""Seconds in which the server must have started, on a machine that is busy."""

ENDING = 10.0
"""Seconds for the server's pipes to be closed, after it was killed."""

MOST_SAID = 65536
"""Bytes of the server's error output that are passed on."""

LONGEST_DIRECTORY = 80
"""Bytes: the system allows about 100 for the path of a socket."""

_LIMITS = Limits()
_NO_OFFER = Offer(urls={}, problems={}, certificate="")


class NoServer(Exception):
    """The second process is not there, or does not serve this."""


class Stage:
    """One run of the demo. The server lives until `close`, if no row kills it before."""

    def __init__(self, backend: str) -> None:
        self._backend = backend
        self._directory = ""
        # Its error output: on a screen that moves it would land anywhere.
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._process: anyio.abc.Process | None = None
        self._offer = _NO_OFFER
        self.progress = Progress()
        """Of the row that plays."""

    async def start_server(self) -> int:
        """Start it, and wait until it listens. Returns the id of its process. Raises `NoServer`."""
        self._directory = tempfile.mkdtemp(prefix="duologue-demo-", dir=_short_directory())
        with anyio.CancelScope(shield=True):  # a process that is started is one that `close` knows
            # Not in the terminal's group, so that Ctrl-C is for this process alone: the server ends with it.
            self._process = await anyio.open_process(
                [*self._python("server"), self._directory],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                start_new_session=True,
            )
        process = self._process
        assert process is not None
        assert process.stdout is not None
        try:
            with anyio.fail_after(STARTING):
                line = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 65536)
        except TimeoutError:
            raise NoServer(f"the server's process did not begin to listen within {STARTING:g} s") from None
        except (anyio.IncompleteRead, anyio.EndOfStream):
            await process.wait()
            last_words = "".join(f": {line}" for line in self._said_so_far().splitlines()[-1:])
            raise NoServer(f"the server's process ended before it listened{last_words}") from None
        self._offer = json.loads(line)
        return process.pid

    def kill_server(self) -> None:
        """SIGKILL: it can neither say goodbye nor clean up."""
        self._running().kill()

    async def close(self) -> None:
        """End the server, if it still runs, remove what it has left, and pass on what it said."""
        with anyio.CancelScope(shield=True), self._said:
            if self._process is not None:
                with anyio.move_on_after(ENDING):
                    try:
                        self._process.kill()
                    except ProcessLookupError:
                        pass
                    await self._process.aclose()
            if self._directory:
                shutil.rmtree(self._directory, ignore_errors=True)
            sys.stderr.write(self._said_so_far())

    @asynccontextmanager
    async def connection(
        self,
        scheme: str = "tcp",
        wireformat: str = "json",
        services: Services | None = None,
        limits: Limits = _LIMITS,
    ) -> AsyncGenerator[Peer]:
        """Connect to the server, or to a child of its own, or within this process: as the scheme says. `SHARED` is one, too.

        Raises `NoServer`, and what `connect` raises.
        """
        options: dict[str, Any] = {}
        async with AsyncExitStack() as stack:
            url = self.url_of(scheme, wireformat)
            if scheme == "mem":
                # A server within this process: there is nothing but the protocol between the two ends.
                server = serve(url, server_services(Counts()), wireformat=wireformat)
                await stack.enter_async_context(server)
            elif scheme == "tls":
                options["ca"] = self._offer["certificate"].encode()
            connecting = connect(url, services, wireformat=wireformat, limits=limits, **options)
            with _no_interrupts_for_children() if scheme == "exec" else nullcontext():
                peer = await stack.enter_async_context(connecting)
            yield peer

    def url_of(self, scheme: str, wireformat: str = "json") -> str:
        """What to connect to. Raises `NoServer`."""
        if scheme == "mem":
            return "mem://demo"
        if scheme == "exec":
            return f"exec:{shlex.join(self._python('child'))}"
        self._running()
        name = name_of(scheme, wireformat)
        if problem := self._offer["problems"].get(name):
            raise NoServer(f"the server can't listen: {problem}")
        return self._offer["urls"][name]

    def _said_so_far(self) -> str:
        # Not from where the file stands, since the server writes there.
        return os.pread(self._said.fileno(), MOST_SAID, 0).decode(errors="replace")

    def _running(self) -> anyio.abc.Process:
        if self._process is None or not self._offer["urls"]:
            raise NoServer("the server did not start")
        return self._process

    def _python(self, module: str) -> list[str]:
        # Not a module in the folder that the user happens to be in, but ours (-P).
        return [sys.executable, "-P", "-m", f"duologue_contrib.demo.{module}", self._backend]


def _short_directory() -> str | None:
    """Where temporary files go, unless there are no sockets with paths that long."""
    usual = tempfile.gettempdir()
    return "/tmp" if len(os.fsencode(usual)) + 30 > LONGEST_DIRECTORY else usual


@contextmanager
def _no_interrupts_for_children() -> Generator[None]:
    """A child that is started here does not hear Ctrl-C, which a terminal says to all of its group. It ends with its stdin."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
