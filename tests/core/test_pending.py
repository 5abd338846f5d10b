"""Pending calls: ids, correlation, what is owed, and what is late or stray (docs/protocol.md, sections 1 and 4)."""

from __future__ import annotations

import pytest

from duologue.protocol.errors import Executed
from duologue.protocol.pending import OutgoingCall, PendingCalls, StrayCounter

TOP = 2**64 - 1


def new_call() -> OutgoingCall:
    return OutgoingCall(1, b"", None)


def test_ids_begin_with_1_and_rise() -> None:
    """The first call is 1, the next is one more."""
    pending = PendingCalls(60.0)
    assert [pending.add(new_call()) for _ in range(3)] == [1, 2, 3]


def test_whoever_looks_finds_the_calls_that_wait() -> None:
    """The id of a call is there from when it is given until the call is answered, or given up."""
    pending = PendingCalls(60.0)
    first, second = new_call(), new_call()
    pending.add(first)
    pending.add(second)
    assert 1 in pending
    assert 2 in pending
    pending.pop(1)
    pending.give_up(second, Executed.UNKNOWN, 0.0)
    assert 1 not in pending
    assert 2 not in pending


def test_ids_wrap_over_0_and_over_ids_that_are_not_free() -> None:
    """After 2^64-1 comes 1, unless that one still waits, or was given up and may still be answered."""
    pending = PendingCalls(60.0, first_id=1)
    first, second = new_call(), new_call()
    pending.add(first)
    pending.add(second)
    pending.give_up(second, Executed.UNKNOWN, 0.0)
    pending._next_id = TOP - 1  # nobody can wait for 2^64 calls
    assert [pending.add(new_call()) for _ in range(3)] == [TOP - 1, TOP, 3]
    assert pending.pop(1) is first


@pytest.mark.parametrize(("first_id", "given"), [(0, 1), (2**64, 1), (2**64 + 5, 5), (TOP, TOP)])
def test_the_first_id_is_a_64_bit_number_that_is_not_0(first_id: int, given: int) -> None:
    """Whatever a counter is set to, the ids are legal."""
    assert PendingCalls(60.0, first_id).add(new_call()) == given


def test_an_answer_takes_its_call_out() -> None:
    """A call is found by its id, once."""
    pending = PendingCalls(60.0)
    call = new_call()
    call_id = pending.add(call)
    assert call.id == call_id
    assert (len(pending), pending.owed) == (1, 1)
    assert pending.pop(call_id) is call
    assert pending.pop(call_id) is None
    assert (len(pending), pending.owed) == (0, 0)


def test_a_call_that_was_given_up_stays_owed_until_it_is_answered() -> None:
    """The remote may be at work on it: it counts until the late answer comes."""
    pending = PendingCalls(60.0)
    call = new_call()
    pending.add(call)
    pending.give_up(call, Executed.UNKNOWN, 10.0)
    assert (len(pending), pending.owed) == (0, 1)
    assert pending.next_forgetting() == 70.0
    assert pending.settle(call.id)
    assert pending.owed == 0
    assert pending.next_forgetting() is None


def test_a_call_that_was_given_up_is_forgotten_in_the_end() -> None:
    """A remote that never answers does not hold room for ever; what was given up later goes later."""
    pending = PendingCalls(60.0)
    calls = [new_call() for _ in range(3)]
    for number, call in enumerate(calls):
        pending.add(call)
        pending.give_up(call, Executed.UNKNOWN, float(number))
    pending.forget(61.0)
    assert pending.owed == 1
    assert pending.next_forgetting() == 62.0


def test_a_call_of_which_nothing_left_owes_nothing() -> None:
    """Given up before a byte of it was handed out, it is simply gone."""
    pending = PendingCalls(60.0)
    call = new_call()
    pending.add(call)
    pending.give_up(call, Executed.NO, 0.0)
    assert pending.owed == 0


@pytest.mark.parametrize(
    ("next_id", "answered", "is_late"),
    [
        (1, 0, False),
        (1, 1, False),
        (5, 4, True),
        (5, 1, True),
        (5, 5, False),
        (5, 6, False),
        (5, 0, False),
        (2**63 + 5, 6, True),
        (2**63 + 5, 5, False),
        (3, TOP, True),
        (3, TOP - 5, True),
        (TOP, 1, False),
    ],
)
def test_late_or_stray(next_id: int, answered: int, is_late: bool) -> None:
    """An id of the last 2^63 that were issued is late, every other one is stray, 0 always, all in a circle of 2^64."""
    assert PendingCalls(60.0, first_id=next_id).settle(answered) is is_late


def test_all_come_out_at_the_end_in_the_order_of_their_ids() -> None:
    """At the end of a connection nothing is owed any more."""
    pending = PendingCalls(60.0)
    calls = [new_call() for _ in range(4)]
    for call in calls:
        pending.add(call)
    pending.give_up(calls[1], Executed.UNKNOWN, 0.0)
    assert pending.clear() == [calls[0], calls[2], calls[3]]
    assert (len(pending), pending.owed) == (0, 0)


def test_strays_count_within_a_window() -> None:
    """So many strays within 10 s are harmless, one more is too many; after 10 s the count begins anew."""
    strays = StrayCounter(3)
    assert [strays.count(5.0) for _ in range(4)] == [False, False, False, True]
    assert [strays.count(15.0) for _ in range(4)] == [False, False, False, True]
    assert strays.total == 8
