"""The remote's calls that are not answered, and what is said when a request fails: to the remote, and here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duologue.protocol.errors import FailureKind
from duologue.protocol.events import CallReceived, Event, IncomingRequest, RequestFailed
from duologue.protocol.failures import WIRE_KINDS, error_body
from duologue.protocol.frames import Framing
from duologue.protocol.ids import ERROR_SID
from duologue.protocol.outbox import Outbox

REFUSAL_SIZE = 160
"""An upper bound for the frame of a refusal, in any of the wire formats."""


class Unanswered:
    """Has each call until it is answered, parked ones too. Errors as answers, and the events about them, are made here."""

    __slots__ = ("_encode_error", "_events", "_header", "_outbox", "_overhead", "by_id", "dropped")

    def __init__(
        self, framing: Framing, encode_error: Callable[[Any], bytes], outbox: Outbox, events: list[Event]
    ) -> None:
        self._header = framing.header
        self._overhead = framing.overhead
        self._encode_error = encode_error
        self._outbox = outbox
        self._events = events
        self.by_id: dict[int, CallReceived] = {}
        """Each by the id that the remote has given it."""
        self.dropped = 0
        """One-way messages that were let go."""

    def fail(self, call: IncomingRequest, kind: FailureKind, now: float, *, refused: bool = False) -> None:
        """Answer with an error. Nothing is told here."""
        payload = self._encode_error(error_body(WIRE_KINDS[kind], call.sid, call.cid))
        header = self._header(self._overhead + len(payload), ERROR_SID, call.cid)
        self.by_id.pop(call.cid, None)
        if refused:
            self._outbox.put_refusal(header, payload, now)
        else:
            self._outbox.put_answer(header, payload, now)

    def refuse(self, call: IncomingRequest, kind: FailureKind, now: float) -> None:
        """A call that never started: refusals are counted, since a remote that does not read them costs room (F4)."""
        self.report(call, kind)
        self.fail(call, kind, now, refused=True)

    def drop(self, send: IncomingRequest) -> None:
        """Let a one-way message go."""
        self.dropped += 1
        self.report(send, FailureKind.DROPPED)

    def report(self, request: IncomingRequest, kind: FailureKind, error: BaseException | None = None) -> None:
        """Tell it here."""
        name = request.route.name if request.route is not None else ""
        self._events.append(RequestFailed(kind, request.sid, request.cid, name, error))
