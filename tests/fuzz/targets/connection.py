"""Target `connection`: everything that can happen to a connection, in any order, and to another that requests are relayed to.

Input: the limits, the wire format of error bodies, whether the two share a budget; then steps. A step is a byte that says which,
and the bytes of its arguments: pieces of the stream, frames good and bad, own requests, ends of requests, time, ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

from tests.core.harness import TestRoute, frame
from tests.core.relay_ends import RelayTestRoute
from tests.core.story_tables import ERROR_BODIES, LIMITS
from tests.fuzz.choices import Choices
from tests.fuzz.watched import Watched, check_budget

from duologue.protocol import outbox
from duologue.protocol.budget import CallBudget
from duologue.protocol.connection import Connection
from duologue.protocol.errors import ConnectionClosed, FailureKind, FrameTooLarge, Overloaded
from duologue.protocol.events import IncomingRequest
from duologue.protocol.failures import ErrorBodies
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.limits import Limits
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue.protocol.routes import Mode, Route
from duologue_wireformats.cbor import Cbor
from duologue_wireformats.json_text import Json
from duologue_wireformats.messagepack import MessagePack

BODIES = [ErrorBodies(each.encode_plain, each.decode_plain) for each in (Json(), Cbor(), MessagePack())]
PLAIN, ORDERED, FREE, ORDERED_FREE, UNSERVED, RELAYED, PICKED, UNKNOWN = range(10, 18)
SIDS = (PLAIN, ORDERED, FREE, ORDERED_FREE, UNSERVED, RELAYED, PICKED, UNKNOWN)
ANY_SIDS = (*SIDS, ERROR_SID, RESPONSE_SID, 0xF782274C9450AA01)
CIDS = (0, 1, 2, 3, 4, 5, 2**63, 2**64 - 1)
TIMEOUTS = (None, None, 0.0, 0.5, 5.0, 20.0)
MOST_STEPS = 200
REFUSED = (ConnectionClosed, FrameTooLarge, Overloaded)
"""What a command may raise that is no mistake of the program."""


def run(data: bytes) -> None:
    choices = Choices(data)
    with mock.patch.object(outbox, "HAND_OUT", 400), mock.patch.object(outbox, "JOIN_LIMIT", 80):
        world = World(choices)
        for _ in range(MOST_STEPS):
            if choices.is_empty:
                break
            world.step(choices)
        world.finish()


def limits_from(choices: Choices) -> Limits:
    drawn: dict[str, Any] = {name: choices.choice(values) for name, values in LIMITS.items()}
    drawn["outbox_low"] = min(drawn["outbox_low"], drawn["outbox_high"])
    return Limits(**drawn)


class World:
    """Two connections, to two remotes. Of the first, some services are relayed to the second."""

    def __init__(self, choices: Choices) -> None:
        self.now = 100.0
        limits, bodies = limits_from(choices), BODIES[choices.byte() % len(BODIES)]
        first_id = choices.choice((1, 1, 3, 2**64 - 2))
        budget = CallBudget(limits.calls, lent_limit=limits.lent)
        other_budget = budget if choices.byte() % 2 else CallBudget(limits.calls, lent_limit=limits.lent)
        timeout = choices.choice((60.0, 3.0, None))
        routes: dict[int, Route] = {
            PLAIN: TestRoute("test::Plain"),
            ORDERED: TestRoute("test::Ordered", ordered=True),
            FREE: TestRoute("test::Free", takes_permit=False),
            ORDERED_FREE: TestRoute("test::OrderedFree", ordered=True, takes_permit=False),
            UNSERVED: TestRoute("test::Unserved", has_handler=False),
            RELAYED: RelayTestRoute(lambda: self.ends[1].connection.relays, timeout),
            PICKED: RelayTestRoute(None, timeout),
        }
        self.ends = [
            Watched(
                Connection(routes.get, bodies, limits=limits, budget=each, first_call_id=first_id),
                each,
            )
            for each in (budget, other_budget)
        ]
        self.budgets = list({id(each): each for each in (budget, other_budget)}.values())
        self.steps: tuple[Callable[[Watched, Choices], None], ...] = (
            self.raw, self.frames, self.frames, self.answer, self.deliver, self.deliver,
            self.call, self.call, self.send, self.cancel, self.publish,
            self.end, self.end, self.lend, self.unlend, self.relay, self.heed,
            self.take, self.sent, self.flow, self.time, self.timer, self.finish_one, self.wrong,
        )  # fmt: skip

    def step(self, choices: Choices) -> None:
        number = choices.byte()
        end = self.ends[number // 128]
        self.steps[number % 128 % len(self.steps)](end, choices)
        for each in self.ends:  # what is done to one may be seen at the other
            each.collect()
        for each in self.ends:
            each.check()
        for budget in self.budgets:
            check_budget(budget, self.ends)

    # -- the remote ---------------------------------------------------------------------------------------

    def raw(self, end: Watched, choices: Choices) -> None:
        end.inbound += choices.bytes(choices.byte())

    def frames(self, end: Watched, choices: Choices) -> None:
        for _ in range(1 + choices.byte() % 3):
            sid, cid, size = choices.choice(ANY_SIDS), choices.choice(CIDS), choices.byte()
            payload = choices.choice(ERROR_BODIES) if sid == ERROR_SID else bytes(size)
            end.inbound += frame(sid, cid, payload)

    def answer(self, end: Watched, choices: Choices) -> None:
        """An answer to a call that waits for one."""
        calls = [each for each in end.own if isinstance(each, OutgoingCall) and each.id and not each.is_ended]
        if calls:
            call, is_error = choices.choice(calls), choices.byte() % 2
            payload = choices.choice(ERROR_BODIES) if is_error else bytes(choices.byte() % 100)
            end.inbound += frame(ERROR_SID if is_error else RESPONSE_SID, call.id, payload)

    def deliver(self, end: Watched, choices: Choices) -> None:
        size = choices.choice((1000, 1000, 1, 3, 8, 24, 100))
        end.deliver(size, self.now, view=choices.byte() % 2 == 1)

    # -- own requests ---------------------------------------------------------------------------------------

    def call(self, end: Watched, choices: Choices) -> None:
        sid, size, timeout = choices.choice(SIDS), choices.byte() * 2, choices.choice(TIMEOUTS)
        handled = choices.choice([None, *self._running(end)]) if choices.byte() % 2 else None
        try:
            own = end.connection.call(sid, bytes(size), self._deadline(timeout), self.now, handled)
        except REFUSED:
            return
        end.own.append(own)

    def send(self, end: Watched, choices: Choices) -> None:
        sid, size, timeout = choices.choice(SIDS), choices.byte() * 2, choices.choice(TIMEOUTS)
        handled = choices.choice([None, *self._running(end)]) if choices.byte() % 2 else None
        try:
            own = end.connection.send(sid, bytes(size), self._deadline(timeout), self.now, handled)
        except REFUSED:
            return
        if isinstance(own, OutgoingSend):
            end.own.append(own)

    def _deadline(self, timeout: float | None) -> float | None:
        return None if timeout is None else self.now + timeout

    def cancel(self, end: Watched, choices: Choices) -> None:
        if end.own:
            own = choices.choice(end.own)
            if not own.is_ended:
                end.cancelled.add(own)
            end.connection.cancel(own, self.now)
            assert own.is_ended

    def publish(self, end: Watched, choices: Choices) -> None:
        if choices.byte() % 4 == 0:
            end.connection.end_feed(end.feed)
            return
        try:
            end.connection.publish(end.feed, PLAIN, bytes(choices.byte()), self.now)
        except REFUSED:
            pass

    # -- requests of the remote's -----------------------------------------------------------------------------

    def _running(self, end: Watched) -> list[IncomingRequest]:
        return [each for each in end.requests if not each.is_ended]

    def end(self, end: Watched, choices: Choices) -> None:
        if not (running := self._running(end)):
            return
        request, how = choices.choice(running), choices.byte()
        if how % 4 == 0:
            end.connection.fail(request, choices.choice(tuple(FailureKind)), self.now)
        elif request.cid:
            end.connection.respond(request, bytes(how * 3), self.now, more=how % 8 == 1)
        else:
            end.connection.done(request, self.now, more=how % 8 == 1)
        if how % 8 == 1 and end.connection.needs_look:
            end.connection.look(self.now)
        self._ended(end, request)

    def _ended(self, end: Watched, request: IncomingRequest) -> None:
        assert request.is_ended
        end.requests.remove(request)
        end.ended = request

    def lend(self, end: Watched, choices: Choices) -> None:
        if running := self._running(end):
            end.connection.lend(choices.choice(running), self.now)

    def unlend(self, end: Watched, choices: Choices) -> None:
        if waiting := [each for each in self._running(end) if each.waits]:
            end.connection.unlend(choices.choice(waiting), self.now)

    def relay(self, end: Watched, choices: Choices) -> None:
        """The driver has found out where a request goes."""
        if running := [each for each in self._running(end) if each.route and each.route.mode is Mode.RELAY]:
            request = choices.choice(running)
            target = self.ends[choices.byte() % 2].connection.relays  # one of the two is where it came from
            end.connection.relay(request, target, self.now)
            self._ended(end, request)

    def heed(self, end: Watched, choices: Choices) -> None:
        if end.permit_came:
            end.permit_came = False
            end.connection.permit_freed(self.now)

    # -- transport and time ---------------------------------------------------------------------------------

    def take(self, end: Watched, choices: Choices) -> None:
        end.take()

    def sent(self, end: Watched, choices: Choices) -> None:
        end.in_flight -= end.in_flight * choices.choice((4, 4, 1, 2, 0)) // 4
        end.connection.data_sent(self.now, end.in_flight)

    def flow(self, end: Watched, choices: Choices) -> None:
        """As with a good link, and a driver that does all it has to."""
        for _ in range(1 + choices.byte() % 3):
            self.heed(end, choices)
            end.take()
            end.in_flight = 0
            end.connection.data_sent(self.now)
            if end.connection.wants_read:
                end.deliver(1000, self.now, view=False)
            end.collect()

    def time(self, end: Watched, choices: Choices) -> None:
        """A driver may be late with its timers."""
        self.now += choices.choice((0.0, 0.5, 1.0, 5.0, 20.0))
        if choices.byte() % 2:
            self._serve_timers()

    def timer(self, end: Watched, choices: Choices) -> None:
        deadline = end.connection.next_deadline()
        if deadline is not None and deadline < self.now + 100:
            self.now = max(self.now, deadline)
            self._serve_timers()

    def _serve_timers(self) -> None:
        for each in self.ends:
            # What a timer sets off may be due at once, with a limit of 0; and so may what follows from that, but not for ever.
            for _ in range(3):
                each.connection.handle_timer(self.now)
                following = each.connection.next_deadline()
                if following is None or following > self.now:
                    break
            else:
                raise AssertionError("a timer that is due for ever")

    def finish_one(self, end: Watched, choices: Choices) -> None:
        connection, how = end.connection, choices.byte() % 10
        match how:
            case 0 | 1:
                connection.close("tired", (0.0, 3.0)[how], self.now)
            case 2 | 3 | 4:
                connection.drain("tired", (None, 3.0, 0.0)[how - 2], self.now)
            case 5 | 6 | 7:
                end.has_eof = True
                connection.receive_eof(self.now, "cut" if how == 5 else "", "exit status 1")
            case 8:
                connection.transport_lost("gone", self.now, refused=choices.byte() % 2 == 1)
            case _:
                connection.abort("enough", self.now)

    def wrong(self, end: Watched, choices: Choices) -> None:
        """Mistakes of the program: each raises what it must, and changes nothing."""
        before = repr((end.connection.outbox.level, end.connection.incoming.running, end.budget))
        connection, request = end.connection, end.ended
        mistakes: list[Callable[[], Any]] = [lambda: connection.close("", -1.0, self.now)]
        mistakes.append(lambda: connection.drain("", float("nan"), self.now))
        if request is not None:
            mistakes += [
                lambda: connection.respond(request, b"", self.now),
                lambda: connection.fail(request, FailureKind.HANDLER_FAILED, self.now),
                lambda: connection.done(request, self.now),
            ]
        for each in mistakes:
            try:
                each()
            except ValueError:
                continue
            raise AssertionError("a mistake went unnoticed")
        assert repr((end.connection.outbox.level, end.connection.incoming.running, end.budget)) == before

    def finish(self) -> None:
        for each in self.ends:
            each.connection.abort("the end", self.now)
        for each in self.ends:
            each.finish(self.now)
        for budget in self.budgets:
            assert (budget.in_use, budget.lent, budget.waiting) == (0, 0, 0)
