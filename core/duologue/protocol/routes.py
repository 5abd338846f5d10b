"""How a request is to be run: what a service map answers when the state machine asks where a service id leads."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from duologue.protocol.errors import FailureKind

if TYPE_CHECKING:
    from duologue.protocol.relaying import Relays


class Mode(Enum):
    """Where a handler runs."""

    TASK = "task"
    """A coroutine, in a task of its own."""
    INLINE = "inline"
    """A function, called in place: it must not block."""
    THREAD = "thread"
    """A function, called in a worker thread. A thread can't be cancelled: it keeps its permit until it ends."""
    RELAY = "relay"
    """Not run here: passed on to another peer, with no task where none is needed."""


class RequestFault(Exception):
    """Raised by `Route.run` for failures that are not the handler's; the cause is the exception that tells more."""

    def __init__(self, kind: FailureKind) -> None:
        super().__init__(kind.value)
        self.kind = kind


class Route:
    """One service, bound to a wire format. It decides nothing and schedules nothing: the driver runs it.

    Its attributes never change: a service that is to be run in another way gets another route.
    """

    name: str
    """For people: `namespace::Name`."""
    mode: Mode = Mode.TASK
    ordered: bool = False
    """One after another with the other ordered services of the connection, in the order of arrival."""
    takes_permit: bool = True
    """Counts against the budget of calls. Relays and pub/sub don't."""
    has_handler: bool = True
    """False: the service is known, but nobody serves it now. The request fails with `NoHandler` without being run."""
    wants_context: bool = False
    """`run` is given a context only if this is set: most handlers don't look at it."""
    relays_to: Callable[[], Relays | None] | None = None
    """In mode `RELAY`, where the next request goes, if that can be told at once: `Connection.relays` of another connection.
    If it gives None the request is delivered, and whoever runs it finds out."""
    relay_timeout: float | None = None
    """In mode `RELAY`: seconds for each call at the other connection; None for ever."""

    def run(self, payload: bytes, context: Any, answered: bool) -> Awaitable[Any]:
        """Decode, call the handler, and give the encoded answer; if not `answered`, what it gives is nothing to anyone.
        Used in mode `TASK`.

        Raises `RequestFault` if the payload does not decode or the answer does not encode; whatever else
        comes out is the handler's failure.
        """
        raise NotImplementedError(f"{self.name} does not run as a task")

    def run_sync(self, payload: bytes, context: Any, answered: bool) -> bytes:
        """The same for the modes `INLINE` and `THREAD`; empty if not `answered`."""
        raise NotImplementedError(f"{self.name} runs only as a task")


Router = Callable[[int], Route | None]
"""From a service id to its route; None for an unknown service. Called once per request, so it should be a dict's `get`."""
