"""The owners of the state machine's parts, each beside a model of a few lines, in any order of commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from tests.core.model_parts import ModelOutbox, Own
from tests.core.profiles import look

from duologue.protocol import deadlines, outbox
from duologue.protocol.budget import CallBudget, SendBudget
from duologue.protocol.deadlines import Deadlines
from duologue.protocol.limits import Limits
from duologue.protocol.outbox import Outbox

numbers = st.integers(0, 9)

# -- Outbox ------------------------------------------------------------------------------------------------

outbox_steps = st.one_of(
    st.tuples(
        st.sampled_from(["answer", "refusal", "call", "call", "send"]), st.sampled_from([0, 1, 20, 90, 300])
    ),
    st.tuples(st.just("take"), st.just(0)),
    st.tuples(st.just("taken"), st.sampled_from([0, 0, 1, 30, 200, 10_000])),
    st.tuples(st.just("remove"), st.integers(1, 7)),
    st.tuples(st.just("clear"), st.just(0)),
)


class Outboxes:
    """The real one and its model, which is a list of frames."""

    def __init__(self, high: int, first_id: int) -> None:
        limits = Limits(outbox_high=high, outbox_low=0)
        self.real = Outbox(high)
        self.model = ModelOutbox(limits, outbox.HAND_OUT)
        self.calls: list[Own] = []
        self.next_id = first_id
        self.now = 0.0

    def step(self, what: str, number: int) -> None:
        self.now += 1.0
        header, payload = b"H" * 24, bytes([len(self.calls) % 256]) * number
        match what:
            case "answer":
                self.real.put_answer(header, payload, self.now)
                self.model.put(self.now, "answer", header + payload)
            case "refusal":
                self.real.put_refusal(header, payload, self.now)
                self.model.put(self.now, "refusal", header + payload)
            case "send":
                self.real.put_request(0, header, payload, self.now)
                self.model.put(self.now, "own", header + payload)
            case "call":
                call = Own(1, b"", None, id=self.next_id)
                self.next_id = (self.next_id + 1) % 2**64 or 1
                self.calls.append(call)
                self.real.put_request(call.id, header, payload, self.now)
                self.model.put(self.now, "own", header + payload, call)
            case "take":
                assert b"".join(self.real.take()) == self.model.take()
            case "taken":
                unsent = min(number, self.model.out)
                assert self.real.taken(unsent, self.now) == self.model.taken(unsent, self.now)
            case "remove":
                chosen = [call for call in self.calls if not call.handed_out and call.id % number == 0]
                self.real.remove_calls({call.id for call in chosen})
                for call in chosen:
                    self.model.remove(call)
            case "clear":
                self.real.clear()
                self.model.clear()

    def compare(self) -> None:
        real, model = self.real, self.model
        assert (real.level, real.answers, real.refusals) == (model.level, model.answers, model.refusals)
        assert (real.gated_since, real.is_handed_out) == (model.gated_since, model.out > 0)
        if model.level:
            assert real.progress_at == model.progress_at
        queued = {id(unsent.own) for unsent in model.queue}
        for call in self.calls:
            if call.handed_out or id(call) in queued:
                assert real.was_handed_out(call.id) == call.handed_out


@given(
    steps=st.lists(outbox_steps, min_size=1, max_size=40),
    high=st.sampled_from([1, 48, 100, 500]),
    first_id=st.sampled_from([1, 2**64 - 3]),
)
@look(brief=250, thorough=20_000)
def test_the_outbox_is_a_list_of_frames(steps: list[tuple[str, int]], high: int, first_id: int) -> None:
    """Order is kept, the level is exact, what is removed does not leave, a part that is taken is counted, ids may go round."""
    with mock.patch.object(outbox, "HAND_OUT", 300), mock.patch.object(outbox, "JOIN_LIMIT", 60):
        boxes = Outboxes(high, first_id)
        for what, number in steps:
            boxes.step(what, number)
            boxes.compare()


# -- Deadlines -----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Item:
    deadline: float
    serial: int
    is_ended: bool = False


deadline_steps = st.one_of(
    st.tuples(st.just("add"), numbers),
    st.tuples(st.just("add"), numbers),
    st.tuples(st.just("end"), st.integers(0, 30)),
    st.tuples(st.just("expire"), numbers),
    st.tuples(st.just("clear"), st.just(0)),
)


@given(steps=st.lists(deadline_steps, max_size=60), slack=st.sampled_from([0, 1, 64]))
@look(brief=250, thorough=20_000)
def test_deadlines_are_a_sorted_list(steps: list[tuple[str, int]], slack: int) -> None:
    """What is due comes once, in order, and nothing that has ended; entries that have ended go, before they are many."""
    with mock.patch.object(deadlines, "_SLACK", slack):
        real = Deadlines()
        alive: list[Item] = []
        now = 0.0
        for serial, (what, number) in enumerate(steps):
            match what:
                case "add":
                    item = Item(now + number, serial)
                    alive.append(item)
                    real.add(item.deadline, item)
                case "end" if alive:
                    item = alive.pop(number % len(alive))
                    item.is_ended = True
                    real.note_ended()
                    assert len(real) <= max(len(alive) + slack, 2 * len(alive)) + 1
                case "expire":
                    now += number
                    due = sorted(
                        (item for item in alive if item.deadline <= now),
                        key=lambda item: (item.deadline, item.serial),
                    )
                    assert real.pop_expired(now) == due
                    alive = [item for item in alive if item.deadline > now]
                    for item in due:
                        item.is_ended = True
                case "clear":
                    real.clear()
                    alive.clear()
            planned = real.next()
            if alive:
                assert planned is not None
                assert planned <= min(item.deadline for item in alive)
            assert len(real) >= len(alive)


# -- CallBudget ----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class Waiter:
    """A connection: what it holds, and whether it was told to look."""

    name: str
    running: int = 0
    lent: int = 0
    woken: bool = False

    def permit_available(self) -> None:
        self.woken = True


class Budgets:
    """The real one, with some connections that share it, and the line as a list."""

    def __init__(self, limit: int, lent_limit: int) -> None:
        self.real = CallBudget(limit, lent_limit=lent_limit)
        self.lent_limit = lent_limit
        self.waiters = [Waiter(name) for name in "abc"]
        self.line: list[Waiter] = []

    def step(self, what: str, which: int) -> None:
        waiter, real = self.waiters[which], self.real
        over_before = real.in_use > real.limit
        match what:
            case "acquire":
                fair = real.in_use < real.limit and self.line in ([], [waiter, *self.line[1:]])
                waiter.woken = False
                assert real.try_acquire(waiter) == fair, (
                    "whoever is first, and nobody else, takes a free permit"
                )
                waiter.running += fair
                if fair and waiter in self.line:
                    self.line.remove(waiter)
                elif not fair and waiter not in self.line:
                    self.line.append(waiter)
                assert over_before or real.in_use <= real.limit
            case "release" if waiter.running:
                waiter.running -= 1
                real.release()
            case "lend" if waiter.running:
                may = sum(other.lent for other in self.waiters) < self.lent_limit
                assert real.try_lend() == may
                waiter.running -= may
                waiter.lent += may
            case "unlend" if waiter.lent:
                waiter.lent -= 1
                waiter.running += 1
                real.unlend()  # the one way to get over the limit
            case "end lent" if waiter.lent:
                waiter.lent -= 1
                real.end_lent()
            case "withdraw":
                real.withdraw(waiter)
                self.line = [other for other in self.line if other is not waiter]
            case _:
                pass

    def compare(self) -> None:
        assert self.real.in_use == sum(waiter.running for waiter in self.waiters)
        assert self.real.lent == sum(waiter.lent for waiter in self.waiters) <= self.lent_limit
        assert self.real.waiting == len(self.line)
        if self.line and self.real.in_use < self.real.limit:
            assert self.line[0].woken, f"{self.line[0].name} is first, a permit is free, and nobody told it"


budget_steps = st.tuples(
    st.sampled_from(
        ["acquire", "acquire", "acquire", "release", "release", "lend", "unlend", "end lent", "withdraw"]
    ),
    st.integers(0, 2),
)


@given(steps=st.lists(budget_steps, max_size=60), limit=st.integers(1, 3), lent_limit=st.integers(0, 3))
@look(brief=300, thorough=20_000)
def test_a_shared_budget_is_fair_and_wakes_whoever_is_next(
    steps: list[tuple[str, int]], limit: int, lent_limit: int
) -> None:
    """Permits go round in the order of asking, never over the limit but by the end of a wait, and no wake-up is lost."""
    budgets = Budgets(limit, lent_limit)
    for what, which in steps:
        budgets.step(what, which)
        budgets.compare()


# -- SendBudget ----------------------------------------------------------------------------------------------

send_steps = st.tuples(
    st.sampled_from(["start", "start", "end", "lend", "unlend", "end lent", "wait", "end wait", "clear"]),
    st.sampled_from([24, 30, 100]),
)


@given(
    steps=st.lists(send_steps, max_size=60), count=st.integers(1, 3), size=st.sampled_from([24, 60, 10_000])
)
@look(brief=200, thorough=20_000)
def test_slots_are_counted_and_weighed(steps: list[tuple[str, int]], count: int, size: int) -> None:
    """`is_full` is what the numbers say, after each change; a message gives back what it took."""
    real = SendBudget(Limits(sends=count, sends_bytes=size, lent=2))
    running: list[int] = []
    lent: list[int] = []
    waiting: list[int] = []

    def change(what: str, weight: int) -> Any:
        match what:
            case "start":
                running.append(weight)
                real.start(weight)
            case "end" if running:
                real.end(running.pop(0))
            case "lend" if running and real.try_lend(running[0]):
                lent.append(running.pop(0))
            case "unlend" if lent:
                running.append(lent.pop(0))
                real.unlend(running[-1])
            case "end lent" if lent:
                lent.pop()
                real.end_lent()
            case "wait":
                waiting.append(weight)
                real.wait(weight)
            case "end wait" if waiting:
                real.end_wait(waiting.pop(0))
            case "clear":
                waiting.clear()
                real.clear_waiting()

    for what, weight in steps:
        change(what, weight)
        assert (real.running, real.bytes, real.lent) == (len(running), sum(running), len(lent))
        assert (real.waiting, real.waiting_bytes) == (len(waiting), sum(waiting))
        assert real.slots_are_full == (len(running) >= count or sum(running) >= size)
        assert real.lane_is_full == (len(waiting) >= count or sum(waiting) >= size)
        assert real.is_full == (real.slots_are_full or real.lane_is_full)
        assert real.lent <= 2
