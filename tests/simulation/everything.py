"""The large simulation: `python tests/simulation/everything.py --seeds 1000`, or `make simulate`.

Servers, relays, publishers, shared budgets and clients of all kinds, drawn from the seed, with narrow limits and narrow wires.
In every fourth world the network does nothing bad: there no call may time out.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

if not __package__:
    # Run as a file: Python put its folder on the path. What is needed there is the folder that holds `tests`.
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

import anyio
from tests.arguments import positive
from tests.simulation.everything_clients import Client
from tests.simulation.everything_services import Journal, services_of, ticker, work

from duologue import (
    CallBudget,
    ConnectFailed,
    LeastOutstanding,
    Limits,
    Peer,
    PubSub,
    RelayMap,
    RelayRequest,
    RoundRobin,
    connect,
    serve,
)
from duologue_adapters.observers import LogLimit
from duologue_contrib.testing.simulation import Faults, Outcome, SimulationFailed, World, simulate

CALM = Faults(delay=0.002, split=0.5)
"""Nothing bad, and wires that are fast enough that everything is done long before its time-out."""

CALM_EVERY = 4
"""Of so many worlds one is calm."""

PART = 100
"""Seeds that a process gets at once."""

DELIVERY = 30.0
"""Seconds of virtual time in which all that was sent in a calm world has long been handled."""

LONGEST = 400.0
"""Seconds of virtual time after which the clients are left to themselves: the faults stop."""


def limits_of(world: World, max_frame: int, calm: bool) -> Limits:
    """Narrow ones, so that little is needed to reach them."""
    choice = world.random.choice
    high = choice((200, 1000, 8000))
    return Limits(
        max_frame=max_frame,
        calls=choice((1, 1, 2, 5, 100)),
        lent=choice((2, 10, 100)),
        parked=choice((1, 3, 100)),
        sends=choice((1, 3, 100)),
        sends_policy=choice(("pause", "pause", "drop")),
        owed=choice((1, 2, 10, 1000)),
        waiting=choice((20, 1000)),
        outbox_high=high,
        outbox_low=high // 4,
        call_timeout=200.0 if calm else choice((5.0, 30.0)),
        send_timeout=200.0 if calm else choice((5.0, 30.0)),
        frame_timeout=choice((5.0, 30.0)),
        eof_grace=choice((0.0, 0.0, 2.0)),
        given_up=choice((10.0, 60.0)),
        observer_queue=choice((1, 3, 100)),
        strays=choice((5, 100)),
    )


@dataclass
class Play:
    """One world, and what is in it."""

    world: World
    journal: Journal
    calm: bool

    def __post_init__(self) -> None:
        world = self.world
        self.max_frame = world.random.choice(
            (600, 2000, 4000)
        )  # of all: they can't agree on one by themselves
        self.services = services_of(self.journal)
        self.ticks = PubSub(ticker)
        self.budget = CallBudget(world.random.choice((1, 3, 10)), lent_limit=world.random.choice((5, 50)))
        self.servers: list[str] = []
        """Whom clients connect to: servers, and relays before them."""
        self.providers: tuple[str, ...] = ()
        """Those of them that are no relays."""
        self.ends = 0
        self.all_ended = anyio.Event()

    def settings(self) -> dict[str, Any]:
        """For one `serve` or `connect`."""
        shares = self.world.random.random() < 0.5
        limits = limits_of(self.world, self.max_frame, self.calm)
        return {"limits": limits, "budget": self.budget if shares else None, "wireformat": "json"}

    async def run(self) -> None:
        """Begin everything, and wait until the clients have done what they wanted to."""
        random, world = self.world.random, self.world
        for number in range(random.choice((1, 1, 2, 3))):
            name = f"server{number}"
            self.servers.append(name)
            policy = random.choice(("drop_oldest", "drop_newest", "close"))

            def greet(peer: Peer, policy: Any = policy) -> None:
                self.ticks.subscribe(peer, queue=3, policy=policy)

            publishes = random.random() < 0.5
            await world.serve(
                name, [self.services, self.ticks], on_peer=greet if publishes else None, **self.settings()
            )
        self.providers = providers = tuple(self.servers)
        for number in range(random.choice((0, 1, 1, 2))):
            name = f"relay{number}"
            self.servers.append(name)
            process = world.process(name)
            process.restarts = True
            process.run(self._relay(name, random.sample(providers, random.randint(1, len(providers)))))
        clients = [Client(self, f"client{number}") for number in range(random.randint(1, 4))]
        self.ends = len(clients)
        for client in clients:
            process = world.process(client.name)
            process.restarts = random.random() < 0.3
            process.run(client.run)
        with anyio.move_on_after(LONGEST):
            await self.all_ended.wait()

    def client_ended(self) -> None:
        """One less."""
        self.ends -= 1
        if self.ends <= 0:
            self.all_ended.set()

    def _relay(self, name: str, providers: list[str]) -> Callable[[], Awaitable[None]]:
        """The main function of a relay: it connects to providers, again when they were lost, and serves what they do."""
        random, world = self.world.random, self.world
        balancer = random.choice((RoundRobin, LeastOutstanding))()
        settings = self.settings()

        async def pick(request: RelayRequest) -> Peer | None:
            await anyio.sleep(world.latency())
            return balancer(request)

        target = random.choice((balancer, pick))
        relayed = RelayMap(target, work, timeout=random.choice((5.0, 60.0)) if not self.calm else 200.0)

        async def keep(provider: str) -> None:
            while True:
                try:
                    async with connect(world.url(provider), self.services, name=provider, **settings) as peer:
                        balancer.add(peer)
                        await peer.wait_closed()
                except ConnectFailed:
                    pass
                await anyio.sleep(1.0)

        async def main() -> None:
            async with serve(world.url(name), [relayed, self.ticks], **settings):
                async with anyio.create_task_group() as group:
                    for provider in providers:
                        group.start_soon(keep, provider)

        return main


def check(play: Play) -> None:
    """What must be so whatever happened."""
    world, journal = play.world, play.journal
    if play.calm:
        late = {name: count for name, count in journal.outcomes.items() if "Timeout" in name}
        assert not late, f"nothing was slow, and yet: {late}"
        lost = [token for token in journal.sent if token not in journal.begun]
        dropped = sum(end.connection.incoming.calls.dropped for end in world.watch.ends.values())
        told = world.trace.text.count(
            "one-way message) of"
        )  # as by a relay to which nobody had come who could handle it
        assert len(lost) <= dropped + told, f"sent, and neither handled nor dropped: {lost}"
    if world.has_corrupted:
        return  # a call may have become another one on its way
    twice = [token for token, count in journal.begun.items() if count > 1]
    assert not twice, f"begun more than once: {twice}"
    untrue = [token for token in journal.not_executed if token in journal.begun]
    assert not untrue, f"said to be not executed, and their handlers have begun: {untrue}"
    assert not journal.overlapping, f"begun while others had the turn: {journal.overlapping}"
    places = {token: place for place, token in enumerate(journal.begun)}
    for lane in journal.lanes:
        begun = [token for token in lane if token in places]
        assert begun == sorted(begun, key=places.__getitem__), (
            f"sent in the order of {begun}, and begun in another"
        )
    missing = [token for token in journal.executed if token not in journal.begun]
    assert not missing, f"said to be executed, and their handlers never began: {missing}"


def faults_of(seed: int) -> Faults:
    """Of the world of a seed."""
    return CALM if seed % CALM_EVERY == 0 else Faults.HARSH


def run(seed: int, play_of: Callable[[World, Journal, bool], Play] = Play) -> Outcome:
    """The world of a seed. Raises `SimulationFailed`."""

    async def scenario(world: World) -> None:
        play = play_of(world, Journal(), seed % CALM_EVERY == 0)
        await play.run()
        if play.calm:
            await world.sleep(DELIVERY)
        check(play)

    with patch.object(LogLimit, "PER_SECOND", sys.maxsize):  # `check` counts what the log was told
        return simulate(
            scenario,
            seed,
            faults=faults_of(seed),
            # Relays wait as long, where the answer was lost by corruption.
            patience=None if seed % CALM_EVERY == 0 else 60.0,
            eager=seed % 2 == 1 or seed % 8 == 0,
            in_turns=seed % 3 == 0,
            replay=f"python tests/simulation/everything.py --first {seed} --seeds 1 --trace",
        )


def run_many(seeds: range) -> tuple[int, list[str]]:
    """Seeds of one process: how often the loop went round, and what failed."""
    passes, failures = 0, []
    for seed in seeds:
        try:
            passes += run(seed).passes
        except SimulationFailed as failed:
            failures.append(str(failed))
    return passes, failures


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=positive, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes to run them in")
    parser.add_argument("--trace", action="store_true", help="print all that happened, of each")
    options = parser.parse_args(arguments)
    seeds = range(options.first, options.first + options.seeds)
    if options.trace:
        return _show(seeds)
    began = time.monotonic()
    parts = [seeds[start : start + PART] for start in range(0, len(seeds), PART)]
    passes = failed = 0
    # Ctrl-C ends those processes at once: they would go on with what they have in store.
    with ProcessPoolExecutor(
        options.jobs, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_DFL)
    ) as pool:
        try:
            for more, failures in pool.map(run_many, parts):
                passes += more
                failed += len(failures)
                for text in failures:
                    print(text, end="\n\n", flush=True)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            print(f"stopped, {failed} failed until then", flush=True)
            return 130
    print(f"{passes:,} passes of the loop, {time.monotonic() - began:.1f} s")
    print(f"{len(seeds) - failed} passed, {failed} failed")
    return 1 if failed else 0


def _show(seeds: range) -> int:
    failed = 0
    for seed in seeds:
        try:
            outcome = run(seed)
        except SimulationFailed as exc:
            failed += 1
            print(exc.trace, f"\n{exc.cause!r}")
        else:
            print(outcome.trace, f"\nseed {seed}, trace {outcome.digest}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
