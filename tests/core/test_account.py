"""The bytes of a server, account by account: where the borders are, and whose turn it is (docs/flow.md, F9)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from duologue.protocol.received import ByteAccount, ByteBudget

LIMIT, FRAME = 64_000, 16_000
"""Over the mark from 32,001 bytes on, and no more from 24,000 on; full from 64,000 on, and no more under 56,000; one pass."""


def accounts(count: int, limit: int = LIMIT) -> tuple[ByteBudget, list[ByteAccount], list[int]]:
    """A budget, as many accounts of it, and the list of whose drivers are told, in that order."""
    budget = ByteBudget(limit, FRAME)
    each = [budget.open() for _ in range(count)]
    told: list[int] = []
    for number, account in enumerate(each):
        account.on_change = lambda number=number: told.append(number)  # type: ignore[misc]
    return budget, each, told


def test_the_mark_to_the_byte() -> None:
    """One byte over half of the limit is too much, and an eighth of the limit less than half is little enough."""
    budget, (account,), told = accounts(1)
    for size, is_tight in ((32_000, False), (32_001, True), (32_000, True), (24_001, True), (24_000, False)):
        account.buffer(size)
        assert (size, budget.is_tight) == (size, is_tight)
    assert told == [0, 0], "at the mark, and when it is little again"


def test_the_limit_to_the_byte() -> None:
    """With the last byte it is full, and stays so until an eighth is gone: else each byte would pause everybody and let them go on."""
    budget, (account,), told = accounts(1)
    account.buffer(40_000)
    told.clear()
    for size, is_full in ((63_999, False), (64_000, True), (63_999, True), (56_000, True), (55_999, False)):
        account.buffer(size)
        assert (size, budget.is_full) == (size, is_full)
    assert told == [0, 0], "at the limit, and when there is room again"


def test_each_has_its_share() -> None:
    """A quarter is divided among those who are there. Whoever has ended has none, and may end twice."""
    budget = ByteBudget(LIMIT, FRAME)
    one = budget.open()
    assert budget.share == 16_000
    other = budget.open()
    assert budget.share == 8_000
    for _ in range(2):
        other.close()
        assert budget.share == 16_000
    assert "held by 1," in repr(budget)
    one.close()
    assert "held by 0," in repr(budget)


def test_nobody_need_want_to_know() -> None:
    """An account that no driver has taken yet is told nothing, and counts all the same."""
    budget = ByteBudget(LIMIT, FRAME)
    first, second = budget.open(), budget.open()
    first.buffer(LIMIT)
    assert second.is_tight
    first.buffer(0)
    assert not second.is_tight


def test_as_many_passes_as_whole_frames_in_a_quarter() -> None:
    """A quarter of 144,000 bytes holds two frames of 16,000 and a bit: two may read theirs to the end, and not three."""
    _, each, _ = accounts(6, limit=144_000)
    for account in each:
        account.buffer(14_000)
    assert [account.must_pause(True) for account in each] == [False, False, True, True, True, True]


def waiting_for_a_pass() -> tuple[list[ByteAccount], list[int]]:
    """The first of three has the pass, and the others stand in line for it."""
    _, each, told = accounts(3)
    for account in each:
        account.buffer(12_000)
    assert [account.must_pause(True) for account in each] == [False, True, True]
    told.clear()
    return each, told


@pytest.mark.parametrize("how", [ByteAccount.close, ByteAccount.end_pass], ids=["ends", "has read its frame"])
def test_who_has_the_pass_gives_it_on(how: Callable[[ByteAccount], None]) -> None:
    """It has read its frame, or its connection has ended: the next one is told, and reads."""
    (first, second, third), told = waiting_for_a_pass()
    how(first)
    assert told == [1]
    assert not second.must_pause(True)
    assert third.must_pause(True)


def holds_less(account: ByteAccount) -> None:
    account.buffer(1_000)
    assert not account.must_pause(True)


def is_between_frames(account: ByteAccount) -> None:
    assert account.must_pause(False)


@pytest.mark.parametrize("how", [ByteAccount.close, ByteAccount.end_pass, holds_less, is_between_frames])
def test_who_is_called_and_needs_no_pass_stands_in_nobodys_way(how: Callable[[ByteAccount], None]) -> None:
    """It is told that it is its turn, and before it takes the pass it needs none any more: then the one behind it is told."""
    (first, second, third), told = waiting_for_a_pass()
    first.end_pass()
    how(second)
    assert told == [1, 2]
    assert not third.must_pause(True)


@pytest.mark.parametrize("how", [ByteAccount.close, ByteAccount.end_pass, holds_less, is_between_frames])
def test_who_leaves_the_line_from_within_disturbs_nobody(how: Callable[[ByteAccount], None]) -> None:
    """The pass is not free, so nobody is told anything; and when it is free the next of those who are left has it."""
    (first, second, third), told = waiting_for_a_pass()
    how(second)
    assert told == []
    first.end_pass()
    assert told == [2]
    assert not third.must_pause(True)
