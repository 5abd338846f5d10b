"""Nothing stands still: random trees of calls and sends, with relays and without, and the patterns that stop simpler rules."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest
from tests.simulation import flow
from tests.simulation.flow import THE_RULES, Deadlock, Rules, Simulation, run
from tests.simulation.flow_plan import LinkPlan, Plan
from tests.simulation.flow_scripts import MAX_FRAME, Ask, Compute, Links, Script, Service, Tell

from duologue.protocol.connection import Connection
from duologue.protocol.events import RelayedCall, RelayedSend
from duologue.protocol.limits import KIB, MIB, Limits
from duologue.protocol.pending import OutgoingCall
from duologue.protocol.relaying import Relays

SEEDS = 250
BLOCK = 50

TWO = Links(2, ((0, 1),))
"""Two nodes: 0 has the end 0, and 1 the end 1."""


def limits(**changes: Any) -> Limits:
    """No timeout but for the ones that never come."""
    return Limits(
        max_frame=MAX_FRAME,
        call_timeout=None,
        send_timeout=None,
        frame_timeout=math.inf,
        answers_stalled=math.inf,
        requests_stalled=math.inf,
        given_up=math.inf,
        **changes,
    )


class Scripts:
    """Makes scripts, and keeps them."""

    def __init__(self) -> None:
        self.all: list[Script] = []

    def call(
        self,
        via: int,
        *steps: Ask | Tell | Compute,
        service: Service = Service.PLAIN,
        size: int = 0,
        answer: int = 0,
    ) -> Script:
        return self._add(Script(len(self.all), via, service, True, size, answer, list(steps), tolerant=False))

    def send(
        self, via: int, *steps: Ask | Tell | Compute, service: Service = Service.PLAIN, size: int = 0
    ) -> Script:
        return self._add(Script(len(self.all), via, service, False, size, 0, list(steps), tolerant=False))

    def chain(self, first: int, depth: int) -> Script:
        """Calls within calls, back and forth."""
        script = self.call((first + depth - 1) % 2)
        for level in reversed(range(depth - 1)):
            script = self.call((first + level) % 2, Ask((script,)))
        return script

    def _add(self, script: Script) -> Script:
        self.all.append(script)
        return script


def simulate(
    scripts: Scripts,
    roots: Sequence[Script],
    links: Links = TWO,
    *,
    seed: int = 0,
    link: int = 4 * KIB,
    **changes: Any,
) -> Simulation:
    """A run of these, with the same limits everywhere."""
    plan = Plan(
        links,
        [limits(**changes)] * links.nodes,
        scripts.all,
        [(links.node(script.via), script) for script in roots],
        link=LinkPlan(link),
    )
    return Simulation(seed, plan)


def run_seeds(seeds: Iterable[int], rules: Rules = THE_RULES) -> None:
    """Run them, to the first that fails."""
    for seed in seeds:
        try:
            run(seed, rules)
        except BaseException as error:
            error.add_note(f"python tests/simulation/flow.py --seeds 1 --first {seed}")
            raise


@pytest.mark.parametrize("first", range(0, SEEDS, BLOCK))
@pytest.mark.fault(37, 39)
def test_random_trees_of_calls_and_sends_come_to_an_end(first: int) -> None:
    """Random trees of calls and sends over tiny pipes with tiny limits: everything ends, and no timeout has to help."""
    run_seeds(range(first, first + BLOCK))


def test_the_same_seed_gives_the_same_run() -> None:
    """A seed gives the same run, step by step, in another process with other hashes too."""
    here = [run(seed).trace for seed in range(3)]
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    command = [sys.executable, flow.__file__, "--seeds", "3", "--traces"]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    assert output.splitlines()[:3] == [f"seed {seed}: trace {trace:08x}" for seed, trace in enumerate(here)]


# -- the patterns that stop simpler rules ------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.fault(39)
def test_weak_point_04_calls_back_and_forth_50_deep_at_limit_1(seed: int) -> None:
    """Handlers at both ends call back, 50 deep, where one call may run at a time: all are answered."""
    scripts = Scripts()
    simulation = simulate(scripts, [scripts.chain(0, 50), scripts.chain(1, 50)], seed=seed, link=64, calls=1)
    assert simulation.run().outcomes == {"answered": 100}


@pytest.mark.parametrize(
    ("lent", "owed", "depth"),
    [
        pytest.param(8, 1024, 40, id="over the limit of waiting handlers"),
        pytest.param(1024, 8, 40, id="over the limit of unanswered calls"),
        pytest.param(8, 8, 40, id="over both"),
        pytest.param(1024, 1024, 1200, id="over the default limits"),
    ],
)
def test_recursion_without_end_ends_in_overloaded(lent: int, owed: int, depth: int) -> None:
    """Calls back and forth deeper than the limits allow: the innermost raises `Overloaded`, and nothing stands still."""
    scripts = Scripts()
    roots = [scripts.chain(0, depth), scripts.chain(1, depth)]
    result = simulate(scripts, roots, calls=1, lent=lent, owed=owed).run()
    assert "answered" not in result.outcomes
    assert 2 <= result.counts["failed: HandlerFailed"] <= 2 * depth


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.fault(38)
def test_handlers_of_sends_call_back_while_sends_flood(seed: int) -> None:
    """A flood of sends whose handlers call back, with one slot for them: all run, all calls are answered."""
    scripts = Scripts()
    roots = [scripts.send(end, Ask((scripts.call(1 - end),))) for end in (0, 1) for _ in range(30)]
    result = simulate(
        scripts, roots, seed=seed, link=64, sends=1, calls=1, outbox_high=200, outbox_low=50
    ).run()
    assert result.outcomes == {"answered": 60}
    assert result.counts["sends delivered"] == 60


@pytest.mark.parametrize("seed", range(3))
def test_large_answers_in_both_directions(seed: int) -> None:
    """Answers of 1 MiB cross each other in a small pipe: no end stops reading because it can't write."""
    scripts = Scripts()
    roots = [scripts.call(end, answer=MIB) for end in (0, 1) for _ in range(5)]
    assert simulate(scripts, roots, seed=seed, link=64 * KIB, calls=2).run().outcomes == {"answered": 10}


@pytest.mark.parametrize("is_call", [pytest.param(False, id="sends"), pytest.param(True, id="calls")])
def test_weak_point_05_both_ends_push_100_mb_through_a_pipe_of_4_kib(is_call: bool) -> None:
    """Both ends write 100 MB at once into a pipe of 4 KiB: all arrives, and neither waits for the other for ever."""
    scripts = Scripts()
    make = scripts.call if is_call else scripts.send
    roots = [make(end, size=64 * KIB) for end in (0, 1) for _ in range(1600)]
    simulation = simulate(scripts, roots)
    simulation.plan.pieces = 0
    result = simulation.run()
    if is_call:
        assert result.outcomes == {"answered": 3200}
    else:
        assert result.counts["sends delivered"] == 3200


@pytest.mark.fault(46)
def test_the_permits_of_a_lost_connection_go_to_the_others() -> None:
    """One of the connections with a common budget dies while it holds all permits: the calls of the others run."""
    scripts = Scripts()
    links = Links(3, ((0, 1), (0, 2)))
    greedy = [scripts.call(1, Compute(10**9)) for _ in range(5)]
    others = [scripts.call(3) for _ in range(5)]
    plan = Plan(links, [limits(calls=3)] * 3, scripts.all, [(1, call) for call in greedy], shares_budget=True)
    simulation = Simulation(0, plan)
    holder, server = simulation.ends[0], simulation.ends[2]
    budget = server.connection.incoming.budget
    assert simulation.run_until(lambda: budget.in_use == 3)
    for call in others:
        simulation.begin(2, call)
    assert simulation.run_until(lambda: server.connection.incoming.parking.calls == 5)
    simulation.cut(holder)
    assert simulation.run_until(lambda: simulation.outcomes["answered"] == 5)
    assert (budget.in_use, budget.lent, budget.waiting) == (0, 0, 0)


# -- relays --------------------------------------------------------------------------------------------


LINE = Links(3, ((0, 1), (1, 2)), relays=True)
"""Node 1 relays between 0 and 2, whose ends are 0 and 3."""


def through(
    scripts: Scripts, first: int, *steps: Ask | Tell | Compute, is_call: bool = True, **fields: Any
) -> Script:
    """From one end of the line to the other, by way of the relay in its middle."""
    script = scripts.call(first, *steps, **fields) if is_call else scripts.send(first, *steps, **fields)
    script.relays = (2,) if first == 0 else (1,)
    return script


def relayed_chain(scripts: Scripts, first: int, depth: int) -> Script:
    """Calls within calls, back and forth through the relay."""
    ends = (0, 3) if first == 0 else (3, 0)
    script = through(scripts, ends[(depth - 1) % 2])
    for level in reversed(range(depth - 1)):
        script = through(scripts, ends[level % 2], Ask((script,)))
    return script


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.fault(39, 77)
def test_calls_back_and_forth_through_a_relay(seed: int) -> None:
    """Handlers at both ends of a relay call back through it, 40 deep, with one permit each, and one call that may be owed
    to others: all are answered, as the relay lets pass what may be needed for an answer."""
    scripts = Scripts()
    roots = [relayed_chain(scripts, end, 40) for end in (0, 3)]
    result = simulate(scripts, roots, LINE, seed=seed, link=64, calls=1, owed=50, parked=1).run()
    assert result.outcomes == {"answered": 80}


@pytest.mark.parametrize("seed", range(5))
def test_recursion_through_a_relay_without_end(seed: int) -> None:
    """Deeper than the relay's limits: the innermost call is refused, and all of it comes back. Nothing stands still."""
    scripts = Scripts()
    roots = [relayed_chain(scripts, end, 60) for end in (0, 3)]
    result = simulate(scripts, roots, LINE, seed=seed, calls=1, owed=4, parked=2).run()
    assert "answered" not in result.outcomes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.fault(38)
def test_floods_through_a_relay_in_both_directions(seed: int) -> None:
    """Both ends flood each other through a relay, with calls and one-way messages: all calls are answered, no message is lost."""
    scripts = Scripts()
    roots = [
        through(scripts, end, Compute(2), is_call=is_call, size=90)
        for end in (0, 3)
        for _ in range(40)
        for is_call in (True, False)
    ]
    result = simulate(
        scripts,
        roots,
        LINE,
        seed=seed,
        link=64,
        calls=1,
        sends=2,
        owed=2,
        parked=2,
        outbox_high=200,
        outbox_low=50,
    ).run()
    assert result.outcomes == {"answered": 80}
    assert result.counts["sends delivered"] == 80


def behind_a_relay(seed: int) -> Simulation:
    """A call whose handler asks back for the turn; whoever has the turn asks by way of a relay where just one call may be owed."""
    scripts = Scripts()
    roots = [
        through(scripts, 3, Ask((through(scripts, 0, service=Service.ORDERED),))),
        through(scripts, 0, Ask((through(scripts, 3),)), is_call=False, service=Service.ORDERED),
    ]
    return simulate(scripts, roots, LINE, seed=seed, link=64, calls=1, owed=1, parked=5)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.fault(39)
def test_a_turn_that_is_waited_for_through_a_relay(seed: int) -> None:
    """Whoever has the turn is not held up at the relay by those who wait for the turn, though it asked before they did."""
    assert behind_a_relay(seed).run().outcomes == {"answered": 3}


@pytest.mark.fault(77)
def test_calls_that_cross_in_a_ring_of_relays_stand_still() -> None:
    """In a ring of three relays each call holds the room that the next one waits for: only time-outs end that. This is why the
    random runs have trees, and why the documentation says not to build rings."""
    scripts = Scripts()
    ring = Links(3, ((0, 1), (1, 2), (2, 0)), relays=True)
    roots = []
    for first, second in ((0, 2), (2, 4), (4, 0)):
        for _ in range(20):
            script = scripts.call(first)
            script.relays = (second,)
            roots.append(script)
    with pytest.raises(Deadlock, match="waits for the answer"):
        simulate(scripts, roots, ring, owed=1, parked=50).run()


# -- the lane ------------------------------------------------------------------------------------------


def ordered(scripts: Scripts, numbers: Sequence[int]) -> list[int]:
    """Those of them that go to an ordered service."""
    return [number for number in numbers if scripts.all[number].is_ordered]


@pytest.mark.parametrize("seed", range(5))
def test_ordered_handlers_that_call_back(seed: int) -> None:
    """Ordered handlers that call back, as many as the lane has room for: they run in order, and none is lost."""
    scripts = Scripts()
    make = (scripts.send, scripts.call)
    roots = [
        make[n % 2](end, Ask((scripts.call(1 - end),)), service=Service.ORDERED)
        for end in (0, 1)
        for n in range(20)
    ]
    simulation = simulate(scripts, roots, seed=seed, link=64, calls=1, sends=20, parked=20)
    result = simulation.run()
    assert result.outcomes == {"answered": 60}
    for end in simulation.ends:
        assert len(ordered(scripts, end.started)) == 20
        assert ordered(scripts, end.started) == ordered(scripts, end.other.requested)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param(lambda _: [Compute(5)], id="that run for a while"),
        pytest.param(lambda scripts: [Ask((scripts.call(2),))], id="that wait for another connection"),
    ],
)
@pytest.mark.parametrize("service", [Service.PLAIN, Service.ORDERED])
@pytest.mark.fault(38)
def test_a_flood_of_sends_loses_nothing(
    service: Service, steps: Callable[[Scripts], list[Compute | Ask]]
) -> None:
    """A flood of sends to handlers that don't need their sender: reading pauses, and all of them run."""
    scripts = Scripts()
    links = Links(3, ((0, 1), (1, 2)))
    roots = [scripts.send(0, *steps(scripts), service=service, size=90) for _ in range(40)]
    counts = simulate(scripts, roots, links, link=64, sends=2, outbox_high=200, outbox_low=50).run().counts
    assert counts["sends delivered"] == 40
    assert counts["failed: Dropped"] == 0


@pytest.mark.parametrize("seed", range(5))
def test_a_flood_of_ordered_sends_whose_handlers_call_back(seed: int) -> None:
    """A flood of ordered sends behind one that waits for an answer: what the lane can't hold is dropped and reported,
    for the answer is behind it, and the rest runs in order.
    """
    scripts = Scripts()
    roots = [
        scripts.send(end, Ask((scripts.call(1 - end),)), service=Service.ORDERED)
        for end in (0, 1)
        for _ in range(30)
    ]
    simulation = simulate(scripts, roots, seed=seed, sends=2, calls=1)
    counts = simulation.run().counts
    assert counts["sends delivered"] + counts["failed: Dropped"] == 60
    for end in simulation.ends:
        begun = ordered(scripts, end.started)
        assert begun == [number for number in ordered(scripts, end.other.requested) if number in begun]


@pytest.mark.parametrize("seed", range(5))
def test_ordered_handlers_that_send_back(seed: int) -> None:
    """Ordered handlers at both ends wait for room to send, behind floods of ordered sends: both ends read on."""
    scripts = Scripts()
    roots = [
        scripts.send(end, Tell(scripts.send(1 - end, size=900)), service=Service.ORDERED, size=90)
        for end in (0, 1)
        for _ in range(30)
    ]
    counts = (
        simulate(scripts, roots, seed=seed, link=64, sends=2, outbox_high=200, outbox_low=50).run().counts
    )
    assert counts["sends delivered"] + counts["failed: Dropped"] == counts["sends"]


@pytest.mark.parametrize("seed", range(5))
def test_ordered_sends_behind_ordered_calls_whose_answers_wait(seed: int) -> None:
    """The unsent answers of ordered calls hold back further ones, and the sends behind those, at both ends: both read on."""
    scripts = Scripts()
    roots = []
    for _ in range(30):
        for end in (0, 1):
            roots += [
                scripts.call(end, service=Service.ORDERED, answer=900),
                scripts.send(end, service=Service.ORDERED, size=90),
            ]
    result = simulate(scripts, roots, seed=seed, link=64, sends=1, outbox_high=200, outbox_low=50).run()
    counts = result.counts
    assert counts["sends delivered"] + counts["failed: Dropped"] == 60
    assert result.outcomes.total() == 60


# -- the test of the test ------------------------------------------------------------------------------


def pause_also(connection: Connection, when: Callable[[], bool]) -> None:
    """Break the rule when reading pauses."""
    intake = connection._intake
    must_pause = intake._must_pause
    intake._must_pause = lambda: must_pause() or when()  # type: ignore[method-assign]


class ReaderWaitsForGate(Connection):
    """Who can't write its answers doesn't read."""

    @property
    def wants_read(self) -> bool:
        return super().wants_read and self.outbox.gated_since is None


class ReaderWaitsForParking(Connection):
    """Who can park no further call doesn't read, even if answers are on the way."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        pause_also(self, lambda: self.incoming.parking.is_full)


class ReaderWaitsForLane(Connection):
    """Who has no place for a further ordered send doesn't read, whatever the lane waits for."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        pause_also(self, lambda: self.incoming.sends.is_full)


class HandlersWaitForAnswersToOthers(Connection):
    """Calls made in handlers wait like any other for a place among the unanswered ones."""

    def call(
        self, sid: int, payload: bytes, deadline: float | None, now: float, nested: bool = False
    ) -> OutgoingCall:
        return super().call(sid, payload, deadline, now)


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(Rules(handlers_lend=False), id="handlers that wait keep their permits"),
        pytest.param(Rules(tells_of_permits=False), id="nobody is told of a free permit"),
        pytest.param(Rules(tells_of_work=False), id="nobody is told of what a relay has done"),
        *(
            pytest.param(Rules(connection), id=connection.__name__)
            for connection in (
                ReaderWaitsForGate,
                ReaderWaitsForParking,
                ReaderWaitsForLane,
                HandlersWaitForAnswersToOthers,
            )
        ),
    ],
)
def test_a_broken_rule_is_found(rules: Rules) -> None:
    """Each rule is needed: without it some seed stands still, and the simulation says who waits for what."""
    with pytest.raises(Deadlock, match="waits for"):
        run_seeds(range(400), rules)


class NestedOnlyAtHome(Relays):
    """A relay makes every call wait for the answers to others, as if none were made in a handler."""

    def _relay_call(self, call: RelayedCall, now: float) -> None:
        if not call.target._outgoing.relay(call, False, now):
            self._incoming.parking.hold(call)


class WaitsUncounted(Relays):
    """Calls that wait for room at the other connection count nowhere."""

    def _relay_call(self, call: RelayedCall, now: float) -> None:
        call.target._outgoing.relay(call, self._outgoing.pending.owed > 0, now)

    def has_room(self, call: RelayedCall) -> None:
        self.on_work()


class RelayTellsNobody(Relays):
    """A one-way message that found room gives back its slot, and nobody looks whether reading may go on."""

    def sent(self, send: RelayedSend, now: float) -> None:
        self._requests.release(send, now)


@pytest.mark.parametrize(
    "broken", [NestedOnlyAtHome, WaitsUncounted, RelayTellsNobody], ids=lambda each: each.__name__
)
def test_a_broken_rule_of_relays_is_found(broken: type[Relays], monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules for relays are needed, too: without one some seed stands still, or goes over a bound."""
    for name in ("_relay_call", "has_room", "sent"):
        monkeypatch.setattr(Relays, name, getattr(broken, name))
    with pytest.raises((Deadlock, AssertionError)):
        run_seeds(range(400))


def test_a_relay_that_decides_once_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether calls may have to wait for others must be looked at again, when an answer is owed that was not before."""
    monkeypatch.setattr(Relays, "hurry", lambda self, now: None)
    with pytest.raises(Deadlock, match="waits for"):
        for seed in range(10):
            behind_a_relay(seed).run()


def test_by_hand(capsys: pytest.CaptureFixture[str]) -> None:
    """`python tests/simulation/flow.py` runs seeds, counts, and says at its end how many passed."""
    assert flow.main(["--seeds", "2", "--first", "7"]) == 0
    assert capsys.readouterr().out.endswith("\n2 passed, 0 failed\n")
