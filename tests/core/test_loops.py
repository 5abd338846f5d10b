"""Each way in which a call can end, 100,000 times: nothing is left behind, and memory does not grow."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable

import pytest
from tests.core.harness import ECHO, START, UNKNOWN, call_frame, frame, response_frame, standard_routes

from duologue.protocol.budget import CallBudget
from duologue.protocol.connection import Connection
from duologue.protocol.errors import FailureKind
from duologue.protocol.events import IncomingRequest, RequestCancelled
from duologue.protocol.failures import ErrorBodies
from duologue.protocol.ids import ERROR_SID
from duologue.protocol.limits import Limits

MANY = 100_000
FEWER = 10_000
LIMITS = Limits(calls=2, owed=2, given_up=1.0, max_frame=500)

ROUTES = standard_routes()
BODIES = ErrorBodies(lambda body: b"error", lambda payload: {"InternalServerError": {}})
"""Made of nothing: it is not JSON that is looped here."""

Step = Callable[["Loop"], None]


class Loop:
    """One connection (a new one after each loss) on one budget, and a clock that goes on a little with each step."""

    def __init__(self) -> None:
        self.budget = CallBudget(LIMITS.calls)
        self.now = START
        self.steps = 0
        self.renew()

    def renew(self) -> None:
        self.connection = Connection(ROUTES.get, BODIES, limits=LIMITS, budget=self.budget)

    def deliver(self) -> IncomingRequest:
        self.connection.receive_data(call_frame(7, b"question"), self.now)
        (request,) = self.connection.events()
        assert isinstance(request, IncomingRequest)
        return request

    def flush(self) -> None:
        while self.connection.data_to_send():
            self.connection.data_sent(self.now)

    def run(self, step: Step, times: int) -> None:
        for _ in range(times):
            step(self)
            self.flush()
            self.connection.events()
            self.now += 1.0
            self.steps += 1

    def assert_nothing_left(self) -> None:
        outgoing, incoming = self.connection.outgoing, self.connection.incoming
        assert (self.budget.in_use, self.budget.lent, self.budget.waiting) == (0, 0, 0)
        assert (len(outgoing.pending), outgoing.waiting) == (0, 0)
        assert outgoing.pending.owed <= 1, "the last one may be owed still"
        assert len(outgoing.deadlines) <= 65
        assert (incoming.running, incoming.unanswered, incoming.sends.running) == (0, 0, 0)
        assert (self.connection.outbox.level, self.connection.buffered) == (0, 0)


def answered(loop: Loop) -> None:
    loop.connection.respond(loop.deliver(), b"answer", loop.now)


def bad_payload(loop: Loop) -> None:
    loop.connection.fail(loop.deliver(), FailureKind.DESERIALIZE, loop.now)


def handler_raises(loop: Loop) -> None:
    request = loop.deliver()
    loop.connection.lend(request, loop.now)
    loop.connection.fail(request, FailureKind.HANDLER_FAILED, loop.now, ValueError("x"))
    loop.connection.unlend(request, loop.now)


def unknown_service(loop: Loop) -> None:
    loop.connection.receive_data(call_frame(7, sid=UNKNOWN), loop.now)


def result_too_big(loop: Loop) -> None:
    loop.connection.respond(loop.deliver(), bytes(500), loop.now)


def own_call_answered(loop: Loop) -> None:
    call = loop.connection.call(ECHO, b"question", loop.now + 60, loop.now)
    loop.flush()
    loop.connection.receive_data(response_frame(call.id, b"answer"), loop.now)


def own_call_refused(loop: Loop) -> None:
    call = loop.connection.call(ECHO, b"question", loop.now + 60, loop.now)
    loop.flush()
    loop.connection.receive_data(frame(ERROR_SID, call.id, b"error"), loop.now)


def timeout(loop: Loop) -> None:
    loop.connection.call(ECHO, b"question", loop.now + 0.5, loop.now)
    loop.flush()
    loop.now += 0.5
    loop.connection.handle_timer(loop.now)


def timeout_before_it_left(loop: Loop) -> None:
    loop.connection.call(ECHO, b"question", loop.now + 0.5, loop.now)
    loop.now += 0.5
    loop.connection.handle_timer(loop.now)


def caller_cancelled(loop: Loop) -> None:
    call = loop.connection.call(ECHO, b"question", loop.now + 60, loop.now)
    loop.flush()
    loop.connection.cancel(call, loop.now)
    loop.connection.handle_timer(loop.now)


def caller_cancelled_before_it_left(loop: Loop) -> None:
    loop.connection.cancel(loop.connection.call(ECHO, b"question", loop.now + 60, loop.now), loop.now)


def connection_lost(loop: Loop) -> None:
    loop.deliver()
    loop.connection.call(ECHO, b"question", loop.now + 60, loop.now)
    loop.connection.transport_lost("reset", loop.now)
    for event in loop.connection.events():
        if isinstance(event, RequestCancelled):
            loop.connection.done(event.request, loop.now)
    loop.assert_nothing_left()
    loop.renew()


TO_FAIL = [
    bad_payload,
    handler_raises,
    unknown_service,
    result_too_big,
    timeout,
    caller_cancelled,
    connection_lost,
]
OTHERS = [
    answered,
    own_call_answered,
    own_call_refused,
    timeout_before_it_left,
    caller_cancelled_before_it_left,
]


@pytest.mark.parametrize(
    ("step", "times"),
    [*((step, MANY) for step in TO_FAIL), *((step, FEWER) for step in OTHERS)],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
@pytest.mark.fault(41, 45, 58)
def test_nothing_is_left_behind(step: Step, times: int) -> None:
    """Calls end in one way, 100,000 times: no permit is missing, and no pending entry, timer or byte is left."""
    loop = Loop()
    loop.run(step, times)
    loop.assert_nothing_left()
    loop.connection.receive_data(call_frame(7), loop.now)
    assert [type(event).__name__ for event in loop.connection.events()] == ["CallReceived"]


@pytest.mark.parametrize("step", [*TO_FAIL, *OTHERS], ids=lambda step: step.__name__)
@pytest.mark.fault(45)
def test_memory_does_not_grow(step: Step) -> None:
    """Calls end in one way, again and again: after the first few thousand, memory stays where it is."""
    loop = Loop()
    loop.run(step, 1000)
    tracemalloc.start()
    loop.run(step, 500)
    gc.collect()  # connections are rings, and how many of them wait to be found is chance
    before, _ = tracemalloc.get_traced_memory()
    loop.run(step, 2000)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 16 * 1024, (
        "no more than ended timers that wait to be swept; 2,000 of anything would be more"
    )
