"""What the simulation has found, one world for each."""

from __future__ import annotations

import anyio
import pytest
from tests.simulation.everything_services import Journal, Nap, Tell, services_of, work

from duologue import CallError, Limits, Services
from duologue_contrib.testing.simulation import Faults, World, simulate


@pytest.mark.fault(40)
def test_reading_goes_on_when_refusals_are_handed_out() -> None:
    """Reading stood still for refusals that were not handed to the transport (F4), and went on only when the transport had taken
    them, which a remote that does not read can put off for as long as it likes. It goes on when they are handed out."""
    journal = Journal()
    told: list[float] = []

    async def play(world: World) -> None:
        world.capacity = lambda: 4096
        services = services_of(journal)
        tight = Limits(calls=1, parked=1, owed=1, max_frame=2000)
        server = await world.serve("server", services, limits=tight)
        slow = Services(work)

        @slow.handler
        async def nap(message: Nap) -> int:
            await anyio.sleep(message.seconds)
            return message.token

        peer = await world.connect("client", "server", slow)
        (other,) = server.peers
        for link in world.watch.ends:
            if link.owner.name == "server":
                link.out.capacity = 64  # full with the first refusal
        remote = peer.remote(work)

        async def call(message: Nap) -> None:
            try:
                await remote.call(message)
            except CallError:
                pass

        async with anyio.create_task_group() as group:
            # The server is owed an answer, so it refuses calls for which it has no room, and reads on.
            group.start_soon(other.remote(work).call, Nap(token=1, seconds=20.0))
            group.start_soon(call, Nap(token=2, seconds=5.0))  # has the permit
            await world.sleep(1.0)
            world.process("client").freeze(1.0)
            for token in (3, 4):  # one is parked, the other refused, which fills the transport
                group.start_soon(call, Nap(token=token, seconds=5.0))
            await world.sleep(0.1)
            for token in (
                5,
                6,
                7,
            ):  # refused, and not handed out: more than there may be of them, so reading stands still
                group.start_soon(call, Nap(token=token, seconds=5.0))
            world.faults = Faults(delay=0.1)
            await world.sleep(0.9 + 1e-9)
            world.process("client").freeze(
                10.0
            )  # it has read the first refusal: the others are handed out, and stay there
            await remote.send(Tell(token=8))
            await world.sleep(1.0)
            told.append(journal.begun[8])

    simulate(play, 0, faults=Faults.NONE)
    assert told == [1]
