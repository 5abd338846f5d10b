"""The network: wires that carry bytes between links, late and in pieces, and break when the faults of the seed say so."""

from __future__ import annotations

import asyncio
from collections import deque
from random import Random
from typing import TYPE_CHECKING

from duologue_contrib.testing.simulation.corruption import corrupt
from duologue_contrib.testing.simulation.faults import Faults
from duologue_contrib.testing.simulation.frames import Frame, FrameTap

if TYPE_CHECKING:
    from duologue_contrib.testing.simulation.links import SimulatedLink
    from duologue_contrib.testing.simulation.world import World

_END = b""
"""In the place of a piece: the end of the stream."""


class Wire:
    """One direction between two links. Bytes keep their order, and no more than `capacity` of them are on their way."""

    def __init__(self, world: World, source: SimulatedLink, target: SimulatedLink, capacity: int) -> None:
        self._world = world
        self._loop = world.loop
        self._source = source
        self._target = target
        self.capacity = capacity
        """Bytes that may be on their way at once."""
        self._flight: deque[tuple[float, bytes]] = deque()
        self._size = 0
        self._last_arrival = 0.0
        self._stalled_until = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._written = FrameTap(source.largest)
        self._read = FrameTap(target.largest)
        self._answered: set[int] = set()
        self.is_corrupted = False
        """What arrived was not what was written."""
        self.is_down = False
        """Nothing will arrive any more."""
        self.was_slow = False
        """It stood still for a while, or whoever reads from it did."""
        self.carried = 0
        """Bytes that have arrived."""

    @property
    def name(self) -> str:
        """From whom to whom."""
        return f"{self._source.owner} > {self._target.owner}"

    @property
    def room(self) -> int:
        """Bytes that can be taken."""
        return self.capacity - self._size

    # -- at its beginning -------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        """Bytes set out. There must be room for them."""
        begun, _ = self._written.feed(data)
        for frame in begun:
            self._world.trace.note(self.name, f"sends {self._describe(frame)}")
            self._check_answer(frame)
        if self._written.is_broken and self._source.connection is not None:
            self._world.violated(f"{self.name}: a frame was cut: what follows in the stream is none")
        self._size += len(data)
        for piece in self._pieces(data):
            self._set_out(piece)

    def end(self) -> None:
        """The end of the stream sets out."""
        self._world.trace.note(self.name, "ends its stream")
        self._set_out(_END)

    def _set_out(self, piece: bytes) -> None:
        arrival = max(self._last_arrival, self._loop.time() + self._latency())
        self._last_arrival = arrival
        self._flight.append((arrival, piece))
        self.go_on()

    def _pieces(self, data: bytes) -> list[bytes]:
        random, faults = self._world.chance, self._world.faults
        if not faults.split or random.random() >= faults.split:
            return [data]
        places = sorted({random.randrange(len(data)) for _ in range(random.choice((1, 1, 2, 5)))} - {0})
        return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]

    def _latency(self) -> float:
        delay = self._world.faults.delay
        return delay * self._world.chance.random() ** 2 if delay else 0.0

    def _check_answer(self, frame: Frame) -> None:
        if not frame.is_answer or self._source.connection is None:
            return
        if frame.cid in self._answered and not self._source.is_disturbed:
            self._world.violated(f"{self.name}: call #{frame.cid} was answered twice")
        self._answered.add(frame.cid)

    # -- at its end -------------------------------------------------------------------------------

    def go_on(self) -> None:
        """Look whether something can arrive, now or later."""
        if self._timer is not None or not self._flight or self.is_down or not self._target.reads:
            return
        when = max(self._flight[0][0], self._stalled_until, self._target.owner.frozen_until)
        self._timer = self._loop.call_at(when, self._arrive)

    def _arrive(self) -> None:
        self._timer = None
        if not self._flight or self.is_down or not self._target.reads:
            return
        if max(self._stalled_until, self._target.owner.frozen_until) > self._loop.time():
            self.go_on()
            return
        _, piece = self._flight.popleft()
        if piece is _END:
            self._target.end_arrived()
        else:
            self._size -= len(piece)
            self._deliver(self._disturbed(piece, self._world.chance, self._world.faults))
            self._source.push()
        self.go_on()

    def _deliver(self, piece: bytes) -> None:
        if not piece or self.is_down:
            return
        _, ended = self._read.feed(piece)
        for frame in ended:
            if frame.is_answer:
                self._target.note_answer(frame.cid)
                self._world.trace.note(self.name, f"gets {frame.kind} #{frame.cid}")
        self.carried += len(piece)
        self._target.arrived(piece)

    def _disturbed(self, piece: bytes, random: Random, faults: Faults) -> bytes:
        """What is left of a piece by the faults that strike here."""
        world = self._world
        if faults.corrupt and random.random() < faults.corrupt:
            piece, what = corrupt(piece, self._read.beginning_in(piece), random)
            self.is_corrupted = world.has_corrupted = True
            world.trace.note("FAULT", f"{self.name}: changes {what}")
        if faults.stall and random.random() < faults.stall:
            self.stall(random.random() ** 3 * faults.longest)
        if faults.freeze and random.random() < faults.freeze:
            self._target.owner.freeze(random.random() ** 3 * faults.longest)
        if faults.cut and random.random() < faults.cut:
            piece = piece[: random.randrange(len(piece) + 1)]
            world.trace.note("FAULT", f"{self.name}: cut after {self.carried + len(piece)} bytes")
            self._loop.call_soon(self._source.cut, random.random() < 0.3)
        if faults.crash and random.random() < faults.crash:
            world.crash_soon(self._target.owner)
        return piece

    def stall(self, seconds: float) -> None:
        """Nothing arrives for so long."""
        self.was_slow = True
        self._world.trace.note("FAULT", f"{self.name}: stands still for {seconds:.3f} s")
        self._stalled_until = max(self._stalled_until, self._loop.time() + seconds)

    def heal(self) -> None:
        """Nothing stands still any more."""
        self._stalled_until = 0.0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.go_on()

    def go_down(self) -> None:
        """What is on its way is gone."""
        self.is_down = True
        self._flight.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _describe(self, frame: Frame) -> str:
        name = "" if frame.is_answer or not frame.sid else f" {self._target.name_of(frame.sid)}"
        number = f" #{frame.cid}" if frame.cid else ""
        return f"{frame.kind}{name}{number}, {frame.length} bytes"
