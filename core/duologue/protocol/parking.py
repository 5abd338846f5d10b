"""Parking: requests that were received and can't start yet (docs/flow.md, F2, F3 and F6).

Calls that found no permit, requests that arrived while the gate was closed, and what waits in the lane: ordered requests,
which run one at a time in the order of arrival. Calls are bounded by count and by bytes; ordered one-way messages have
the bound of `SendBudget.waiting`.
"""

from __future__ import annotations

from collections import deque

from duologue.protocol.budget import SendBudget
from duologue.protocol.events import CallReceived, IncomingRequest, SendReceived
from duologue.protocol.limits import Limits


class Parking:
    """Two queues, the plain one and the lane, with one bound."""

    __slots__ = (
        "_bytes",
        "_bytes_limit",
        "_calls",
        "_held",
        "_held_bytes",
        "_lane",
        "_limit",
        "_overhead",
        "_plain",
        "_sends",
        "is_full",
        "turn",
        "waiting",
    )

    def __init__(self, limits: Limits, sends: SendBudget, overhead: int) -> None:
        self._limit = limits.parked
        self._bytes_limit = limits.parked_bytes
        self._overhead = overhead
        self._sends = sends
        self._plain: deque[CallReceived] = deque()
        self._lane: deque[IncomingRequest] = deque()
        self._calls = 0
        self._bytes = 0
        self._held = 0
        self._held_bytes = 0
        self.is_full = False
        """Whether a further call must be refused, or not be read. An attribute, since it is looked at for each frame."""
        self.waiting = 0
        """Everything that is parked, one-way messages too."""
        self.turn: IncomingRequest | None = None
        """The ordered request whose turn it is: it runs, or waits in the plain queue for its permit."""

    @property
    def calls(self) -> int:
        """Calls that are parked."""
        return self._calls

    @property
    def bytes(self) -> int:
        """Bytes of those calls."""
        return self._bytes

    @property
    def held(self) -> int:
        """Calls to be relayed that wait for room at the other peer. They stand in no queue here, and share the bound."""
        return self._held

    @property
    def held_bytes(self) -> int:
        """Bytes of those."""
        return self._held_bytes

    @property
    def has_calls(self) -> bool:
        """Whether a call waits in the plain queue, so that a new one has to go behind it."""
        return bool(self._plain)

    @property
    def first(self) -> CallReceived | None:
        """The call that starts next."""
        return self._plain[0] if self._plain else None

    def park(self, call: CallReceived) -> None:
        """Put a call at the end of the plain queue."""
        self._plain.append(call)
        self._count(call, 1)

    def unpark(self) -> None:
        """Take the first call out: it starts, or is refused."""
        self._count(self._plain.popleft(), -1)

    def line_up(self, request: IncomingRequest) -> None:
        """Put an ordered request at the end of the lane."""
        self._lane.append(request)
        self._count(request, 1)

    def next_turn(self, gated: bool) -> IncomingRequest | None:
        """If nobody has the turn, give it to the first in the lane, and take it out. The gate holds back calls."""
        if self.turn is not None or not self._lane or (gated and self._lane[0].cid):
            return None
        self.turn = request = self._lane.popleft()
        self._count(request, -1)
        return request

    def hold(self, size: int) -> None:
        """Count a call of so many bytes that waits for room at the peer that it is relayed to."""
        self._held += 1
        self._held_bytes += size
        self._look_again()

    def let_go(self, size: int) -> None:
        """It waits no longer."""
        self._held -= 1
        self._held_bytes -= size
        self._look_again()

    def clear(self, keep_sends: bool = False) -> list[IncomingRequest]:
        """Take everything out, in the order of arrival within each queue. One-way messages may stay in the lane."""
        requests: list[IncomingRequest] = [*self._plain, *self._lane]
        kept: list[IncomingRequest] = []
        if keep_sends:
            kept = [request for request in self._lane if not request.cid]
            requests = [request for request in requests if request.cid]
        if self.turn is not None and not self.turn.is_delivered:
            self.turn = None  # it was a call that waited for its permit
        self._plain.clear()
        self._lane.clear()
        self._calls = self._bytes = self.waiting = 0
        self._sends.clear_waiting()
        for request in kept:
            self.line_up(request)
        self._look_again()
        return requests

    def _count(self, request: IncomingRequest, sign: int) -> None:
        size = len(request.payload) + self._overhead
        self.waiting += sign
        if isinstance(request, SendReceived):
            (self._sends.wait if sign > 0 else self._sends.end_wait)(size)
        else:
            self._calls += sign
            self._bytes += sign * size
            self._look_again()

    def _look_again(self) -> None:
        self.is_full = (
            self._calls + self._held >= self._limit or self._bytes + self._held_bytes >= self._bytes_limit
        )
