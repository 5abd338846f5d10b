"""A service whose handlers take up the event loop, and what it was asked."""

from __future__ import annotations

import time
from typing import cast

from tests.adapters.common import frame

from duologue import Context, Message, Namespace, Peer, Services
from duologue_adapters.peer import DriverPeer
from duologue_adapters.time_slice import TimeSlices

COUNT = 200


class Note(Message[int]):
    number: int


class Quick(Message[None]):
    """It takes no time."""


noting = Namespace("noting", [Note, Quick])


class Notes:
    """A service, and what it was asked."""

    def __init__(self, *, inline: bool = True, ordered: bool = False, seconds: float = 0.0) -> None:
        self.got: list[int] = []
        self.seconds = seconds
        self.aborts_at = -1
        self.services = Services(noting)
        if inline:
            self.services.handler(Note, self.note, inline=True, ordered=ordered)
        else:
            self.services.handler(Note, self.note_in_task, ordered=ordered)

    def note(self, msg: Note, ctx: Context) -> int:
        self.got.append(msg.number)
        time.sleep(self.seconds)
        if msg.number == self.aborts_at:
            cast("DriverPeer", ctx.peer).abort()
        return msg.number

    async def note_in_task(self, msg: Note, ctx: Context) -> int:
        return self.note(msg, ctx)


def burst(peer: Peer, *, is_call: bool, count: int = COUNT) -> bytes:
    """As many requests as one read gives."""
    encode = peer.wireformat.codec(Note).encode
    return b"".join(
        frame(noting.sid(Note), (number + 1) * is_call, encode(Note(number))) for number in range(count)
    )


def engine_slices(peer: Peer) -> TimeSlices:
    """The time slices of a peer's engine."""
    return cast("DriverPeer", peer)._engine.time_slices


def busy(peer: Peer) -> int:
    """How many connections of a server have more to do than a time slice holds."""
    return engine_slices(peer).busy
