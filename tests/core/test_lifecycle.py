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
    ("phase", "discard_ends", "deadline"),
    [
        (Phase.OPEN, None, None),
        (Phase.GRACE, None, 5.0),
        (Phase.CLOSING, None, 10.0),
        (Phase.CLOSING, 7.0, 7.0),
        (Phase.CLOSING, 11.0, 10.0),
        (Phase.CLOSED, 7.0, None),
    ],
)
def test_each_phase_has_its_ends(phase: Phase, discard_ends: float | None, deadline: float | None) -> None:
    """Grace ends for the handlers, then discarding ends or closing times out, whichever comes first."""
    life = Lifecycle()
    life.phase = phase
    life.grace_ends, life.close_ends, life.discard_ends = 5.0, 10.0, discard_ends
    assert life.next_deadline() == deadline
