"""Permits and slots: who may run, who waits in the line, what is lent (docs/flow.md, F1 and F5)."""

from __future__ import annotations

import pytest

from duologue.protocol.budget import CallBudget, SendBudget
from duologue.protocol.limits import Limits


class Waiter:
    def __init__(self) -> None:
        self.woken = 0

    def permit_available(self) -> None:
        self.woken += 1


def full(limit: int = 1) -> CallBudget:
    budget = CallBudget(limit)
    other = Waiter()
    for _ in range(limit):
        assert budget.try_acquire(other)
    return budget


def test_a_budget_without_permits_is_refused() -> None:
    """Nothing could ever run with it."""
    with pytest.raises(ValueError, match="at least 1"):
        CallBudget(0)


def test_a_budget_that_nobody_configured() -> None:
    """It has the limits of the design."""
    budget = CallBudget()
    assert budget.limit == Limits().calls
    waiter = Waiter()
    budget.try_acquire(waiter)
    assert budget.try_lend()


def test_permits_run_out_and_come_back() -> None:
    """As many as the limit, and then one for each that is given back."""
    budget = full(2)
    waiter = Waiter()
    assert not budget.try_acquire(waiter)
    assert (budget.limit, budget.in_use, budget.waiting) == (2, 2, 1)
    budget.release()
    assert waiter.woken == 1
    assert budget.try_acquire(waiter)
    assert (budget.in_use, budget.waiting) == (2, 0)
    assert repr(budget) == "CallBudget(2/2 in use, 0 lent, 0 waiting)"


def test_nobody_overtakes_the_line() -> None:
    """A permit that is free belongs to the first in the line: who comes later stands behind."""
    budget = full()
    first, second, late = Waiter(), Waiter(), Waiter()
    assert not budget.try_acquire(first)
    assert not budget.try_acquire(second)
    assert not budget.try_acquire(first), "asking twice does not give two places"
    budget.release()
    assert (first.woken, second.woken) == (1, 0)
    assert not budget.try_acquire(late)
    assert not budget.try_acquire(second)
    assert budget.try_acquire(first)
    budget.release()
    assert budget.try_acquire(second)
    budget.release()
    assert budget.try_acquire(late)


def test_who_gets_a_permit_wakes_the_next_if_there_is_another() -> None:
    """Two permits came back, and only the first in the line was woken: it passes the word on."""
    budget = full(2)
    first, second = Waiter(), Waiter()
    budget.try_acquire(first)
    budget.try_acquire(second)
    budget.release()
    budget.release()
    assert (first.woken, second.woken) == (2, 0)
    assert budget.try_acquire(first)
    assert second.woken == 1


def test_who_leaves_the_line_lets_the_next_go_on() -> None:
    """A connection that closes first in the line does not take the free permit into its grave."""
    budget = full()
    first, second = Waiter(), Waiter()
    budget.try_acquire(first)
    budget.try_acquire(second)
    budget.release()
    budget.withdraw(first)
    assert second.woken == 1
    budget.withdraw(first)
    assert second.woken == 1, "who was not in the line changes nothing"


def test_lending() -> None:
    """A handler that waits gives its permit to another, takes it back without waiting, and the limit is overshot."""
    budget = full()
    waiter = Waiter()
    budget.try_acquire(waiter)
    assert budget.try_lend()
    assert (budget.in_use, budget.lent, waiter.woken) == (0, 1, 1)
    assert budget.try_acquire(waiter)
    budget.unlend()
    assert (budget.in_use, budget.lent) == (2, 0)
    assert not budget.try_acquire(waiter)
    budget.release()
    assert waiter.woken == 1, "still at the limit: nothing new starts"
    budget.release()
    assert waiter.woken == 2


def test_lending_has_an_end() -> None:
    """Over the limit of lent permits there are no more, and nothing has changed."""
    budget = CallBudget(2, lent_limit=1)
    waiter = Waiter()
    budget.try_acquire(waiter)
    budget.try_acquire(waiter)
    assert budget.try_lend()
    assert not budget.try_lend()
    assert (budget.in_use, budget.lent) == (1, 1)
    budget.end_lent()
    assert (budget.in_use, budget.lent) == (1, 0)


def slots(**limits: int) -> SendBudget:
    return SendBudget(Limits(**limits))  # type: ignore[arg-type]


@pytest.mark.parametrize(("limits", "size"), [({"sends": 2}, 10), ({"sends_bytes": 20}, 10)])
def test_slots_are_counted_and_weighed(limits: dict[str, int], size: int) -> None:
    """Full by number or by bytes, and free again when one ends."""
    budget = slots(**limits)
    budget.start(size)
    assert not budget.is_full
    budget.start(size)
    assert budget.is_full
    budget.end(size)
    assert not budget.is_full
    budget.end(size)
    assert (budget.running, budget.bytes) == (0, 0)


def test_slots_that_are_free_do_not_open_a_full_lane() -> None:
    """Both bounds hold reading, each for itself."""
    budget = slots(sends=1)
    budget.start(10)
    budget.wait(10)
    budget.end(10)
    assert (budget.slots_are_full, budget.is_full) == (False, True)
    budget.end_wait(10)
    assert not budget.is_full


def test_lent_slots_count_for_nothing() -> None:
    """Who waits frees its slot and its bytes; the way back may overshoot."""
    budget = slots(sends=1, lent=1)
    budget.start(10)
    assert budget.try_lend(10)
    assert (budget.running, budget.bytes, budget.lent, budget.is_full) == (0, 0, 1, False)
    budget.start(10)
    assert not budget.try_lend(10)
    budget.unlend(10)
    assert (budget.running, budget.lent, budget.is_full) == (2, 0, True)
    budget.end(10)
    assert budget.is_full
    assert budget.try_lend(10)
    budget.end_lent()
    assert (budget.running, budget.bytes, budget.lent) == (0, 0, 0)


def test_every_lent_slot_counts_towards_the_bound_on_lending() -> None:
    """As many may wait for a remote as the limit says, and not one more."""
    budget = slots(lent=2)
    for _ in range(3):
        budget.start(10)
    assert [budget.try_lend(10) for _ in range(3)] == [True, True, False]
    assert (budget.running, budget.lent) == (1, 2)


@pytest.mark.parametrize(("limits", "size"), [({"sends": 2}, 10), ({"sends_bytes": 20}, 10)])
def test_what_waits_for_its_turn_has_the_same_bound(limits: dict[str, int], size: int) -> None:
    """Ordered messages in the lane fill the budget too, by number or by bytes, until their turn comes or they are dropped."""
    budget = slots(**limits)
    budget.wait(size)
    budget.wait(size)
    assert budget.is_full
    budget.end_wait(size)
    assert not budget.is_full
    budget.wait(size)
    budget.clear_waiting()
    assert (budget.waiting, budget.waiting_bytes, budget.is_full) == (0, 0, False)


def test_a_budget_tells_its_limits() -> None:
    """Whoever has to be ready for all that may run asks for them."""
    budget = CallBudget(5, lent_limit=7)
    assert (budget.limit, budget.lent_limit) == (5, 7)
