"""The request whose handler runs now: what its calls lend the permit of, and what it sees as `ctx`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from duologue import Context, Overloaded
from duologue.protocol.events import IncomingRequest

if TYPE_CHECKING:
    from duologue_adapters.driver import Driver

current_request: ContextVar[IncomingRequest | None] = ContextVar("current_request", default=None)
"""The request whose handler runs here, and in the tasks that it started: the one whose permit its calls lend (F1)."""


def running_request() -> IncomingRequest | None:
    """The request whose handler runs here. A task that outlives the handler has none: it has nothing to lend."""
    running = current_request.get()
    return None if running is None or running.is_ended else running


def lend(running: IncomingRequest) -> None:
    """The handler begins to wait for a remote. Raises `Overloaded` if too many do."""
    peer: Driver = running.peer
    if not peer.lend(running):
        raise Overloaded(
            "too many handlers wait for a remote already: calls go round in circles, or raise Limits.lent, and lent_limit of a CallBudget"
        )


def unlend(running: IncomingRequest) -> None:
    """The wait is over."""
    peer: Driver = running.peer
    peer.unlend(running)


class RequestContext(Context):
    """What a handler sees as `ctx`."""

    __slots__ = ("_request", "call_id", "peer")

    def __init__(self, peer: Driver, request: IncomingRequest) -> None:
        request.peer = peer
        self._request = request
        self.peer = peer
        self.call_id = request.cid

    def __repr__(self) -> str:
        return f"<Context of {self._request!r} from {self.peer!r}>"

    @asynccontextmanager
    async def waiting(self) -> AsyncGenerator[None, None]:
        lend(self._request)
        try:
            yield
        finally:
            unlend(self._request)
