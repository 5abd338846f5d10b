"""Connections that are relayed to and from, for tests: each is a `Solo`, and the test is the remote of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.core.harness import ECHO, Solo, frame, requests, response_frame, standard_routes

from duologue.protocol.events import Event, IncomingRequest
from duologue.protocol.limits import Limits
from duologue.protocol.relaying import Relays
from duologue.protocol.routes import Mode, Route

RELAYED = 0x7777
PICKED = 0x7778
"""A service for which the driver finds out who is to answer: it is delivered."""


class RelayTestRoute(Route):
    mode = Mode.RELAY
    takes_permit = False

    def __init__(self, relays_to: Callable[[], Relays | None] | None, timeout: float | None = 60.0) -> None:
        self.name = "test::Relayed"
        self.relays_to = relays_to
        self.relay_timeout = timeout


class Relay:
    """A process in the middle: `asked` is the connection to the one who asks, `other` to the one who answers."""

    def __init__(
        self, limits: Limits = Limits(), other: Limits | None = None, timeout: float | None = 60.0
    ) -> None:
        self.other = Solo(other or limits)
        self.other.connection.relays.name = "provider"
        target = self.other.connection.relays
        self.asked = Solo(
            limits,
            routes=standard_routes()
            | {RELAYED: RelayTestRoute(lambda: target, timeout), PICKED: RelayTestRoute(None, timeout)},
        )
        self.woken: list[str] = []
        self._events: list[Event] = []
        self.asked.connection.relays.on_work = lambda: self.woken.append("asked")
        target.on_work = lambda: self.woken.append("other")

    def link(self) -> None:
        """The first request finds the way; all that come after it go the short one."""
        self.ask(2**62)
        ((_, cid, _),) = self.other.sent()
        self.answer(cid)
        assert len(self.asked.sent()) == 1
        self.woken.clear()

    def ask(self, cid: int, payload: bytes = b"", sid: int = RELAYED) -> None:
        """A request comes in, and the driver does its part if there is one for it."""
        events = self.asked.feed(frame(sid, cid, payload))
        self._events += [event for event in events if not isinstance(event, IncomingRequest)]
        for request in requests(events):
            self.asked.connection.relay(request, self.other.connection.relays, self.asked.now)

    def answer(self, cid: int, payload: bytes = b"") -> None:
        """The provider answers."""
        assert self.other.feed(response_frame(cid, payload)) == []

    def wait(self, seconds: float) -> None:
        """Time goes by for both."""
        self.other.wait(seconds)
        self._events += self.asked.wait(seconds)

    def told(self) -> list[Event]:
        """What observers of the connection that asks have been told since the last look."""
        events, self._events = self._events + self.asked.connection.events(), []
        return events


def nothing_held(solos: Mapping[str, Solo]) -> None:
    """Nothing is under way, and nothing is kept of what was."""
    for name, solo in solos.items():
        incoming, outgoing = solo.connection.incoming, solo.connection.outgoing
        assert (name, incoming.running, incoming.unanswered, incoming.parking.held) == (name, 0, 0, 0)
        assert (name, len(outgoing.pending), outgoing.waiting) == (name, 0, 0)


__all__ = ["ECHO", "PICKED", "RELAYED", "Relay", "RelayTestRoute", "nothing_held"]
