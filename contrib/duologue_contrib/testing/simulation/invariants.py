"""What must hold at any moment, whatever the network does: looked at after each pass of the loop, at each connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duologue import CloseReason, Peer
from duologue.protocol import Connection, Phase
from duologue_contrib.testing.simulation.errors import Violation

if TYPE_CHECKING:
    from duologue_contrib.testing.simulation.links import SimulatedLink

NESTED_SHARE = 2
"""Calls made in handlers may be so many times as many as other calls (docs/flow.md, own requests)."""

ENDED_DEADLINES = 130
"""So many entries of ended calls may wait in the heap, beside as many as there are of others."""


class End:
    """One end of a connection, as the simulation looks at it."""

    def __init__(self, link: SimulatedLink, connection: Connection) -> None:
        self.link = link
        self.connection = connection
        self.limits = connection.limits
        self.peer: Peer | None = None
        self.stands_since: float | None = None
        """When reading was first found to stand still for no reason."""

    def __str__(self) -> str:
        return f"{self.link.owner} to {self.link.other.owner}"

    @property
    def is_over(self) -> bool:
        """It is closed, and its last handler has ended."""
        return self.connection.phase is Phase.CLOSED and not self.connection.incoming.running

    @property
    def is_quiet(self) -> bool:
        """Nobody here waits for the other end, and nothing is on its way out."""
        connection = self.connection
        return connection.outgoing.is_idle and not connection.outbox.level


def check_end(end: End, now: float) -> tuple[int, int]:
    """The invariants of one end. Gives how many handlers hold a permit, and how many have lent theirs."""
    connection = end.connection
    _check_bounds(end)
    running = lent = calls = slots = slots_lent = 0
    for request in connection.incoming.requests:
        waits = request.waits > 0
        if request.cid:
            calls += not request.is_cancelled
            running += request.permit and not waits
            lent += request.permit and waits
        else:
            slots += request.permit and not waits
            slots_lent += request.permit and waits
    sends, parking = connection.incoming.sends, connection.incoming.parking
    if (sends.running, sends.lent) != (slots, slots_lent):
        raise Violation(
            f"{end}: {slots} handlers of one-way messages hold a slot and {slots_lent} have lent theirs, "
            f"but counted are {sends.running} and {sends.lent}"
        )
    if connection.incoming.unanswered != calls + parking.calls and connection.phase is not Phase.CLOSED:
        raise Violation(
            f"{end}: {connection.incoming.unanswered} calls are not answered, "
            f"but {calls} run and {parking.calls} are parked"
        )
    if connection.reason is not None:
        _check_ending(end)
    elif not connection.wants_read:
        _check_pause(end, now)
    else:
        end.stands_since = None
        if end.link.answered:
            _check_answered(end)
    return running, lent


def _check_bounds(end: End) -> None:
    connection, limits = end.connection, end.limits
    incoming, outgoing, outbox = connection.incoming, connection.outgoing, connection.outbox
    parking, sends = incoming.parking, incoming.sends
    frame, waiting, owed, buffered = (
        limits.max_frame,
        outgoing.waiting,
        outgoing.pending.owed,
        connection.buffered,
    )
    # One frame may reach over each bound of bytes: it was under it when it came.
    if parking.calls > limits.parked + 1 or parking.bytes > limits.parked_bytes + frame:
        what = "parked calls"
    elif sends.waiting > limits.sends + 1 or sends.waiting_bytes > limits.sends_bytes + 2 * frame:
        what = "messages in the lane"
    elif outbox.level - outbox.answers > limits.outbox_high + frame:
        what = "bytes of own requests in the outbox"
    elif waiting > 2 * limits.waiting + 1:
        what = "requests that wait for room"
    elif owed > NESTED_SHARE * limits.owed:
        what = "calls that are owed"
    elif incoming.budget.lent > incoming.budget.lent_limit:
        what = "permits lent"
    elif len(outgoing.deadlines) > 2 * (waiting + owed) + ENDED_DEADLINES:
        what = "deadlines"
    elif buffered > end.link.into.carried:
        what = "bytes held"
    elif buffered > 2 * frame + end.link.into.capacity:
        what = "bytes not decoded"
    else:
        return
    raise Violation(f"{end}: too many {what}: {_state(end)}")


def _check_ending(end: End) -> None:
    """Whoever waits for an answer learns the end at once, and after it nothing is left."""
    connection = end.connection
    outgoing = connection.outgoing
    if outgoing.unanswered or outgoing.waiting:
        raise Violation(
            f"{end}: it ends ({connection.reason}), and {outgoing.unanswered} calls still wait for answers"
        )
    if connection.phase is not Phase.CLOSED:
        return
    left = {
        "deadlines": len(outgoing.deadlines),
        "bytes to send": connection.outbox.level,
        "bytes received": connection.buffered,
        "parked requests": connection.incoming.parking.waiting,
        "calls to answer": connection.incoming.unanswered,
        "a timer": connection.next_deadline() is not None,
    }
    if any(left.values()):
        raise Violation(f"{end}: it is closed, and this is left: {left}")


def _check_pause(end: End, now: float) -> None:
    """Reading stands still for a reason that ends by itself, and never for want of a permit (docs/flow.md, F3, F4, F5).

    The driver may look a little later whether the reason has gone, but not at a later time.
    """
    connection, limits = end.connection, end.limits
    incoming = connection.incoming
    parking = incoming.parking
    is_full = (
        parking.calls + parking.held >= limits.parked
        or parking.bytes + parking.held_bytes >= limits.parked_bytes
    )
    for_calls = is_full and not connection.outgoing.pending.owed
    if for_calls or incoming.sends.is_full or connection.outbox.refusals:
        end.stands_since = None
    elif end.stands_since is None:
        end.stands_since = now
    elif end.stands_since < now:
        raise Violation(f"{end}: reading stands still, and nothing is full: {_state(end)}")


def _check_answered(end: End) -> None:
    """An answer that is here has ended its call."""
    pending = end.connection.outgoing.pending
    for cid in end.link.answered:
        if cid in pending:
            raise Violation(f"{end}: the answer to call #{cid} is here, and the call still waits for it")
    end.link.answered.clear()


def check_reason(end: End) -> None:
    """No end may be blamed on the other one, or on the network, that did nothing wrong. Raises `Violation`."""
    link, connection = end.link, end.connection
    broken = link.is_disturbed
    # Base mode can't agree on a size: both must be told the same.
    differ = link.other.limit > link.limit
    faults = {
        CloseReason.PROTOCOL_ERROR: broken or differ,
        CloseReason.TRUNCATED: broken or link.is_cut,
        CloseReason.FRAME_TIMEOUT: broken or link.is_cut or link.into.was_slow,
    }
    if connection.reason is not None and not faults.get(connection.reason, True):
        raise Violation(
            f"{end}: it was closed for a {connection.reason.value}, and nothing was wrong with what came"
        )


def _state(end: End) -> str:
    connection = end.connection
    incoming, outgoing = connection.incoming, connection.outgoing
    return (
        f"{outgoing.pending.owed} owed, {outgoing.waiting} wait for room, {len(outgoing.deadlines)} deadlines, "
        f"{connection.outbox.level} bytes unsent ({connection.outbox.answers} of answers), "
        f"{incoming.parking.calls} parked ({incoming.parking.bytes} bytes), {incoming.sends.waiting} in the lane, "
        f"{connection.buffered} bytes not decoded, {incoming.budget!r}, {connection.limits!r}"
    )
