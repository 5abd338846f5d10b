"""Parking: requests that were received and can't start yet (docs/flow.md, F2, F3 and F6).

Calls that found no permit, requests that arrived while the gate was closed, and what waits in the lane: ordered requests,
which run one at a time in the order of arrival. Calls are bounded by count and by bytes; ordered one-way messages have
the bound of `SendBudget.waiting`.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from duologue.protocol.budget import SendBudget
from duologue.protocol.events import CallReceived, IncomingRequest, SendReceived
from duologue.protocol.limits import Limits
from duologue.protocol.received import ByteAccount

_NOBODY: deque[Any] = deque(maxlen=0)
"""The queue of all connections in which nothing was parked yet: an empty one has 760 bytes, and most need none."""


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
        "account",
        "is_full",
        "turn",
        "waiting",
    )

    def __init__(self, limits: Limits, sends: SendBudget, overhead: int) -> None:
        self._limit = limits.parked
        self._bytes_limit = limits.parked_bytes
        self._overhead = overhead
        self._sends = sends
        self.account: ByteAccount | None = None
        """Where what is parked is counted together with that of other connections; None if nowhere."""
        self._plain: deque[CallReceived] = _NOBODY
        self._lane: deque[IncomingRequest] = _NOBODY
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
    def refuses(self) -> bool:
        """Whether a further call must not be parked, since here or at the server there is no room for it."""
        return self.is_full or (self.account is not None and self.account.is_over)

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
        if self._plain is _NOBODY:
            self._plain = deque()
        self._plain.append(call)
        self._count(call, 1)

    def unpark(self) -> None:
        """Take the first call out: it starts, or is refused."""
        self._count(self._plain.popleft(), -1)

    def line_up(self, request: IncomingRequest) -> None:
        """Put an ordered request at the end of the lane."""
        if self._lane is _NOBODY:
            self._lane = deque()
        self._lane.append(request)
        self._count(request, 1)

    def next_turn(self, gated: bool) -> IncomingRequest | None:
        """If nobody has the turn, give it to the first in the lane, and take it out. The gate holds back calls."""
        if self.turn is not None or not self._lane or (gated and self._lane[0].cid):
            return None
        self.turn = request = self._lane.popleft()
        self._count(request, -1)
        return request

    def hold(self, call: CallReceived) -> None:
        """A call waits until it is known where it is relayed to, or for room there. It shares the bound, and nothing stands behind it."""
        call.is_held = True
        self._count_held(call, 1)

    def let_go(self, call: IncomingRequest) -> None:
        """It waits no longer."""
        call.is_held = False
        self._count_held(call, -1)

    def clear(self, keep_sends: bool = False) -> list[IncomingRequest]:
        """Take everything out, in the order of arrival within each queue. One-way messages may stay in the lane."""
        requests: list[IncomingRequest] = [*self._plain, *self._lane]
        kept: list[IncomingRequest] = []
        if keep_sends:
            kept = [request for request in self._lane if not request.cid]
            requests = [request for request in requests if request.cid]
        if self.turn is not None and not self.turn.is_delivered:
            self.turn = None  # it was a call that waited for its permit
        if self.account is not None:
            self.account.park(-self._bytes - self._sends.waiting_bytes)
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
        if self.account is not None:
            self.account.park(sign * size)
        if isinstance(request, SendReceived):
            (self._sends.wait if sign > 0 else self._sends.end_wait)(size)
        else:
            self._calls += sign
            self._bytes += sign * size
            self._look_again()

    def _count_held(self, call: IncomingRequest, sign: int) -> None:
        size = len(call.payload) + self._overhead
        self._held += sign
        self._held_bytes += sign * size
        if self.account is not None:
            self.account.park(sign * size)
        self._look_again()

    def _look_again(self) -> None:
        self.is_full = (
            self._calls + self._held >= self._limit or self._bytes + self._held_bytes >= self._bytes_limit
        )
