"""The process's own standard input and output: `stdio:`, for the child of an `exec:` or of whoever lays pipes."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from contextlib import suppress

from duologue import Adapter, ConnectFailed, PeerSettings, hookimpl
from duologue_adapters.link_adapter import LinkAdapter
from duologue_adapters.ports import Engine, Link

STDIN, STDOUT, STDERR = 0, 1, 2


class StdioAdapter(LinkAdapter):
    """One connection, over the pipes or sockets that the process was started with. No option."""

    schemes = ("stdio",)

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        if url.partition(":")[2]:
            raise ConnectFailed(url, "write stdio: and nothing after it", is_permanent=True)
        _check(url)
        return engine.pipe_link(*_taken())

    def is_permanent(self, exc: Exception) -> bool:
        return True  # there is no other standard input and output


def _check(url: str) -> None:
    """Refuse what can't carry a connection."""
    for descriptor, name in ((STDIN, "standard input"), (STDOUT, "standard output")):
        try:
            mode = os.fstat(descriptor).st_mode
        except OSError as exc:
            raise ConnectFailed(url, f"{name} is closed", is_permanent=True) from exc
        if os.isatty(descriptor):
            raise ConnectFailed(
                url,
                f"{name} is a terminal: let the other program start this one, by exec: for example",
                is_permanent=True,
            )
        if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode):
            raise ConnectFailed(
                url,
                f"{name} is neither a pipe nor a socket, or a connection has used it up",
                is_permanent=True,
            )
    with suppress(OSError):  # there need not be an error output
        if os.path.samestat(os.fstat(STDOUT), os.fstat(STDERR)):
            raise ConnectFailed(
                url,
                "error output goes the same way as standard output, and would get into the stream",
                is_permanent=True,
            )


def _taken() -> tuple[int, int]:
    """The two descriptors, for us alone.

    Whatever else the process prints goes to its error output from now on, and its standard input is empty, for its
    children, too. It stays so: that the stream has ended the other end learns only if nobody holds it any more.
    """
    # Above the first three, since one of those may be closed, and be taken for what it is not.
    reader = fcntl.fcntl(STDIN, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
    try:
        writer = fcntl.fcntl(STDOUT, fcntl.F_DUPFD_CLOEXEC, STDERR + 1)
        try:
            nothing = os.open(os.devnull, os.O_RDWR)
        except OSError:
            os.close(writer)
            raise
    except OSError:
        os.close(reader)
        raise
    os.dup2(nothing, STDIN)
    try:
        os.dup2(STDERR, STDOUT)
    except OSError:
        os.dup2(nothing, STDOUT)
    os.close(nothing)
    # What was printed before, and is still in a buffer, leaves by this, and so goes where it harms nobody.
    with suppress(OSError, ValueError, AttributeError):  # it may be closed, or be something else than it was
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    return reader, writer


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return StdioAdapter()
