"""The adapter `sim://name`: connections of a simulation. It is there only while one runs."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from duologue import ConnectFailed, PeerSettings, ServerSettings
from duologue_adapters import Engine, Link, LinkAdapter, Listener, Waiter
from duologue_contrib.testing.simulation.links import Place, SimulatedLink
from duologue_contrib.testing.simulation.processes import Process, current_process

if TYPE_CHECKING:
    from duologue_contrib.testing.simulation.world import World


class SimulatedListener(Listener):
    """A name that others can connect to, until the process behind it dies."""

    def __init__(self, network: Network, name: str, place: Place) -> None:
        self.url = f"sim://{name}"
        self.place = place
        self._network = network
        self._links: deque[Link] = deque()
        self._waiter: Waiter | None = None

    async def accept(self) -> Link:
        while not self._links:
            self._waiter = self.place.engine.waiter()
            await self._waiter
        return self._links.popleft()

    def add(self, link: Link) -> None:
        """One has come."""
        self._links.append(link)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def close(self) -> None:
        self._network.close(self)
        for link in self._links:
            link.abort()
        self._links.clear()


class Network(LinkAdapter):
    """Who listens where."""

    schemes = ("sim",)

    def __init__(self, world: World) -> None:
        self._world = world
        self._listeners: dict[str, SimulatedListener] = {}
        self.links: list[SimulatedLink] = []
        """All that ever were and have not ended."""

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        world = self._world
        name = url.removeprefix("sim://")
        await asyncio.sleep(world.latency())
        listener = self._listeners.get(name)
        if listener is None:
            known = ", ".join(sorted(self._listeners)) or "none"
            raise ConnectFailed(url, f"nobody serves that name now; served are: {known}")
        here = Place(engine, current_process.get(), settings.limits.max_frame)
        near, far = SimulatedLink.pair(world, here, listener.place, world.capacity())
        self.links = [link for link in self.links if not link.is_lost] + [near, far]
        world.trace.note(f"{near.owner} > {far.owner}", "connects")
        listener.add(far)
        return near

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        name = url.removeprefix("sim://")
        if name in self._listeners:
            raise ConnectFailed(url, "the name is served already: choose another")
        place = Place(engine, current_process.get(), settings.limits.max_frame)
        listener = self._listeners[name] = SimulatedListener(self, name, place)
        self._world.trace.note(name, f"is served by {place.owner}")
        return listener

    def close(self, listener: SimulatedListener) -> None:
        """Nobody listens there any more."""
        name = listener.url.removeprefix("sim://")
        if self._listeners.get(name) is listener:
            del self._listeners[name]

    def forget(self, process: Process) -> None:
        """A process has died: its names are free."""
        for listener in tuple(self._listeners.values()):
            if listener.place.owner is process:
                self.close(listener)

    def heal(self) -> None:
        """Nothing stands still any more."""
        for link in self.links:
            link.owner.frozen_until = 0.0
        for link in self.links:
            link.into.heal()
