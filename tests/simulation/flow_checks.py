"""What must hold after every step of a flow simulation, and what must be left at its end: nothing."""

from __future__ import annotations

from tests.simulation.flow_ends import End
from tests.simulation.flow_tasks import Task

from duologue.protocol.budget import CallBudget
from duologue.protocol.events import RelayedCall, RelayedSend
from duologue.protocol.frames import HEADER_SIZE
from duologue.protocol.outbox import HAND_OUT
from duologue.protocol.room import NESTED_SHARE
from duologue.protocol.unanswered import REFUSAL_SIZE


def check_end(end: End, budget: tuple[CallBudget, list[End]], largest: int) -> None:
    """The invariants. `budget` is that of the end, with all who share it; `largest` is the largest frame of the run."""
    check_bounds(end, largest)
    if not end.connection.has_events:  # else there is more delivered than can be known here
        check_slots(end)
        check_permits(*budget)


def check_permits(budget: CallBudget, ends: list[End]) -> None:
    """Permits in use are the calls delivered, not ended and not lent."""
    held = lent = 0
    for end in ends:
        if end.connection.has_events:
            return
        held += end.held.permits
        lent += end.held.lent
    assert budget.in_use == held, f"{ends}: {budget.in_use} permits in use, {held} held"
    assert budget.lent == lent, f"{ends}: {budget.lent} permits lent, {lent} waiting"
    assert held + lent <= ends[0].limits.calls + ends[0].limits.lent


def check_slots(end: End) -> None:
    """The same for one-way messages and their slots; and that no request is forgotten."""
    incoming, held, limits = end.connection.incoming, end.held, end.limits
    sends = incoming.sends
    passed_on = [request for request in incoming._running if request not in end.running]
    relayed_calls = sum(1 for request in passed_on if request.cid)
    relayed = [len(request.payload) + HEADER_SIZE for request in passed_on if not request.cid]
    assert all(
        request in end.picking or isinstance(request, RelayedCall | RelayedSend) for request in passed_on
    )
    assert sends.running == held.slots + len(relayed)
    assert (sends.bytes, sends.lent) == (held.slots_bytes + sum(relayed), held.slots_lent)
    assert len(relayed) <= limits.sends
    assert (
        held.slots + held.slots_lent <= limits.sends + limits.lent + 1
    )  # whoever has the turn starts in any case
    assert incoming.running == len(end.running) + len(passed_on)
    if end.connection.reason is None:
        assert incoming.unanswered == held.calls + incoming.parking.calls + relayed_calls
    # A call that is to be relayed counts among the parked ones until it has an id at the other connection.
    waits = [
        request
        for request in passed_on
        if request.cid and not (isinstance(request, RelayedCall) and request.id)
    ]
    assert incoming.parking.held == len(waits)


def check_bounds(end: End, largest: int) -> None:
    """Nothing grows over its limit, but for the one frame that may reach over each."""
    limits, connection = end.limits, end.connection
    incoming, outgoing, outbox = connection.incoming, connection.outgoing, connection.outbox
    parking, sends = incoming.parking, incoming.sends
    assert connection.reason is None or end.counts["cut"], connection.reason
    assert 0 <= parking.calls + parking.held <= limits.parked + (parking.held > 0)
    assert 0 <= parking.bytes <= limits.parked_bytes + largest
    assert 0 <= sends.waiting <= limits.sends + 1  # a wait that ends may leave the lane over its bound by one
    assert 0 <= sends.waiting_bytes <= limits.sends_bytes + 2 * largest
    assert connection.buffered <= largest + end.capacity
    assert 0 <= outbox.answers <= outbox.level
    assert outbox.level - outbox.answers <= limits.outbox_high + largest
    handlers = limits.calls + limits.lent + end.may_relay
    refusals = (limits.owed + 1) * REFUSAL_SIZE + HAND_OUT
    assert outbox.answers <= limits.outbox_high + (handlers + 1) * largest + refusals
    assert outgoing.waiting <= limits.waiting
    assert outgoing.pending.owed <= NESTED_SHARE * limits.owed


def check_finished(end: End) -> None:
    """Nothing is pending, held, or queued."""
    connection = end.connection
    incoming, outgoing, outbox = connection.incoming, connection.outgoing, connection.outbox
    budget, sends, parking = incoming.budget, incoming.sends, incoming.parking
    assert (len(outgoing.pending), outgoing.pending.owed, outgoing.waiting) == (0, 0, 0)
    assert len(outgoing.deadlines) <= 130, f"{len(outgoing.deadlines)} deadlines left"
    assert (budget.in_use, budget.lent, budget.waiting) == (0, 0, 0), budget
    assert (sends.running, sends.lent, sends.bytes, sends.waiting, sends.waiting_bytes) == (0, 0, 0, 0, 0)
    assert (parking.calls, parking.bytes, parking.turn, parking.waiting) == (0, 0, None, 0)
    assert (incoming.running, incoming.unanswered, connection.buffered) == (0, 0, 0)
    assert (outbox.level, outbox.answers, outbox.refusals, outbox.gated_since) == (0, 0, 0, None)
    assert connection.wants_read
    assert not end.pipe
    assert not end.unsent
    assert parking.held == 0
    assert not end.picking


def check_sends(ends: list[End], *, has_relays: bool) -> None:
    """Each send was delivered, or its failure was told. With relays it need not have been at the other end of the link."""
    pairs = [(ends, ends)] if has_relays else [([end], [end.other]) for end in ends]
    for senders, receivers in pairs:
        sent = sum(end.counts["sends"] for end in senders)
        done = ("sends delivered", "sends failed unstarted")
        assert sent == sum(end.counts[one] for end in receivers for one in done), "a send is lost"


def describe_deadlock(ends: list[End], tasks: list[Task]) -> str:
    """Who waits for what."""
    lines = ["nothing can move"]
    lines += [
        f"  {task.name} waits for {task.waiter.what if task.waiter is not None else 'nothing'}"
        for task in tasks
    ]
    return "\n".join(lines + [_describe(end) for end in ends])


def _describe(end: End) -> str:
    connection = end.connection
    incoming, outgoing, outbox = connection.incoming, connection.outgoing, connection.outbox
    parking, sends, limits = incoming.parking, incoming.sends, end.limits
    facts = [
        f"owed {outgoing.pending.owed}/{limits.owed}, {outgoing.waiting} wait for room",
        f"outbox {outbox.level} of {limits.outbox_low} to {limits.outbox_high}, answers {outbox.answers}, refusals {outbox.refusals}",
        f"permits {incoming.budget!r}, at most {limits.lent} lent",
        f"parked {parking.calls}/{limits.parked}, {parking.bytes}/{limits.parked_bytes} bytes, {parking.held} to be relayed",
        f"sends {sends.running}/{limits.sends}, {sends.bytes}/{limits.sends_bytes} bytes, lent {sends.lent}, in the lane {sends.waiting}",
        f"buffered {connection.buffered}, pipe {len(end.pipe)}, unsent {len(end.unsent)}",
    ]
    flags = [
        "" if connection.wants_read else "READING PAUSED",
        "" if outbox.gated_since is None else "GATED",
        ""
        if parking.turn is None
        else f"turn: {parking.turn!r}, waits {parking.turn.waits}, delivered {parking.turn.is_delivered}",
        f"closed: {connection.reason}" if connection.reason is not None else "",
    ]
    return "\n    ".join([f"  end {end} to node {end.other.node}: {', '.join(filter(None, flags))}", *facts])
