"""Handlers that are slow, raise or hang: put in front of the real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from duologue.protocol import Mode, Route, Router
from duologue_contrib.testing.simulation.errors import InjectedFault

if TYPE_CHECKING:
    from duologue_contrib.testing.simulation.world import World


class FaultyRoute(Route):
    """A route whose handler has what the faults of the seed give it, and is then the real one."""

    def __init__(self, route: Route, world: World, who: str) -> None:
        self.name = route.name
        self.ordered = route.ordered
        self.takes_permit = route.takes_permit
        self.wants_context = route.wants_context
        self._route = route
        self._world = world
        self._who = who

    async def run(self, payload: bytes, context: Any, answered: bool) -> Any:
        world = self._world
        chance, faults = world.chance, world.faults
        if faults.slow and chance.random() < faults.slow:
            seconds = chance.random() ** 3 * faults.longest
            world.trace.note("FAULT", f"{self._who}: {self.name} takes {seconds:.3f} s longer")
            with anyio.move_on_after(seconds):
                await world.healed.wait()
        if faults.fail and chance.random() < faults.fail:
            world.trace.note("FAULT", f"{self._who}: {self.name} raises")
            raise InjectedFault("the simulation has this handler fail")
        if faults.hang and chance.random() < faults.hang:
            world.trace.note("FAULT", f"{self._who}: {self.name} hangs")
            await world.healed.wait()
            raise InjectedFault("the simulation has let this handler hang")
        return await self._route.run(payload, context, answered)


def faulty(router: Router, world: World, who: str) -> Router:
    """The same services, but for what may befall handlers that run as tasks."""
    routes: dict[Route, FaultyRoute] = {}

    def find(sid: int) -> Route | None:
        route = router(sid)
        if route is None or route.mode is not Mode.TASK or not route.has_handler:
            return route
        if route not in routes:
            routes[route] = FaultyRoute(route, world, who)
        return routes[route]

    return find
