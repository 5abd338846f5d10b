"""Parking: the plain queue and the lane, and their common bound (docs/flow.md, F2, F3 and F6)."""

from __future__ import annotations

import pytest
from tests.core.harness import ECHO, TestRoute

from duologue.protocol.budget import SendBudget
from duologue.protocol.events import CallReceived, SendReceived
from duologue.protocol.limits import Limits
from duologue.protocol.parking import Parking

ROUTE = TestRoute("test::Echo")


def call(cid: int, size: int = 6) -> CallReceived:
    return CallReceived(ECHO, cid, bytes(size), ROUTE)


def send(size: int = 6) -> SendReceived:
    return SendReceived(ECHO, 0, bytes(size), ROUTE)


def parking(**limits: int) -> tuple[Parking, SendBudget]:
    all_limits = Limits(**limits)  # type: ignore[arg-type]
    sends = SendBudget(all_limits)
    return Parking(all_limits, sends, overhead=24), sends


def test_what_is_held_is_counted_and_weighed() -> None:
    """A call that waits for room elsewhere stands in no queue here, and shares the bound."""
    park, _ = parking(parked=2)
    first, second = call(1), call(2, size=16)
    park.hold(first)
    park.hold(second)
    assert (park.held, park.held_bytes, park.is_full, park.has_calls) == (2, 70, True, False)
    assert first.is_held
    park.let_go(first)
    assert (park.held, park.held_bytes, park.is_full, first.is_held) == (1, 40, False, False)


@pytest.mark.parametrize("limits", [{"parked": 2}, {"parked_bytes": 60}], ids=str)
def test_what_is_held_and_what_is_parked_fill_one_bound(limits: dict[str, int]) -> None:
    """By number and by bytes, so that relayed calls are no way around it; one that leaves makes room, of either kind."""
    park, _ = parking(**limits)
    held, parked = call(1), call(2)
    park.hold(held)
    assert not park.is_full
    park.park(parked)
    assert park.is_full
    park.let_go(held)
    assert not park.is_full
    park.hold(held)
    assert park.is_full
    park.unpark()
    assert not park.is_full


def test_calls_leave_in_the_order_in_which_they_came() -> None:
    """The first that was parked is the first to start."""
    park, _ = parking()
    assert park.first is None
    assert not park.has_calls
    first, second = call(1), call(2)
    park.park(first)
    park.park(second)
    assert (park.calls, park.bytes, park.has_calls, park.waiting) == (2, 60, True, 2)
    assert park.first is first
    park.unpark()
    assert park.first is second
    park.unpark()
    assert (park.calls, park.bytes, park.has_calls, park.waiting) == (0, 0, False, 0)


@pytest.mark.parametrize("limits", [{"parked": 2}, {"parked_bytes": 60}], ids=str)
def test_the_bound_is_by_number_and_by_bytes(limits: dict[str, int]) -> None:
    """Plain queue and lane count together; headers count as well."""
    park, _ = parking(**limits)
    park.park(call(1))
    assert not park.is_full
    park.line_up(call(2))
    assert park.is_full
    park.next_turn(gated=False)
    assert not park.is_full


def test_one_has_the_turn_at_a_time() -> None:
    """The next of the lane comes out when the one before has ended."""
    park, _ = parking()
    first, second = call(1), call(2)
    park.line_up(first)
    park.line_up(second)
    assert park.next_turn(gated=False) is first
    assert park.turn is first
    assert park.next_turn(gated=False) is None
    park.turn = None
    assert park.next_turn(gated=False) is second
    park.turn = None
    assert park.next_turn(gated=False) is None


def test_the_gate_holds_back_calls_and_not_messages() -> None:
    """An ordered call owes an answer, so it waits for the gate, and what is behind it waits with it."""
    park, _ = parking()
    message, request = send(), call(1)
    park.line_up(message)
    park.line_up(request)
    assert park.next_turn(gated=True) is message
    park.turn = None
    assert park.next_turn(gated=True) is None
    assert park.next_turn(gated=False) is request


def test_messages_in_the_lane_are_counted_by_the_send_budget() -> None:
    """One-way messages can't be refused, so they have a bound that stops reading instead."""
    park, sends = parking(parked=1, sends=1)
    park.line_up(send())
    assert (park.calls, park.is_full, sends.waiting, sends.waiting_bytes, sends.is_full) == (
        0,
        False,
        1,
        30,
        True,
    )
    park.next_turn(gated=False)
    assert (sends.waiting, sends.waiting_bytes, sends.is_full) == (0, 0, False)


def test_all_come_out_at_the_end() -> None:
    """First the plain queue, then the lane; the counts are back at nothing."""
    park, sends = parking(parked=1)
    requests = [call(1), call(2), send()]
    park.park(requests[0])  # type: ignore[arg-type]
    park.line_up(requests[1])
    park.line_up(requests[2])
    assert park.clear() == requests
    assert (park.calls, park.bytes, park.is_full, park.waiting, sends.waiting) == (0, 0, False, 0, 0)
