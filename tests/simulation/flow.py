"""The random test of the flow rules: `python tests/simulation/flow.py --seeds 5000`.

Everything that can happen next is in one list: a link moves some bytes, a driver looks at its connection, a handler
takes a step. One of them is chosen at random, until the list is empty. There is no timeout that could help out, so
whatever has not ended then never will: a deadlock. The same seed gives the same run, step by step.

In some of the runs nodes relay for others. They form a line, a star or a tree, and never a ring: a ring of relays may stand
still until a time-out (docs/relay.md), and here nothing times out.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random

if not __package__:
    # Run as a file: Python put its folder on the path. What is needed there is the folder that holds `tests`.
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from tests.simulation.flow_checks import check_end, check_finished, check_sends, describe_deadlock
from tests.simulation.flow_ends import ROUTES, End, FlowRelayRoute, Hooks, Running, error_bodies, number_of
from tests.simulation.flow_plan import Plan, random_plan
from tests.simulation.flow_scripts import RELAYED, Ask, Compute, Script, Tell
from tests.simulation.flow_tasks import Cancelled, HandlerFailed, Steps, Task

from duologue.protocol.budget import CallBudget
from duologue.protocol.connection import Connection
from duologue.protocol.errors import CallError, DuologueError
from duologue.protocol.events import IncomingRequest
from duologue.protocol.room import NESTED_SHARE
from duologue.protocol.routes import Route


class Deadlock(Exception):
    """Nothing can move, and something has not ended. The text says who waits for what."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules as they are. A test of the test breaks one of them, and expects deadlocks."""

    connection: type[Connection] = Connection
    handlers_lend: bool = True
    tells_of_permits: bool = True
    tells_of_work: bool = True


THE_RULES = Rules()


@dataclass(slots=True)
class Result:
    """What came of a run."""

    steps: int
    trace: int
    outcomes: Counter[str]
    """How the calls ended."""
    counts: Counter[str]


class Simulation:
    """One run."""

    def __init__(self, seed: int, plan: Plan, rules: Rules = THE_RULES) -> None:
        self.plan = plan
        self.rules = rules
        self.steps = 0
        self.trace = 0
        self.outcomes: Counter[str] = Counter()
        self.ready: list[Task] = []
        self.tasks: dict[Task, None] = {}
        """All that have not ended."""
        self.ends: list[End] = []
        self.budgets: dict[End, tuple[CallBudget, list[End]]] = {}
        self.touched: dict[End, None] = {}
        """Ends to which something happened in this step."""
        self.largest = max((24 + 4 + max(s.size, s.answer) for s in plan.scripts), default=0)
        self._rng = Random(f"schedule {seed}")
        self._make_ends()
        for node, script in plan.roots:
            self.begin(node, script)

    # -- running -------------------------------------------------------------------------------

    def begin(self, node: int, script: Script) -> None:
        """A node calls or sends, from outside of all handlers."""
        steps = self._ask(script, None) if script.is_call else self._tell(script, None)
        self._add_task(f"node {node}, from outside: {script}", steps)

    def run(self) -> Result:
        """Until nothing can move. Raises `Deadlock`, or `AssertionError` when an invariant does not hold."""
        while self.step():
            pass
        if self.tasks or any(
            end.running or end.waiting or end.connection.incoming.running for end in self.ends
        ):
            raise Deadlock(describe_deadlock(self.ends, list(self.tasks)))
        for end in self.ends:
            check_end(end, self.budgets[end], self.largest)
            check_finished(end)
        counts = sum((end.counts for end in self.ends), Counter[str]())
        check_sends(self.ends, has_relays=self.plan.links.relays)
        return Result(self.steps, self.trace, self.outcomes, counts)

    def run_until(self, condition: Callable[[], bool]) -> bool:
        """Until something is so. False if nothing can move before."""
        while not condition():
            if not self.step():
                return False
        return True

    def step(self) -> bool:
        """One random thing happens. False if nothing can."""
        possible = self._possible()
        if not possible:
            return False
        rng = self._rng
        self.steps += 1
        kind, things = rng.choices([one[1:] for one in possible], [one[0] for one in possible])[0]
        thing = things[int(rng.random() * len(things))]
        self.trace = zlib.crc32(f"{kind} {thing.name}".encode(), self.trace)
        if self.plan.cancels and rng.random() < self.plan.cancels:
            self._cancel_someone(rng.choice(self.ends))
        if isinstance(thing, Task):
            self.ready.remove(thing)
            self._step_task(thing)
        else:
            self._move(kind, thing)
        for end in self.touched:
            check_end(end, self.budgets[end], self.largest)
        self.touched.clear()
        return True

    def now(self) -> float:
        """Time goes by with the steps; nothing waits for it."""
        return self.steps * 0.001

    def cut(self, end: End) -> None:
        """A link breaks: both ends learn it, and what was on its way is gone."""
        for one in (end, end.other):
            one.counts["cut"] += 1
            one.pipe.clear()
            one.unsent = memoryview(b"")
            one.connection.transport_lost("cut", self.now())
            one.drive()

    # -- inside: the schedule ----------------------------------------------------------------------

    def _possible(self) -> list[tuple[float, str, Sequence[End | Task]]]:
        """What can happen next: how likely, of which kind, and to whom."""
        writes: list[End] = []
        reads: list[End] = []
        drives: list[End] = []
        for end in self.ends:
            if end.unsent and len(end.pipe) < end.capacity:
                writes.append(end)
            if end.is_reading and end.other.pipe:
                reads.append(end)
            if end.is_scheduled:
                drives.append(end)
        things: tuple[Sequence[End | Task], ...] = (writes, reads, drives, self.ready)
        return [one for one in zip(self.plan.weights, _KINDS, things, strict=True) if one[2]]

    def _move(self, kind: str, end: End) -> None:
        if kind != "write":
            self.touched[end] = None
        if kind == "drive":
            end.drive()
            return
        capacity = end.capacity
        size = 1 + int(self._rng.random() * capacity) if self._rng.random() < self.plan.pieces else capacity
        self.trace = zlib.crc32(size.to_bytes(4, "little"), self.trace)
        if kind == "write":
            end.push(size)
        else:
            end.pull(size)

    def _step_task(self, task: Task) -> None:
        if not task.step():
            del self.tasks[task]

    def _cancel_someone(self, end: End) -> None:
        waiters = [waiter for waiter in end.waiting if not waiter.is_abandoned]
        if waiters:
            end.cancel(self._rng.choice(waiters))

    def _add_task(self, name: str, steps: Steps) -> Task:
        task = Task(name, steps, self.ready)
        self.tasks[task] = None
        return task

    # -- inside: handlers -----------------------------------------------------------------------------

    def _start(self, end: End, request: IncomingRequest) -> None:
        script = self.plan.scripts[number_of(request.payload)]
        assert request.payload == script.request_payload
        assert request.sid == script.sid
        assert end is self.ends[script.hops[-1] ^ 1]
        running = Running(end, request, script, lends=self.rules.handlers_lend)
        end.begin_request(running)
        running.task = task = self._add_task(f"{end} handles {script}", self._handle(running))
        if self.plan.starts_at_once:
            self.ready.remove(task)
            self._step_task(task)

    def _route(self, end: int, sid: int) -> Route | None:
        """Where a service id leads that came in at an end."""
        if sid < RELAYED:
            return ROUTES.get(sid)
        script = self.plan.scripts[sid - RELAYED]
        place = script.hops.index(end ^ 1) + 1
        if place < len(script.hops):
            self.ends[end].counts["relayed"] += 1
            return FlowRelayRoute(script, self.ends[script.hops[place]])
        return ROUTES.get(script.service)

    def _pick(self, end: End, request: IncomingRequest) -> None:
        """Find out where it is to be relayed, at once or in its time."""
        route = request.route
        assert isinstance(route, FlowRelayRoute)
        end.picking[request] = None
        if not route.script.picks:
            end.relay(request)
            return
        task = self._add_task(
            f"{end} picks for {route.script}", self._look_for_target(end, request, route.script)
        )
        end.picking[request] = task

    def _look_for_target(self, end: End, request: IncomingRequest, script: Script) -> Steps:
        for _ in range(script.picks):
            yield None
        end.relay(request)

    def _cancel(self, end: End, request: IncomingRequest) -> None:
        task = end.running[request].task
        assert task is not None
        task.cancel()

    def _handle(self, running: Running) -> Steps:
        script = running.script
        outcome: bytes | BaseException
        try:
            for step in script.steps:
                match step:
                    case Compute(turns):
                        for _ in range(turns):
                            yield None
                    case Ask((call,)):
                        yield from self._ask(call, running)
                    case Ask(calls):
                        tasks = [
                            self._add_task(
                                f"{running.end} handles {script}, beside", self._ask(call, running)
                            )
                            for call in calls
                        ]
                        for task in tasks:
                            yield task.ended
                    case Tell(send):
                        yield from self._tell(send, running)
            if script.fails:
                raise HandlerFailed
            outcome = script.answer_payload
        except (DuologueError, HandlerFailed, Cancelled) as error:
            outcome = error
        running.end.end_request(running.request, outcome)

    def _ask(self, script: Script, running: Running | None) -> Steps:
        """A call: what the driver's `call_raw` does."""
        try:
            if running is not None:
                running.lend()
            try:
                handled = None if running is None else running.request
                waiter = self.ends[script.via].call(script, self.plan.deadline, handled)
                answer = yield waiter
            finally:
                if running is not None:
                    running.unlend()
        except (CallError, Cancelled) as error:
            self.outcomes[str(error)[:60] or "cancelled"] += 1
            if running is not None and not running.script.tolerant:
                raise
        else:
            assert answer == script.answer_payload
            self.outcomes["answered"] += 1

    def _tell(self, script: Script, running: Running | None) -> Steps:
        """A send: what the driver's `send_raw` does."""
        end = self.ends[script.via]
        try:
            waiter = end.send(script, self.plan.deadline)
            if waiter is None:
                return
            if running is not None:
                try:
                    running.lend()
                except DuologueError:
                    end.forget(waiter)
                    raise
            try:
                yield waiter
            finally:
                if running is not None:
                    running.unlend()
        except (DuologueError, Cancelled):
            if running is not None and not running.script.tolerant:
                raise

    # -- inside: the set-up ---------------------------------------------------------------------------

    def _make_ends(self) -> None:
        plan = self.plan
        hooks = Hooks(self.now, self._start, self._pick, self._cancel, self.touched)
        shared = [CallBudget(limits.calls, lent_limit=limits.lent) for limits in plan.limits]
        at_node: list[list[End]] = [[] for _ in plan.limits]
        for number in range(2 * len(plan.links.pairs)):
            node = plan.links.node(number)
            limits = plan.limits[node]
            budget = shared[node] if plan.shares_budget else CallBudget(limits.calls, lent_limit=limits.lent)
            router = partial(self._route, number)
            connection = self.rules.connection(router, error_bodies(), limits=limits, budget=budget)
            end = End(f"{node}.{number}", node, connection, limits, plan.link, hooks)
            if not self.rules.tells_of_permits:
                connection.incoming.on_permit = None
            if not self.rules.tells_of_work:
                connection.relays.on_work = _nobody
            self.ends.append(end)
            at_node[node].append(end)
            self.budgets[end] = (budget, at_node[node] if plan.shares_budget else [end])
        for number, end in enumerate(self.ends):
            end.other = self.ends[number ^ 1]
            if plan.links.relays:
                others = len(at_node[end.node]) - 1
                end.may_relay = others * NESTED_SHARE * end.limits.owed + end.limits.parked + 1


def _nobody() -> None:
    """Nobody is told."""


_KINDS = ("write", "read", "drive", "step")


def run(seed: int, rules: Rules = THE_RULES) -> Result:
    """The run that belongs to a seed."""
    return Simulation(seed, random_plan(seed), rules).run()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--traces", action="store_true", help="print what tells one run from another")
    options = parser.parse_args(arguments)
    outcomes: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    steps = failed = 0
    began = time.monotonic()
    for seed in range(options.first, options.first + options.seeds):
        try:
            result = run(seed)
        except (Deadlock, AssertionError) as error:
            failed += 1
            print(f"seed {seed}: {type(error).__name__}: {error}\n")
            continue
        if options.traces:
            print(f"seed {seed}: trace {result.trace:08x}")
        steps += result.steps
        outcomes += result.outcomes
        counts += result.counts
    for what, count in [*outcomes.most_common(), *counts.most_common()]:
        print(f"{count:9,}  {what}")
    print(f"{steps:9,}  steps, {time.monotonic() - began:.1f} s")
    print(f"{options.seeds - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
