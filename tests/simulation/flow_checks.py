"""What must hold after every step of a flow simulation, and what must be left at its end: nothing."""

from __future__ import annotations

from duologue.protocol.budget import CallBudget
from duologue.protocol.events import CallReceived
from duologue.protocol.incoming import REFUSAL_SIZE
from duologue.protocol.outbox import HAND_OUT
from tests.simulation.flow_ends import End, Task


def check_end(end: End, budgets: list[tuple[CallBudget, list[End]]], largest: int) -> None:
    """The invariants. `largest` is the largest frame of the run."""
    check_permits(end, budgets)
    check_bounds(end, largest)


def check_permits(end: End, budgets: list[tuple[CallBudget, list[End]]]) -> None:
    """Permits in use are the calls delivered, not ended and not lent; the same for the slots of sends."""
    for budget, ends in budgets:
        if end in ends:
            held = lent = 0
            for one in ends:
                for request, running in one.running.items():
                    if request.cid and running.takes_permit:
                        if running.waits:
                            lent += 1
                        else:
                            held += 1
            assert budget.in_use == held, f"{end}: {budget.in_use} permits in use, {held} held"
            assert budget.lent == lent, f"{end}: {budget.lent} permits lent, {lent} waiting"
            assert held + lent <= end.limits.calls + end.limits.lent
    sends = end.connection.incoming.sends
    held = lent = size = 0
    for request, running in end.running.items():
        if not request.cid:
            if running.waits:
                lent += 1
            else:
                held += 1
                size += len(request.payload) + 24
    assert (sends.running, sends.lent, sends.bytes) == (held, lent, size)
    assert held + lent <= end.limits.sends + end.limits.lent


def check_bounds(end: End, largest: int) -> None:
    """Nothing grows over its limit, but for the one frame that may reach over each."""
    limits, connection = end.limits, end.connection
    incoming, outgoing, outbox = connection.incoming, connection.outgoing, connection.outbox
    parking, sends = incoming.parking, incoming.sends
    assert connection.reason is None or end.counts["cut"], connection.reason
    assert 0 <= parking.calls <= limits.parked
    assert 0 <= parking.bytes <= limits.parked_bytes + largest
    assert 0 <= sends.waiting <= limits.sends
    assert 0 <= sends.waiting_bytes <= limits.sends_bytes + largest
    assert connection.buffered <= largest + end.capacity
    running_calls = sum(isinstance(request, CallReceived) for request in end.running)
    assert incoming.unanswered == running_calls + parking.calls
    assert incoming.running == len(end.running)
    assert 0 <= outbox.answers <= outbox.level
    assert outbox.level - outbox.answers <= limits.outbox_high + largest
    handlers = limits.calls + limits.lent
    refusals = (limits.owed + 1) * REFUSAL_SIZE + HAND_OUT
    assert outbox.answers <= limits.outbox_high + (handlers + 1) * largest + refusals
    assert outgoing.waiting <= limits.waiting


def check_finished(end: End) -> None:
    """Nothing is pending, held, or queued."""
    connection = end.connection
    incoming, outgoing, outbox = connection.incoming, connection.outgoing, connection.outbox
    budget, sends, parking = incoming.budget, incoming.sends, incoming.parking
    assert (len(outgoing.pending), outgoing.pending.owed, outgoing.waiting) == (0, 0, 0)
    assert outgoing.deadlines <= 130, f"{outgoing.deadlines} deadlines left"
    assert (budget.in_use, budget.lent, budget.waiting) == (0, 0, 0), budget
    assert (sends.running, sends.lent, sends.bytes, sends.waiting, sends.waiting_bytes) == (0, 0, 0, 0, 0)
    assert (parking.calls, parking.bytes, parking.turn, parking.is_waiting) == (0, 0, None, False)
    assert (incoming.running, incoming.unanswered, connection.buffered) == (0, 0, 0)
    assert (outbox.level, outbox.answers, outbox.refusals, outbox.gated_since) == (0, 0, 0, None)
    assert connection.wants_read
    assert not end.pipe
    assert not end.unsent
    counts = end.other.counts
    assert counts["sends delivered"] + counts["sends failed unstarted"] == end.counts["sends"], "a send is lost"


def describe_deadlock(ends: list[End], tasks: list[Task]) -> str:
    """Who waits for what."""
    lines = ["nothing can move"]
    lines += [f"  {task.name} waits for {task.waiter.what if task.waiter is not None else 'nothing'}" for task in tasks]
    return "\n".join(lines + [_describe(end) for end in ends])


def _describe(end: End) -> str:
    connection = end.connection
    incoming, outgoing, outbox = connection.incoming, connection.outgoing, connection.outbox
    parking, sends, limits = incoming.parking, incoming.sends, end.limits
    facts = [
        f"owed {outgoing.pending.owed}/{limits.owed}, {outgoing.waiting} wait for room",
        f"outbox {outbox.level} of {limits.outbox_low} to {limits.outbox_high}, answers {outbox.answers}, refusals {outbox.refusals}",
        f"permits {incoming.budget!r}, at most {limits.lent} lent",
        f"parked {parking.calls}/{limits.parked}, {parking.bytes}/{limits.parked_bytes} bytes",
        f"sends {sends.running}/{limits.sends}, {sends.bytes}/{limits.sends_bytes} bytes, lent {sends.lent}, in the lane {sends.waiting}",
        f"buffered {connection.buffered}, pipe {len(end.pipe)}, unsent {len(end.unsent)}",
    ]
    flags = [
        "" if connection.wants_read else "READING PAUSED",
        "" if outbox.gated_since is None else "GATED",
        "" if parking.turn is None else f"turn: {parking.turn!r}, waits {parking.turn.waits}, delivered {parking.turn.is_delivered}",
        "closed: {connection.reason}" if connection.reason is not None else "",
    ]
    return "\n    ".join([f"  end {end} to node {end.other.node}: {', '.join(filter(None, flags))}", *facts])
