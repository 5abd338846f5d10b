"""Feeds: what is published to one subscriber, and waits for room in its outbox (docs/pubsub.md).

Nobody waits for a subscriber. What it does not take in time piles up here, to a bound, and what happens then is the
subscriber's policy.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, get_args

from duologue.protocol.limits import MIB

FeedPolicy = Literal["drop_oldest", "drop_newest", "close"]
"""What happens when a feed is full: messages are let go, the oldest or the newest first, or the subscriber's connection is closed."""

FEED_LENGTH = 1000
"""Messages that wait for a subscriber, if nothing else is said."""

FEED_BYTES = MIB
"""The same in bytes."""


class Feed:
    """The messages that wait for one subscriber."""

    __slots__ = ("_bytes", "_bytes_limit", "_limit", "_policy", "_queue", "dropped", "is_overrun", "sent")

    def __init__(
        self, limit: int = FEED_LENGTH, bytes_limit: int = FEED_BYTES, policy: FeedPolicy = "drop_oldest"
    ) -> None:
        """Raises `ValueError` for a limit under 1, or an unknown policy."""
        if not (limit >= 1 and bytes_limit >= 1):
            raise ValueError("a feed has room for at least 1 message and 1 byte")
        if policy not in get_args(FeedPolicy):
            raise ValueError(f"a feed's policy is one of {', '.join(get_args(FeedPolicy))}, not {policy!r}")
        self._limit = limit
        self._bytes_limit = bytes_limit
        self._policy = policy
        self._queue: deque[tuple[int, int, bytes]] = deque()
        self._bytes = 0
        self.sent = 0
        """Messages that are in the outbox, or were."""
        self.dropped = 0
        """Messages that were let go."""
        self.is_overrun = False
        """It was full, and its policy is to close."""

    @property
    def waiting(self) -> int:
        """Messages that wait."""
        return len(self._queue)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of those."""
        return self._bytes

    @property
    def first_arrival(self) -> int:
        """The number of the message that has waited longest. Only if one waits."""
        return self._queue[0][0]

    def put(self, arrival: int, sid: int, payload: bytes) -> None:
        """Let a message wait. What finds no room goes by the policy; one that is alone may be larger than the bound."""
        size = len(payload)
        while self._queue and (len(self._queue) >= self._limit or self._bytes + size > self._bytes_limit):
            if self._policy != "drop_oldest":
                self.dropped += 1
                self.is_overrun = self._policy == "close"
                return
            self.dropped += 1
            self._bytes -= len(self._queue.popleft()[2])
        self._queue.append((arrival, sid, payload))
        self._bytes += size

    def take(self) -> tuple[int, bytes]:
        """The message that has waited longest, with its service id: it goes into the outbox now."""
        _, sid, payload = self._queue.popleft()
        self._bytes -= len(payload)
        self.sent += 1
        return sid, payload

    def clear(self) -> None:
        """The connection has ended, or the subscription: nothing of it is wanted any more."""
        self.dropped += len(self._queue)
        self._queue.clear()
        self._bytes = 0

    def __repr__(self) -> str:
        return f"<Feed: {self.sent} sent, {self.waiting} waiting, {self.dropped} dropped>"
