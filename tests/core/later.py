"""What is done later than the rest: the moment, and limits that are soon reached."""

from __future__ import annotations

from tests.core.harness import START, Solo

from duologue.protocol.limits import Limits

LATER = START + 7.0
NARROW = Limits(max_frame=256, owed=2, outbox_high=100, outbox_low=50)
FULL = Limits(calls=1, parked=1, max_frame=256)


def later(solo: Solo, *data: bytes) -> Solo:
    """At that moment this comes from the remote, if anything."""
    solo.now = LATER
    solo.feed(*data)
    return solo
