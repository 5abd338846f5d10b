"""Every bound of a connection, in one frozen object, each with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import ClassVar, Literal

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Limits:
    """What a connection may use. Sizes are bytes, times are seconds. Raise one with `Limits(calls=500)`.

    Both ends should have the same `max_frame`: base mode can't negotiate it.
    """

    UNLIMITED: ClassVar[Limits]
    """Bounds nothing that can go without a bound. For those who insist: a remote can then use up this process."""

    max_frame: int = MIB
    """The largest frame, header included, both ways. One frame blocks the loop while it is decoded: 1 MiB keeps that under 0.1 s."""
    calls: int = 100
    """Calls of the remote's whose handlers run at once."""
    lent: int = 1024
    """Handlers that wait for a remote, and so hold no permit. Over it their calls raise `Overloaded`: it bounds recursion between two ends."""
    parked: int = 1024
    """Requests received that wait for a permit or their turn. As many as a well-behaved remote has calls out."""
    parked_bytes: int = 8 * MIB
    """The same in bytes, so that large requests can't hold a thousand times the frame limit."""
    sends: int = 1000
    """One-way messages of the remote's whose handlers run at once. Over it reading pauses (or drops, see `sends_policy`)."""
    sends_bytes: int = 4 * MIB
    """The same in bytes."""
    sends_policy: Literal["pause", "drop"] = "pause"
    """Over the budget for sends: `pause` reading, so that nothing is lost, or `drop` and count them."""
    owed: int = 1024
    """Own calls written and not answered. Over it further calls wait: a remote that never answers costs a bounded amount.
    Calls made in handlers don't wait for that, as others may wait for the handler: over twice the limit they raise `Overloaded`."""
    waiting: int = 8192
    """Own calls and sends that wait for room. Over it they raise `Overloaded`: a queue that only grows is a fault to be seen."""
    outbox_high: int = 256 * KIB
    """Unsent bytes at which own requests wait and (counting answers only) the remote's requests are parked. A few bandwidth-delay products of a fast link."""
    outbox_low: int = 64 * KIB
    """Unsent bytes, answers aside, at which own requests go on. Well under `outbox_high`, so that they go on in batches."""
    call_timeout: float | None = 60.0
    """How long a call waits when it does not say. None: for ever."""
    send_timeout: float | None = 60.0
    """How long a send waits for room when it does not say. None: for ever."""
    frame_timeout: float = 30.0
    """From the first byte of a frame to its last. Ends connections that dribble."""
    handshake_timeout: float = 10.0
    """For connecting, and for the handshakes of the transport."""
    answers_stalled: float = 10.0
    """The transport takes no byte while answers are over `outbox_high`: the remote asks and does not read, so it is cut off."""
    requests_stalled: float = 60.0
    """The transport takes no byte of own requests: the remote is stuck."""
    eof_grace: float = 0.0
    """How long handlers may run on after the remote ended its half. The original takes the end of stream for the end, so no time by default."""
    eof_grace_sends: float = 10.0
    """The same for handlers of one-way messages, if the end was a clean one and this is longer. To send and to hang up is an
    ordinary thing to do, and must lose nothing. As long as `close_timeout`, so that no end takes longer by it than by a remote that does not read."""
    drain_timeout: float | None = 30.0
    """How long `drain` waits when it does not say, before it closes. What schedulers of containers usually leave a process
    to end in. None: for ever."""
    discard_timeout: float = 1.0
    """After our last byte: how long input is still read, and dropped, so that a reset does not destroy our last answers."""
    close_timeout: float = 10.0
    """From the decision to close until the transport is cut, whatever is still unsent."""
    given_up: float = 60.0
    """How long a call that was given up still counts as owed: base mode has no cancel, so the remote may still be at it."""
    strays: int = 100
    """Answers to calls that never were, in 10 s. Over it the remote is broken and the connection closes."""
    observer_queue: int = 256
    """Events that an observer may leave unread. Over it the oldest go, and it is told how many."""
    nesting: int = 32
    """Depth of arrays and maps in a payload. The default of the wire formats, which is where to change it."""
    items: int = 50_000
    """Values in a payload: 1 MB of empty containers would become 69 MB of objects. Likewise the wire formats' default."""
    connections: int = 10_000
    """Connections per server. Over it accepting pauses."""
    server_bytes: int = 256 * MIB
    """Bytes that all connections of a server have received and not begun to handle: frames that are not complete, and what is
    parked. Over half of it those who hold much pause. The bounds of each connection, ten thousand times, are more than a process has."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not value >= 0:  # NaN is not >= 0 either
                raise ValueError(f"Limits.{field.name} is {value!r}: give a number that is not negative")
        if self.max_frame < 24 + 128:
            raise ValueError(
                f"Limits.max_frame is {self.max_frame}: a frame must have room for its header and an error, so at least 152"
            )
        for name in (
            "calls",
            "sends",
            "sends_bytes",
            "owed",
            "parked",
            "parked_bytes",
            "outbox_high",
            "server_bytes",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"Limits.{name} is 0: at least 1, or nothing could ever move")
        if self.outbox_low > self.outbox_high:
            raise ValueError("Limits.outbox_low is over outbox_high")
        if self.sends_policy not in ("pause", "drop"):
            raise ValueError(f"Limits.sends_policy is {self.sends_policy!r}: choose 'pause' or 'drop'")

    def __repr__(self) -> str:
        """What differs from the defaults."""
        differing = (
            f"{field.name}={value!r}"
            for field in fields(self)
            if (value := getattr(self, field.name)) != field.default
        )
        return f"Limits({', '.join(differing)})"


_HUGE = 2**62

Limits.UNLIMITED = Limits(
    max_frame=_HUGE,
    calls=_HUGE,
    lent=_HUGE,
    parked=_HUGE,
    parked_bytes=_HUGE,
    sends=_HUGE,
    sends_bytes=_HUGE,
    owed=_HUGE,
    waiting=_HUGE,
    call_timeout=None,
    send_timeout=None,
    drain_timeout=None,
    frame_timeout=math.inf,
    answers_stalled=math.inf,
    requests_stalled=math.inf,
    strays=_HUGE,
    items=_HUGE,
    connections=_HUGE,
    server_bytes=_HUGE,
)
