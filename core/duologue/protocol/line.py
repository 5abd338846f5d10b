"""The line: own requests that wait for room (docs/flow.md).

Sends and calls made in handlers wait for room in the outbox alone, other calls for answers as well, and what is published
waits in feeds. Each has its number in the order of arrival, so that whoever may go goes in that order and none starves.
"""

from __future__ import annotations

from collections import OrderedDict
from operator import attrgetter
from typing import Any

from duologue.protocol.events import RelayedSend
from duologue.protocol.feed import Feed
from duologue.protocol.pending import OutgoingSend, PendingCall


class Line:
    """Those who wait, by what they wait for."""

    __slots__ = ("_arrivals", "calls", "feeds", "nested", "sends")

    def __init__(self) -> None:
        self._arrivals = 0
        self.calls: OrderedDict[PendingCall, int] = OrderedDict()
        """Calls, each with its number."""
        self.nested: OrderedDict[PendingCall, int] = OrderedDict()
        """Those that handlers made, which never wait for answers to others."""
        self.sends: OrderedDict[OutgoingSend | RelayedSend, int] = OrderedDict()
        """One-way messages."""
        self.feeds: dict[Feed, None] | None = None
        """Feeds in which something waits. Made when one is needed: most connections have no subscriber at the other end."""

    def __len__(self) -> int:
        return len(self.calls) + len(self.sends) + len(self.nested)

    def add_call(self, call: PendingCall, nested: bool) -> None:
        """A call gets into line, behind all that are there."""
        self._arrivals += 1
        (self.nested if nested else self.calls)[call] = self._arrivals

    def add_send(self, send: OutgoingSend | RelayedSend) -> None:
        """A one-way message gets into line."""
        self._arrivals += 1
        self.sends[send] = self._arrivals

    def add_published(self, feed: Feed, sid: int, payload: bytes) -> None:
        """A message gets into its feed, and has its place in the line there."""
        self._arrivals += 1
        feed.put(self._arrivals, sid, payload)
        if self.feeds is None:
            self.feeds = {}
        self.feeds[feed] = None

    def hurry(self, call: PendingCall) -> None:
        """A call waits for answers to others no longer. It keeps its number."""
        self.nested[call] = self.calls.pop(call)

    def remove_call(self, call: PendingCall) -> None:
        """Nobody waits for it any more."""
        del (self.nested if call in self.nested else self.calls)[call]

    def remove_feed(self, feed: Feed) -> None:
        """The subscription is over: what waits will not be sent."""
        feed.clear()
        if self.feeds is not None:
            self.feeds.pop(feed, None)

    def first(self, calls_may_go: bool) -> OrderedDict[Any, int] | Feed | None:
        """Where the one stands whose turn it is: the first of a line, or what came first into a feed."""
        line: OrderedDict[Any, int] | None = self.calls if calls_may_go and self.calls else None
        for other in (self.nested, self.sends):
            if other and (line is None or next(iter(other.values())) < next(iter(line.values()))):
                line = other
        if self.feeds:
            feed = min(self.feeds, key=_first_arrival)
            if line is None or feed.first_arrival <= next(iter(line.values())):
                return feed
        return line

    def take_published(self, feed: Feed) -> tuple[int, bytes]:
        """The next message of a feed: its service id, and its payload."""
        sid, payload = feed.take()
        if not feed.waiting:
            assert self.feeds is not None
            del self.feeds[feed]
        return sid, payload

    def clear(self) -> tuple[list[PendingCall], list[OutgoingSend | RelayedSend]]:
        """Everybody leaves: the calls and the one-way messages that will never be sent. Feeds are emptied."""
        calls, sends = [*self.nested, *self.calls], list(self.sends)
        self.nested.clear()
        self.calls.clear()
        self.sends.clear()
        for feed in self.feeds or ():
            feed.clear()
        self.feeds = None
        return calls, sends


_first_arrival = attrgetter("first_arrival")
