"""Feeds: what is published to a subscriber that does not take it at once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.harness import ECHO, START, Solo

from duologue.protocol.errors import CloseReason, ConnectionClosed, FrameTooLarge
from duologue.protocol.feed import Feed, FeedPolicy
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import KIB, Limits

NARROW = Limits(outbox_high=100, outbox_low=50, max_frame=1024)


def publish(solo: Solo, feed: Feed, *payloads: bytes) -> None:
    for payload in payloads:
        solo.connection.publish(feed, ECHO, payload, solo.now)


def blocked() -> Solo:
    """A connection that has more to send than its mark, so that a feed waits."""
    solo = Solo(NARROW)
    solo.send(bytes(100))
    return solo


def payloads(solo: Solo) -> list[bytes]:
    return [payload for _, _, payload in solo.sent()]


def test_with_room_it_leaves_at_once() -> None:
    """As a one-way message like any other."""
    solo = Solo()
    feed = Feed()
    publish(solo, feed, b"one", b"two")
    assert solo.sent() == [(ECHO, 0, b"one"), (ECHO, 0, b"two")]
    assert (feed.sent, feed.waiting, feed.dropped) == (2, 0, 0)


def test_without_room_it_waits_and_leaves_in_order() -> None:
    """The outbox draws from the feed when it is down to its low-water mark."""
    solo = blocked()
    feed = Feed()
    publish(solo, feed, b"one", b"two", b"three")
    assert (feed.sent, feed.waiting, feed.waiting_bytes) == (0, 3, 11)
    assert payloads(solo) == [bytes(100), b"one", b"two", b"three"]
    assert (feed.sent, feed.waiting, feed.waiting_bytes) == (3, 0, 0)


def test_it_takes_turns_with_own_requests_and_other_feeds() -> None:
    """Who came first goes first, whatever it is."""
    solo = blocked()
    one, other = Feed(), Feed()
    publish(solo, one, b"1")
    solo.send(b"2")
    publish(solo, other, b"3")
    publish(solo, one, b"4")
    solo.call(b"5")
    publish(solo, other, b"6")
    assert payloads(solo)[1:] == [b"1", b"2", b"3", b"4", b"5", b"6"]


def test_calls_that_wait_for_answers_let_it_pass() -> None:
    """What is published does not wait for what is owed."""
    solo = Solo(Limits(owed=1))
    solo.call(b"first")
    solo.call(b"waits for the first")
    feed = Feed()
    publish(solo, feed, b"news")
    assert payloads(solo) == [b"first", b"news"]


@pytest.mark.parametrize(
    ("policy", "left", "dropped"),
    [("drop_oldest", [b"three", b"four"], 2), ("drop_newest", [b"one", b"two"], 2)],
)
@pytest.mark.fault(43)
def test_a_full_feed_lets_go_by_its_policy(policy: FeedPolicy, left: list[bytes], dropped: int) -> None:
    """And counts."""
    solo = blocked()
    feed = Feed(2, 1000, policy)
    publish(solo, feed, b"one", b"two", b"three", b"four")
    assert (feed.waiting, feed.dropped) == (2, dropped)
    assert payloads(solo)[1:] == left
    assert solo.connection.phase is Phase.OPEN


@pytest.mark.fault(43)
def test_a_full_feed_may_close_its_connection() -> None:
    """With a reason that says why; who publishes is told nothing."""
    solo = blocked()
    feed = Feed(2, 1000, "close")
    publish(solo, feed, b"one", b"two")
    assert solo.connection.phase is Phase.OPEN
    publish(solo, feed, b"three")
    assert solo.connection.reason is CloseReason.CLOSED_LOCALLY
    assert (feed.waiting, feed.dropped) == (0, 3)
    with pytest.raises(ConnectionClosed, match="too slow"):
        publish(solo, feed, b"four")


@pytest.mark.fault(43)
@pytest.mark.parametrize(("size", "room"), [(10, 1000), (10 * KIB, 102)])
def test_a_feed_is_bounded_if_nothing_is_said(size: int, room: int) -> None:
    """At most 1,000 messages wait, and at most 1 MiB of them."""
    solo, feed = Solo(Limits(outbox_high=100, outbox_low=50)), Feed()
    solo.send(bytes(100))
    publish(solo, feed, *[bytes(size)] * 1200)
    assert (feed.waiting, feed.dropped) == (room, 1200 - room)


@pytest.mark.fault(43)
def test_bytes_are_bounded_too() -> None:
    """As many go as are needed; one that is alone may be larger than the bound."""
    solo = blocked()
    feed = Feed(100, 10, "drop_oldest")
    publish(solo, feed, b"1234", b"56", b"789")
    assert (feed.waiting, feed.waiting_bytes, feed.dropped) == (3, 9, 0)
    publish(solo, feed, b"abcde")
    assert (feed.waiting, feed.waiting_bytes, feed.dropped) == (3, 10, 1)
    publish(solo, feed, bytes(50))
    assert (feed.waiting, feed.waiting_bytes, feed.dropped) == (1, 50, 4)


def test_the_end_of_a_subscription_takes_back_what_waits() -> None:
    """And a feed in which nothing ever waited has nothing to take back."""
    solo = blocked()
    feed = Feed()
    publish(solo, feed, b"one", b"two")
    solo.connection.end_feed(feed)
    assert (feed.waiting, feed.waiting_bytes, feed.dropped) == (0, 0, 2)
    assert payloads(solo) == [bytes(100)]
    solo.connection.end_feed(Feed())
    Solo().connection.end_feed(Feed())


def test_the_end_of_the_connection_empties_it() -> None:
    """Nothing is left, and nothing more can be published."""
    solo = blocked()
    feed = Feed()
    publish(solo, feed, b"one")
    solo.connection.transport_lost("cut", START)
    assert (feed.waiting, feed.dropped) == (0, 1)
    with pytest.raises(ConnectionClosed):
        publish(solo, feed, b"two")
    solo.assert_nothing_left()


def test_what_can_not_be_sent_is_refused_and_harms_nothing() -> None:
    """Too large for this subscriber, or no service."""
    solo = Solo(NARROW)
    feed = Feed()
    with pytest.raises(FrameTooLarge):
        publish(solo, feed, bytes(2000))
    with pytest.raises(ValueError, match="reserved"):
        solo.connection.publish(feed, 0, b"", START)
    publish(solo, feed, b"fits")
    assert payloads(solo) == [b"fits"]


@pytest.mark.parametrize(
    ("limit", "bytes_limit", "policy", "text"),
    [
        (0, 1, "close", "at least 1 message"),
        (1, 0, "close", "1 byte"),
        (float("nan"), 1, "close", "at least 1 message"),
        (1, float("nan"), "close", "1 byte"),
        (1, 1, "forget", "drop_oldest, drop_newest, close"),
    ],
)
def test_a_feed_needs_room_and_a_policy(limit: Any, bytes_limit: Any, policy: FeedPolicy, text: str) -> None:
    """Each mistake is refused when the feed is made."""
    with pytest.raises(ValueError, match=text):
        Feed(limit, bytes_limit, policy)


def test_it_says_what_one_needs_to_know() -> None:
    """For people who debug."""
    solo = blocked()
    feed = Feed(1)
    publish(solo, feed, b"one", b"two")
    assert repr(feed) == "<Feed: 0 sent, 1 waiting, 1 dropped>"
