"""Links over simulated wires: what the driver reads from and writes to."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from duologue.protocol import Connection
from duologue_adapters import Engine, Link, Receiver
from duologue_contrib.testing.simulation.network import Wire

if TYPE_CHECKING:
    from duologue_contrib.testing.simulation.processes import Process
    from duologue_contrib.testing.simulation.world import World


class Place(NamedTuple):
    """Where an end is to be."""

    engine: Engine
    owner: Process
    limit: int
    """The largest frame that it takes."""


class SimulatedLink(Link):
    """One end. It belongs to a process, and dies with it."""

    other: SimulatedLink
    out: Wire
    into: Wire

    def __init__(self, world: World, engine: Engine, owner: Process, limit: int, largest: int) -> None:
        self._world = world
        self._loop = world.loop
        self.engine = engine
        """That runs its driver."""
        self.owner = owner
        self.limit = limit
        """The largest frame that its end takes."""
        self.largest = largest
        """The largest frame that either end sends or takes."""
        self.connection: Connection | None = None
        """Of the driver that uses it."""
        self.reads = False
        self.answered: list[int] = []
        """Ids of calls whose answers have arrived here, until somebody has looked what became of them."""
        self.is_lost = False
        """It has ended, for its driver too."""
        self._receiver: Receiver | None = None
        self._outgoing: deque[bytes] = deque()
        self._unsent = 0
        self._ends_writing = False
        self._end_told = False
        self._is_losing = False
        self._awaits_end = False

    def note_answer(self, cid: int) -> None:
        """An answer arrives. One whose id was changed on its way may be that of a call which has not begun yet."""
        if self.connection is not None and cid in self.connection.outgoing.pending:
            self.answered.append(cid)

    @staticmethod
    def pair(world: World, near: Place, far: Place, capacity: int) -> tuple[SimulatedLink, SimulatedLink]:
        """Two ends of one connection."""
        largest = max(near.limit, far.limit)
        a, b = (SimulatedLink(world, each.engine, each.owner, each.limit, largest) for each in (near, far))
        a.other, b.other = b, a
        a.out = b.into = Wire(world, a, b, capacity)
        b.out = a.into = Wire(world, b, a, capacity)
        a.address, b.address = f"sim://{far.owner}", f"sim://{near.owner}"
        for link in (a, b):
            link.owner.links[link] = None
        return a, b

    # -- what the driver calls ----------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self.connection = getattr(receiver, "connection", None)
        if self.connection is not None:
            self._world.add_end(self, receiver)
        self.resume_reading()
        if self._is_losing:
            self._loop.call_soon(self._lose, "it was gone before it was used")

    def write(self, buffers: list[bytes]) -> bool:
        if self._is_losing or self._ends_writing:
            return False
        if self.other.is_lost:
            self._begin_losing("the other end is gone")
            return False
        self._outgoing += buffers
        self._unsent += sum(map(len, buffers))
        self._move()
        return not self._outgoing

    @property
    def unsent(self) -> int:
        return self._unsent

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True
        self.into.go_on()

    def end_writing(self) -> None:
        self._ends_writing = True
        if not self._outgoing:
            self.out.end()

    def abort(self) -> None:
        """The other end may read to the end what was said before a goodbye; else it loses what is on its way."""
        if self._is_losing:
            return
        self._begin_losing("", at_once=True)
        other = self.other
        if not self._ends_writing or self._outgoing:
            self.out.go_down()
            other._begin_losing("the other end is gone")
        elif other._end_told:
            other._begin_losing("")
        else:
            other._awaits_end = True

    # -- what wires call -------------------------------------------------------------------------------

    def push(self) -> None:
        """There is room on the wire again."""
        if self._outgoing and not self._is_losing:
            self._move()
            if not self._outgoing and self._receiver is not None:
                self._receiver.all_written()

    def arrived(self, data: bytes) -> None:
        """Bytes are here."""
        if self._receiver is not None:
            self._receiver.data_received(data)

    def end_arrived(self) -> None:
        """The end of the stream is here."""
        self._end_told = True
        if self._receiver is not None:
            self._receiver.eof_received()
        if self._awaits_end:
            self._begin_losing("")

    def cut(self, with_end: bool = False) -> None:
        """The connection breaks. Both ends learn it in their time, the other one maybe as if this one had ended its stream."""
        self.is_cut = self.other.is_cut = True
        self.out.go_down()
        self.into.go_down()
        if with_end and not self.other._is_losing:
            self._loop.call_later(self._world.latency(), self.other._end_for_nothing)
        self._begin_losing("the connection was cut")
        self.other._begin_losing("the connection was cut", later=self._world.latency())

    def die(self) -> None:
        """The process at this end dies. What it has written may still arrive, up to the byte where it stopped."""
        if self._is_losing:
            return
        self.is_cut = self.other.is_cut = True
        if self._world.chance.random() < 0.5 and not self.out.is_down and not self._ends_writing:
            self.out.end()
            self.other._awaits_end = True
        else:
            self.out.go_down()
            self.other._begin_losing("the other process died")
        self._begin_losing("this process died", at_once=True)

    # -- inside ------------------------------------------------------------------------------------------

    is_cut = False
    """By a fault, and not by either end."""

    @property
    def is_disturbed(self) -> bool:
        """Whether what went through the connection was changed, in either direction."""
        return self.out.is_corrupted or self.into.is_corrupted

    def name_of(self, sid: int) -> str:
        """What its end calls a service."""
        route: Any = self.connection.incoming.router(sid) if self.connection is not None else None
        return route.name if route is not None else f"0x{sid:016x}"

    def _move(self) -> None:
        while self._outgoing and (room := self.out.room) > 0:
            taken: list[bytes] = []
            while self._outgoing and room > 0:
                buffer = self._outgoing.popleft()
                if len(buffer) > room:
                    self._outgoing.appendleft(buffer[room:])
                    buffer = buffer[:room]
                room -= len(buffer)
                taken.append(buffer)
            data = b"".join(taken)
            self._unsent -= len(data)
            if data:
                self.out.take(data)
        if not self._outgoing and self._ends_writing:
            self.out.end()

    def _end_for_nothing(self) -> None:
        if self._receiver is not None and not self._end_told and self.reads:
            self.end_arrived()

    def _begin_losing(self, detail: str, *, at_once: bool = False, later: float | None = None) -> None:
        if self._is_losing:
            return
        self._is_losing = True
        self._outgoing.clear()
        self._unsent = 0
        if self._receiver is None:
            return
        if at_once:
            self._loop.call_soon(self._lose, detail)
        else:
            delay = self._world.latency() if later is None else later
            self._loop.call_later(delay, self._lose, detail)

    def _lose(self, detail: str) -> None:
        self.is_lost = True
        self.owner.links.pop(self, None)
        receiver, self._receiver = self._receiver, None
        self.into.go_down()
        if receiver is not None:
            receiver.connection_lost(detail)
