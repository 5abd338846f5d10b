"""What handlers do in a flow simulation: random trees of calls and sends.

A `Script` is one request together with all that its handler does. Requests carry their script's number, so what a
handler has to do, and what its answer must be, is known at both ends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from random import Random

from duologue.protocol.limits import MIB

MAX_FRAME = MIB + 64
"""Room for an answer of 1 MiB, its header and its number."""

RELAYED = 1000
"""Service ids from here on are relayed: each script that is has one of its own, this plus its number."""

NUMBER_SIZE = 4
"""The first bytes of each payload: the number of the script."""


class Service(IntEnum):
    """The service ids, and with them the routes."""

    PLAIN = 1
    ORDERED = 2
    FREE = 3
    """Takes no permit, like a relay."""
    ORDERED_FREE = 4
    """Both."""
    NOBODY = 5
    """Known, but without a handler."""
    UNKNOWN = 6


@dataclass(slots=True)
class Script:
    """One request, and what its handler does."""

    number: int
    via: int
    """The end of a link at which the request leaves."""
    service: Service
    is_call: bool
    size: int = 0
    """Bytes of the request, beside the number."""
    answer: int = 0
    """Bytes of the answer, beside the number."""
    steps: list[Compute | Ask | Tell] = field(default_factory=list["Compute | Ask | Tell"])
    fails: bool = False
    """The handler raises at its end."""
    tolerant: bool = True
    """The handler goes on when one of its calls fails."""
    relays: tuple[int, ...] = ()
    """The ends at which relays pass it on, after it has left at `via`."""
    picks: int = -1
    """How many turns each relay takes to find out where it goes; under 0 the state machine knows."""

    @property
    def hops(self) -> tuple[int, ...]:
        """All ends at which it leaves, in order."""
        return (self.via, *self.relays)

    @property
    def sid(self) -> int:
        """What is asked for on the wire."""
        return RELAYED + self.number if self.relays else self.service

    @property
    def is_ordered(self) -> bool:
        return self.service in (Service.ORDERED, Service.ORDERED_FREE)

    @property
    def request_payload(self) -> bytes:
        return self.number.to_bytes(NUMBER_SIZE, "little") + bytes(self.size)

    @property
    def answer_payload(self) -> bytes:
        return self.number.to_bytes(NUMBER_SIZE, "little") + bytes(self.answer)

    def __repr__(self) -> str:
        return f"{'call' if self.is_call else 'send'} {self.number} to {self.service.name}"


@dataclass(frozen=True, slots=True)
class Compute:
    """Runs for some turns, and waits for nobody."""

    turns: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Calls, all at once, and waits for all answers."""

    calls: tuple[Script, ...]


@dataclass(frozen=True, slots=True)
class Tell:
    """Sends, and waits for room if there is none."""

    send: Script


@dataclass(frozen=True, slots=True)
class Links:
    """Who is linked with whom. Link number n has the ends 2n and 2n + 1."""

    nodes: int
    pairs: tuple[tuple[int, int], ...]
    relays: bool = False
    """Whether nodes pass on what is for others. Then they form a tree (docs/relay.md, rings)."""

    def node(self, end: int) -> int:
        """Where an end is."""
        return self.pairs[end // 2][end % 2]

    def ends(self, node: int) -> list[int]:
        """The ends that are at a node."""
        return [end for end in range(2 * len(self.pairs)) if self.node(end) == node]


class Forest:
    """Grows the trees. `requests` and `volume` (bytes) bound them all together."""

    def __init__(self, rng: Random, links: Links, requests: int, volume: int) -> None:
        self.scripts: list[Script] = []
        self._rng = rng
        self._links = links
        self._requests = requests
        self._volume = volume
        self._depth = rng.choice((2, 4, 8, 16))
        self._sends = rng.choice((0.1, 0.4, 0.9))
        self._ordered = rng.choice((0.0, 0.0, 0.2, 0.6))
        self._back = rng.choice((0.0, 0.5, 1.0))
        self._large = rng.choice((0.0, 0.1, 0.5))
        self._faults = rng.choice((0.0, 0.0, 0.1))
        self._relays = links.relays and rng.choice((0.3, 0.7, 1.0))
        self._picks = self._relays and rng.choice((0.0, 0.0, 0.5))

    @property
    def is_grown(self) -> bool:
        """Whether nothing more can be added."""
        return len(self.scripts) >= self._requests

    def grow(self, node: int) -> Script:
        """A tree whose first request leaves from this node."""
        hops = self._path(node)
        return self._grow(hops, self._rng.random() >= self._sends, 0, in_turn=False)

    def _path(self, node: int) -> tuple[int, ...]:
        """A way from a node to another: over one link, or over several by way of relays. It never goes back."""
        rng, links = self._rng, self._links
        hops = [rng.choice(links.ends(node))]
        while self._relays and len(hops) < 5 and rng.random() < self._relays:
            further = [end for end in links.ends(links.node(hops[-1] ^ 1)) if end != hops[-1] ^ 1]
            if not further:
                break
            hops.append(rng.choice(further))
        return tuple(hops)

    def _grow(self, hops: tuple[int, ...], is_call: bool, depth: int, *, in_turn: bool) -> Script:
        rng = self._rng
        service = self._service(may_be_ordered=not (is_call and in_turn))
        script = Script(
            len(self.scripts), hops[0], service, is_call, self._size(), self._size() if is_call else 0
        )
        script.relays = hops[1:]
        if self._picks and rng.random() < self._picks:
            script.picks = rng.choice((0, 1, 5))
        self.scripts.append(script)
        if service in (Service.NOBODY, Service.UNKNOWN):
            return script
        script.fails = rng.random() < self._faults
        script.tolerant = rng.random() < 0.7
        # Whoever has the turn must not wait, however indirectly, for another who needs a turn: that would be a
        # deadlock of the handlers' own making. What is sent is not waited for.
        in_turn = script.is_ordered or (is_call and in_turn)
        for _ in range(rng.randint(0, 3)):
            if rng.random() < 0.4:
                script.steps.append(Compute(rng.choice((1, 2, 5, 20))))
            if depth < self._depth and not self.is_grown:
                script.steps.append(self._step(script, depth + 1, in_turn=in_turn))
        return script

    def _step(self, script: Script, depth: int, *, in_turn: bool) -> Ask | Tell:
        rng = self._rng
        if rng.random() < self._sends:
            return Tell(self._grow(self._way(script), False, depth, in_turn=False))
        calls = [self._grow(self._way(script), True, depth, in_turn=in_turn)]
        if rng.random() < 0.3:
            more = rng.randint(1, 4)
            while more and not self.is_grown:
                calls.append(self._grow(self._way(script), True, depth, in_turn=in_turn))
                more -= 1
        return Ask(tuple(calls))

    def _way(self, script: Script) -> tuple[int, ...]:
        """Where the handler of a script sends something of its own. One that has the turn talks to its caller only, and by
        the same relays: a lane that waits for an answer from elsewhere may stop reading (docs/flow.md, F6).
        """
        back = tuple(end ^ 1 for end in reversed(script.hops))
        if script.is_ordered or self._rng.random() < self._back:
            return back
        return self._path(self._links.node(back[0]))

    def _service(self, *, may_be_ordered: bool) -> Service:
        rng = self._rng
        if rng.random() < self._faults:
            return rng.choice((Service.NOBODY, Service.UNKNOWN))
        if may_be_ordered and rng.random() < self._ordered:
            return Service.ORDERED if rng.random() < 0.8 else Service.ORDERED_FREE
        return Service.FREE if rng.random() < 0.1 else Service.PLAIN

    def _size(self) -> int:
        rng = self._rng
        size = 0
        if rng.random() < self._large:
            size = int(2 ** rng.uniform(8, 20))
        elif rng.random() < 0.7:
            size = rng.randint(0, 300)
        if size > self._volume:
            return 0
        self._volume -= size
        return size
