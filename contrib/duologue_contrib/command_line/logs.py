"""What `duologue serve` writes to its error output: handlers that failed, and requests that never came to one."""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator
from traceback import TracebackException
from types import TracebackType
from typing import Self

import anyio

import duologue
import duologue_adapters
from duologue import FailureKind, Peer, PeerEvent, RequestFailed
from duologue_contrib.command_line.endings import one_line

logger = logging.getLogger("duologue.serve")

PER_SECOND = 10
"""Lines for each connection, as in the library's own log, so that a remote can't fill a disk."""

_LOGGED_BY_THE_LIBRARY = frozenset(
    {
        FailureKind.HANDLER_FAILED,
        FailureKind.NO_HANDLER,
        FailureKind.SERIALIZE,
        FailureKind.FRAME_TOO_LARGE,
    }
)
_OURS = tuple(f"{path}/" for path in (*duologue.__path__, *duologue_adapters.__path__))


def log_to_stderr() -> None:
    """Let warnings and errors be seen. A module that has set up its own logging keeps it."""
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(Readable("%(asctime)s %(levelname)s %(message)s"))
    root.addHandler(handler)


class Readable(logging.Formatter):
    """Tracebacks begin where the handler does: how the library came to call it is nobody's question."""

    def formatException(  # noqa: N802  # the name is logging's
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        if ei[1] is None:
            return super().formatException(ei)
        told = TracebackException.from_exception(ei[1])
        rest: list[TracebackException | None] = [told]
        while rest:
            each = rest.pop()
            if each is not None:
                stack = each.stack
                while len(stack) > 1 and stack[0].filename.startswith(_OURS):
                    del stack[0]
                rest += [each.__cause__, each.__context__]
        return "".join(told.format()).rstrip("\n")


class Failures:
    """Logs what the library leaves to those who watch a peer: a message that could not be read, a service that nobody has.

    `follow` is for `serve(on_peer=...)`, and `log` is to run meanwhile.
    """

    def __init__(self) -> None:
        # Peers come before anybody has begun to look.
        self._put, self._take = anyio.create_memory_object_stream[tuple[str, AsyncIterator[PeerEvent]]](
            math.inf
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._put.close()
        self._take.close()

    def follow(self, peer: Peer) -> None:
        """One more to look at."""
        self._put.send_nowait((peer.info.address, peer.events()))

    async def log(self) -> None:
        """Until it is cancelled."""
        async with anyio.create_task_group() as group:
            async for address, events in self._take:
                group.start_soon(self._log_one, address, events)

    async def _log_one(self, address: str, events: AsyncIterator[PeerEvent]) -> None:
        began, count = -math.inf, 0
        async for event in events:
            if not isinstance(event, RequestFailed) or event.kind in _LOGGED_BY_THE_LIBRARY:
                continue
            if (now := anyio.current_time()) - began >= 1:
                if count > PER_SECOND:
                    logger.warning("%s: %d more were not logged", address, count - PER_SECOND)
                began, count = now, 0
            count += 1
            if count <= PER_SECOND:
                logger.warning("%s: %s", address or "a remote", _described(event))


def _described(event: RequestFailed) -> str:
    service = event.service or f"0x{event.sid:016x}"
    return f"{service}: {event.kind.value}" + (f": {one_line(str(event.error))}" if event.error else "")
