"""The world of one seed: processes, the network between them, a clock, and chance."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from random import Random
from typing import Any, TypeVar

import anyio

from duologue import ConnectFailed, Peer, Server, ServiceMap, WireFormat, connect, serve
from duologue_adapters import Receiver
from duologue_contrib.testing.simulation.adapter import Network
from duologue_contrib.testing.simulation.engine import SimulatedEngine
from duologue_contrib.testing.simulation.errors import Standstill, Violation
from duologue_contrib.testing.simulation.faults import Faults
from duologue_contrib.testing.simulation.handlers import faulty
from duologue_contrib.testing.simulation.invariants import End, check_reason
from duologue_contrib.testing.simulation.links import SimulatedLink
from duologue_contrib.testing.simulation.loop import VirtualLoop
from duologue_contrib.testing.simulation.processes import Process, current_process
from duologue_contrib.testing.simulation.trace import Trace
from duologue_contrib.testing.simulation.watch import Watch

CAPACITIES = (64, 1024, 16 * 1024, 64 * 1024)
"""Bytes on their way in one direction of a connection, of which each connection draws one."""

MOST_PASSES = 2_000_000
"""Passes of the loop, after which a seed is taken for one that never ends."""

Services = ServiceMap | Sequence[ServiceMap] | Callable[[Peer], ServiceMap | None] | None
T = TypeVar("T")


class World:
    """What a scenario is given."""

    def __init__(self, seed: int, faults: Faults, *, eager: bool = True, in_turns: bool = False) -> None:
        """See `simulate`, which makes it."""
        self.seed = seed
        """The number that all of it comes from."""
        self.random = Random(f"scenario {seed}")
        """Chance, for the scenario: use no other."""
        self.chance = Random(f"world {seed}")
        """Chance, for the faults."""
        self.faults = faults.drawn(Random(f"faults {seed}"))
        """What this seed has of the faults. May be set to others at any time."""
        self.watch = Watch()
        self.loop = VirtualLoop(
            lambda: SimulatedEngine(
                eager=eager, in_turns=in_turns, thread_delay=self.latency, on_use=self.watch.touch
            ),
            self._after_pass,
        )
        self.trace = Trace(self.loop.time)
        self.healed = asyncio.Event()
        """Set when the faults have stopped."""
        self.network = Network(self)
        self.processes: dict[str, Process] = {}
        self.has_corrupted = False
        """Some bytes were changed, so what was said need not be what was heard."""
        self.failure: BaseException | None = None
        """What was found to be wrong."""
        self.is_over = False
        """Nothing is looked at any more."""
        self.loop.on_task = self._task_made
        self.loop.set_exception_handler(self._callback_failed)

    # -- for scenarios --------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Seconds since the beginning, in this world."""
        return self.loop.time()

    async def sleep(self, seconds: float) -> None:
        """Let time go by, which takes none."""
        await anyio.sleep(seconds)

    def note(self, text: str) -> None:
        """Write a line into the trace."""
        self.trace.note("scenario", text)

    def url(self, name: str) -> str:
        """Where `duologue.connect` and `duologue.serve` find the process of that name."""
        return f"sim://{name}"

    def process(self, name: str) -> Process:
        """The process of a name. Made when it is asked for; `process.run(main)` gives it something to do."""
        if name not in self.processes:
            self.processes[name] = Process(self, name)
        return self.processes[name]

    async def serve(
        self,
        name: str,
        services: Services = None,
        *,
        wireformat: str | WireFormat = "json",
        restarts: bool = True,
        **options: Any,
    ) -> Server:
        """Serve in a process of that name, until the scenario ends. The further arguments are those of `duologue.serve`.

        By the faults it may die, and come back with the same services. `restarts=False`: it doesn't.
        """
        process = self.process(name)
        process.restarts = restarts
        begun: asyncio.Future[Server] = self.loop.create_future()

        def block() -> AbstractAsyncContextManager[Server]:
            return serve(self.url(name), services, wireformat=wireformat, **options)

        return await self._opened(process, block, begun)

    async def connect(
        self,
        name: str,
        server: str,
        services: Services = None,
        *,
        wireformat: str | WireFormat = "json",
        **options: Any,
    ) -> Peer:
        """Connect a process of that name to a server, until the scenario ends. The further arguments are those of `duologue.connect`.

        The connection is opened once. To have it back when it has broken use `reconnecting(world.url(server), ...)`.
        Raises what entering `connect` raises.
        """
        begun: asyncio.Future[Peer] = self.loop.create_future()

        def block() -> AbstractAsyncContextManager[Peer]:
            return connect(self.url(server), services, wireformat=wireformat, name=server, **options)

        return await self._opened(self.process(name), block, begun, again=False)

    @contextmanager
    def impatient(self) -> Generator[anyio.CancelScope]:
        """A block that is cancelled sometime, if the faults of the seed say so: `cancelled_caught` of the scope tells."""
        seconds = float("inf")
        if self.faults.cancel and self.chance.random() < self.faults.cancel:
            seconds = self.chance.random() ** 3 * self.faults.longest
            self.trace.note("FAULT", f"whoever waits is cancelled in {seconds:.3f} s")
        with anyio.move_on_after(seconds) as scope:
            yield scope

    def stall(self, one: str, other: str, seconds: float) -> None:
        """Nothing arrives between two processes for so long, in both directions."""
        for link in self._links_between(one, other):
            link.into.stall(seconds)

    def cut(self, one: str, other: str) -> None:
        """All connections between two processes break."""
        for link in self._links_between(one, other):
            self.trace.note("FAULT", f"{link.into.name}: cut by the scenario")
            link.cut()

    def heal(self) -> None:
        """The faults stop: what stood still goes on, what hangs raises, who is dead comes back at once."""
        if self.healed.is_set():
            return
        self.trace.note("world", "the faults stop")
        self.faults = Faults.NONE
        self.healed.set()
        self.network.heal()
        for process in tuple(self.processes.values()):
            if process.restarts:
                process.start()

    # -- for the parts of the simulation ----------------------------------------------------------

    def latency(self) -> float:
        """How long something takes to arrive."""
        return self.faults.delay * self.chance.random() ** 2

    def capacity(self) -> int:
        """Of a new connection."""
        return self.chance.choice(CAPACITIES)

    def violated(self, text: str) -> None:
        """Something is wrong. The seed fails at the end of this pass."""
        self.failed(Violation(text))

    def failed(self, exc: BaseException) -> None:
        """The same, with what was raised somewhere. The first one counts."""
        if self.failure is None:
            self.failure = exc
            self.trace.note("FAILED", f"{type(exc).__name__}: {exc}")

    def crash_soon(self, process: Process) -> None:
        """It dies, if it is one that may, and comes back after a while."""
        if process.restarts and process.is_alive:
            self.loop.call_soon(process.crash)
            self.loop.call_later(self.chance.random() ** 2 * self.faults.longest, process.start)

    def add_end(self, link: SimulatedLink, receiver: Receiver) -> None:
        """A driver has begun to use a link."""
        connection = link.connection
        assert connection is not None
        end = End(link, connection)
        self.watch.add(end)
        incoming = connection.incoming
        incoming.router = faulty(incoming.router, self, str(link.owner))
        if isinstance(receiver, Peer):
            end.peer = receiver
            receiver.when_closed(lambda peer: self._closed(end, peer))

    # -- inside --------------------------------------------------------------------------------------

    async def _opened(
        self,
        process: Process,
        block: Callable[[], AbstractAsyncContextManager[T]],
        begun: asyncio.Future[T],
        *,
        again: bool = True,
    ) -> T:
        """Open something in a process, and hold it there; again when the process comes back, if it is one of those things."""

        async def main() -> None:
            if begun.done() and not again:
                return
            try:
                async with block() as thing:
                    if not begun.done():
                        begun.set_result(thing)
                    await anyio.sleep_forever()
            except Exception as exc:
                if begun.done():
                    raise
                begun.set_exception(exc)

        def ended(task: asyncio.Task[object]) -> None:
            if not begun.done() and not process.restarts:
                begun.set_exception(ConnectFailed(self.url(process.name), "the process died meanwhile"))

        process.run(main).add_done_callback(ended)
        return await begun

    def _closed(self, end: End, peer: Peer) -> None:
        connection = end.connection
        assert connection.reason is not None
        try:
            check_reason(end)
        except Violation as exc:
            self.failed(exc)
        self.trace.note(f"{end.link.owner}", f"closed to {end.link.other.owner}: {connection.reason.value}")

    def _links_between(self, one: str, other: str) -> list[SimulatedLink]:
        names = {one, other}
        return [link for link in self.watch.ends if {link.owner.name, link.other.owner.name} == names]

    def _task_made(self, task: asyncio.Task[Any], context: contextvars.Context | None) -> None:
        process = context.get(current_process) if context is not None else current_process.get(None)
        if process is not None:
            process.tasks[task] = None
            task.add_done_callback(lambda task: process.tasks.pop(task, None))

    def _callback_failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        exc = context.get("exception")
        self.failed(exc if isinstance(exc, BaseException) else Violation(str(context.get("message"))))

    def _after_pass(self) -> None:
        if self.is_over:
            return
        if self.failure is not None:
            raise self.failure
        if self.loop.selector.passes > MOST_PASSES:
            raise Standstill(f"no end after {MOST_PASSES} passes of the loop, {self.now:.1f} s")
        self.watch.look(self.now)
