"""Deadlines: one heap for all, in which ended entries do not pile up."""

from __future__ import annotations

from duologue.protocol.deadlines import Deadlines


class Item:
    def __init__(self, name: str = "") -> None:
        self.name = name
        self.is_ended = False


def end(deadlines: Deadlines, item: Item) -> None:
    item.is_ended = True
    deadlines.note_ended()


def test_expired_entries_come_in_the_order_of_their_deadlines() -> None:
    """Equal deadlines come in the order in which they were set, and what is not due stays."""
    deadlines = Deadlines()
    items = {name: Item(name) for name in "abcd"}
    for name, deadline in (("a", 3.0), ("b", 1.0), ("c", 1.0), ("d", 9.0)):
        deadlines.add(deadline, items[name])
    assert deadlines.next() == 1.0
    assert deadlines.pop_expired(3.0) == [items["b"], items["c"], items["a"]]
    assert deadlines.next() == 9.0
    assert len(deadlines) == 1


def test_ended_entries_do_not_expire() -> None:
    """What has ended in time is not reported, and goes as soon as it is the first in the heap."""
    deadlines = Deadlines()
    first, second = Item(), Item()
    deadlines.add(1.0, first)
    deadlines.add(2.0, second)
    end(deadlines, first)
    assert deadlines.pop_expired(0.0) == []
    assert len(deadlines) == 1
    assert deadlines.pop_expired(5.0) == [second]
    assert deadlines.next() is None


def test_ended_entries_leave_the_heap() -> None:
    """Of 10,000 answered calls beside one that waits, no more than a handful of entries stay at any time."""
    deadlines = Deadlines()
    waiting = Item()
    deadlines.add(60.0, waiting)
    most = 0
    for number in range(10_000):
        item = Item()
        deadlines.add(60.0 + number, item)
        end(deadlines, item)
        most = max(most, len(deadlines))
    assert most <= 130
    assert deadlines.pop_expired(1e9) == [waiting]


def test_the_count_of_ended_entries_stays_true() -> None:
    """Entries that were popped after they had ended are not counted twice when the heap is cleaned the next time."""
    deadlines = Deadlines()
    early = [Item() for _ in range(60)]
    for item in early:
        deadlines.add(1.0, item)
        end(deadlines, item)
    assert deadlines.pop_expired(0.0) == []  # they are the first, so all 60 go
    late = [Item() for _ in range(200)]
    for item in late:
        deadlines.add(5.0, item)
    for item in late[:70]:
        end(deadlines, item)
    assert len(deadlines) == 200, "70 of 200 are not half, so nothing is cleaned yet"
    for item in late[70:101]:
        end(deadlines, item)
    assert len(deadlines) == 99
    assert deadlines.pop_expired(5.0) == late[101:]


def test_nothing_is_left_after_clear() -> None:
    """At the end of a connection the heap is empty, and may be used again."""
    deadlines = Deadlines()
    deadlines.add(1.0, Item())
    deadlines.clear()
    assert deadlines.next() is None
    assert deadlines.pop_expired(9.0) == []


def test_after_clear_and_after_cleaning_the_count_begins_anew() -> None:
    """The heap is cleaned each time at the same number of ended entries."""
    deadlines = Deadlines()
    first = Item()
    deadlines.add(1.0, first)
    end(deadlines, first)
    deadlines.clear()
    lengths = []
    for _ in range(130):
        item = Item()
        deadlines.add(5.0, item)
        end(deadlines, item)
        lengths.append(len(deadlines))
    assert lengths == [*range(1, 65), 0] * 2
