"""Own calls that are written and not answered: ids, correlation, and what is still owed (docs/protocol.md, section 1)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from duologue.protocol.errors import Executed
from duologue.protocol.events import RelayedCall

_MASK = 2**64 - 1
_HALF = 2**63


class OutgoingCall:
    """One own call: the token that `Connection.call` returns and that its events carry."""

    __slots__ = ("deadline", "id", "is_ended", "payload", "sid", "waiter")

    def __init__(self, sid: int, payload: bytes, deadline: float | None) -> None:
        self.sid = sid
        """The service that is called."""
        self.payload = payload
        """The encoded message, until it is in the outbox."""
        self.deadline = deadline
        """When it fails, in the clock that the connection is given; None for never."""
        self.id = 0
        """Its id on the wire; 0 while it waits for room."""
        self.is_ended = False
        """It has its one outcome."""
        self.waiter: Any = None
        """For the driver: whatever is to be told of the outcome. The connection doesn't look at it."""

    def __repr__(self) -> str:
        return f"OutgoingCall(0x{self.sid:016x}, id={self.id}{', ended' if self.is_ended else ''})"


class OutgoingSend:
    """One own one-way message that waits for room in the outbox."""

    __slots__ = ("deadline", "is_ended", "payload", "sid", "waiter")

    def __init__(self, sid: int, payload: bytes, deadline: float | None) -> None:
        self.sid = sid
        """The service that it goes to."""
        self.payload = payload
        """The encoded message."""
        self.deadline = deadline
        """When it fails; None for never."""
        self.is_ended = False
        """It is in the outbox, or failed."""
        self.waiter: Any = None
        """For the driver."""

    def __repr__(self) -> str:
        return (
            f"OutgoingSend(0x{self.sid:016x}, {len(self.payload)} bytes{', ended' if self.is_ended else ''})"
        )


PendingCall = OutgoingCall | RelayedCall
"""Whatever an answer may be for."""


class PendingCalls:
    """Calls by id. `owed` counts every call of which the remote has bytes and has not answered, given-up ones too.

    Base mode has no cancel: a remote may still be at work on a call that nobody waits for. So such a call goes on
    counting, for a while, or a caller with short timeouts could load the remote without bound.
    """

    __slots__ = ("_by_id", "_forget_after", "_given_up", "_next_id", "owed")

    def __init__(self, forget_after: float, first_id: int = 1) -> None:
        self._by_id: dict[int, PendingCall] = {}
        self._given_up: OrderedDict[int, float] = OrderedDict()
        self._forget_after = forget_after
        self._next_id = first_id & _MASK
        self.owed = 0
        """Calls written minus answers received. An attribute, since it is looked at for each call."""

    def __len__(self) -> int:
        return len(self._by_id)

    def __contains__(self, call_id: int) -> bool:
        """Whether somebody waits for the answer to the call of this id."""
        return call_id in self._by_id

    def add(self, call: PendingCall) -> int:
        """Give the call its id: the next one, but for 0 and ids that are not free."""
        call_id = self._next_id
        while call_id == 0 or call_id in self._by_id or call_id in self._given_up:
            call_id = (call_id + 1) & _MASK
        self._next_id = (call_id + 1) & _MASK
        call.id = call_id
        self._by_id[call_id] = call
        self.owed += 1
        return call_id

    def pop(self, call_id: int) -> PendingCall | None:
        """The call that is answered now, if one waits for this answer."""
        call = self._by_id.pop(call_id, None)
        if call is not None:
            self.owed -= 1
        return call

    def relayed(self) -> list[RelayedCall]:
        """The calls that other connections wait for."""
        return [call for call in self._by_id.values() if isinstance(call, RelayedCall)]

    def give_up(self, call: PendingCall, executed: Executed, now: float) -> None:
        """Nobody waits for this call any more. If the remote has bytes of it, it stays owed for a while."""
        del self._by_id[call.id]
        if executed is Executed.NO:
            self.owed -= 1
        else:
            self._given_up[call.id] = now + self._forget_after

    def settle(self, call_id: int) -> bool:
        """An answer came that nobody waits for: late if the id was issued once, stray (False) if it never was."""
        if self._given_up.pop(call_id, None) is not None:
            self.owed -= 1
            return True
        return call_id != 0 and 0 < (self._next_id - call_id) & _MASK < _HALF

    def next_forgetting(self) -> float | None:
        """When the next given-up call stops counting."""
        return next(iter(self._given_up.values())) if self._given_up else None

    def forget(self, now: float) -> None:
        """Stop counting the calls that were given up long ago."""
        while self._given_up and next(iter(self._given_up.values())) <= now:
            self._given_up.popitem(last=False)
            self.owed -= 1

    def clear(self) -> list[PendingCall]:
        """Take all out, in the order of their ids: the connection ends."""
        calls = list(self._by_id.values())
        self._by_id.clear()
        self._given_up.clear()
        self.owed = 0
        return calls


class StrayCounter:
    """Answers to calls that never were: harmless one by one, a sign of a broken remote at a rate."""

    __slots__ = ("_began", "_in_window", "limit", "total")

    WINDOW = 10.0
    """Seconds."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        """So many of them within the window are borne."""
        self._began = 0.0
        self._in_window = 0
        self.total = 0
        """All of them."""

    def count(self, now: float) -> bool:
        """One more. Says whether there were too many of late."""
        self.total += 1
        if not self._in_window or now - self._began >= self.WINDOW:
            self._began = now
            self._in_window = 0
        self._in_window += 1
        return self._in_window > self.limit
