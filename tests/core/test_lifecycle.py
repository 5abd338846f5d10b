"""The life cycle: a table, the first reason, and the ends of the phases."""

from __future__ import annotations

import itertools

import pytest

from duologue.protocol.errors import CloseReason
from duologue.protocol.lifecycle import TRANSITIONS, Lifecycle, Phase, Trigger


@pytest.mark.parametrize(("phase", "trigger"), list(itertools.product(Phase, Trigger)))
def test_the_table_decides(phase: Phase, trigger: Trigger) -> None:
    """What is in the table happens, and what is not is a mistake in the connection that can't go unnoticed."""
    life = Lifecycle()
    life.phase = phase
    if (phase, trigger) in TRANSITIONS:
        assert life.move(trigger) is life.phase is TRANSITIONS[phase, trigger]
    else:
        with pytest.raises(KeyError):
            life.move(trigger)
        assert life.phase is phase


def test_there_is_no_way_back() -> None:
    """Every transition leads on, every phase but the last has a way out, and the last has none."""
    order = list(Phase)
    assert all(order.index(start) < order.index(end) for (start, _), end in TRANSITIONS.items())
    assert {start for start, _ in TRANSITIONS} == set(Phase) - {Phase.CLOSED}
    assert {trigger for _, trigger in TRANSITIONS} == set(Trigger)


def test_the_first_reason_stays() -> None:
    """Whatever comes later changes nothing about why it ended."""
    life = Lifecycle()
    life.fix_reason(CloseReason.CLOSED_LOCALLY, "bye")
    life.fix_reason(CloseReason.TRANSPORT_FAILED, "reset")
    assert (life.reason, life.detail) == (CloseReason.CLOSED_LOCALLY, "bye")


@pytest.mark.parametrize(
    ("phase", "calls_end", "discard_ends", "deadline"),
    [
        (Phase.OPEN, None, None, None),
        (Phase.DRAINING, 1.0, None, 3.0),
        (Phase.GRACE, None, None, 5.0),
        (Phase.GRACE, 4.0, None, 4.0),
        (Phase.CLOSING, 4.0, None, 10.0),
        (Phase.CLOSING, None, 7.0, 7.0),
        (Phase.CLOSING, None, 11.0, 10.0),
        (Phase.CLOSED, None, 7.0, None),
    ],
)
def test_each_phase_has_its_ends(
    phase: Phase, calls_end: float | None, discard_ends: float | None, deadline: float | None
) -> None:
    """Draining has an end, grace ends for the handlers, then discarding ends or closing times out, whichever comes first."""
    life = Lifecycle()
    life.phase = phase
    life.drain_ends, life.grace_ends, life.calls_end = 3.0, 5.0, calls_end
    life.close_ends, life.discard_ends = 10.0, discard_ends
    assert life.next_deadline() == deadline
