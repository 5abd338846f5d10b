"""Two connections, a third that shares a budget, a link that cuts anywhere, a remote that misbehaves, and a model.

A `Story` is told in steps. Each takes its arguments from small tables (story_tables.py), so that Hypothesis can tell it, or a
generator of random numbers, or a test that knows what it wants. After each step `look` compares everything that can be seen
of each connection with what the model says (model.py), and asserts the invariants from what was seen, without the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any
from unittest import mock

import pytest
from tests.core.harness import decode_body, encode_body, frame
from tests.core.model import NO_TEXT, Model
from tests.core.model_parts import HEADER, Budget, Own
from tests.core.story_end import End
from tests.core.story_tables import LARGEST, ROUTES

from duologue.protocol import deadlines, outbox
from duologue.protocol.budget import CallBudget
from duologue.protocol.connection import Connection
from duologue.protocol.errors import CloseReason, FailureKind
from duologue.protocol.events import CallReceived, IncomingRequest
from duologue.protocol.failures import ErrorBodies, connection_error_body
from duologue.protocol.lifecycle import Phase
from duologue.protocol.limits import Limits
from duologue.protocol.pending import OutgoingCall, OutgoingSend

HAND_OUT = 400
"""In place of 256 KiB: so that a batch is cut with the small frames of these tests, too."""


def encode(body: Any) -> bytes:
    """Error bodies as JSON; what the text says about a broken stream is left out, so that the model need not know it."""
    match body:
        case {"DeserializeWireFormat": {"context": str(text)}} if text and len(text) < 200:
            body = connection_error_body(NO_TEXT)
    return encode_body(body)


BODIES = ErrorBodies(encode, decode_body)

ELSEWHERE = CallReceived(10, 1, b"", None)
"""A request of a connection that is none of the three."""
ELSEWHERE.peer = None


class Story:
    """`left` and `right` are linked; `third` hears the misbehaving remote alone, and may share a budget with them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.ends: list[End] = []
        self.former: list[End] = []
        """Closed ends that were replaced, and whose handlers still run."""
        self.budgets: list[tuple[CallBudget, Budget]] = []
        self.woken: list[End] = []
        """Who was told that a permit is free, and has not looked yet."""
        self.serial = 0
        self.patches = ExitStack()
        self.patches.enter_context(mock.patch.object(outbox, "HAND_OUT", HAND_OUT))
        self.patches.enter_context(mock.patch.object(outbox, "JOIN_LIMIT", 80))
        self.patches.enter_context(mock.patch.object(deadlines, "_SLACK", 1))

    def begin(self, limits: Sequence[Limits], shared: int = 0, first_id: int = 1) -> None:
        """`shared`: how many of the ends share the budget of the last."""
        self.limits, self.first_id = limits, first_id
        self.budgets = [
            (CallBudget(each.calls, lent_limit=each.lent), Budget(each.calls, each.lent)) for each in limits
        ]
        for index in range(3 - shared, 3):
            self.budgets[index] = self.budgets[2]
        self.ends = [self._end(index) for index in range(3)]
        self._link()

    def _end(self, index: int) -> End:
        limits, (budget, model_budget) = self.limits[index], self.budgets[index]
        end = End(
            ("left", "right", "third")[index],
            Connection(ROUTES.get, BODIES, limits=limits, budget=budget, first_call_id=self.first_id),
            Model(ROUTES, limits, model_budget, self.first_id, HAND_OUT),
            budget,
        )
        end.connection.incoming.on_permit = lambda: self._note_permit(end)
        return end

    def _link(self) -> None:
        self.ends[0].other, self.ends[1].other = self.ends[1], self.ends[0]

    def _note_permit(self, end: End) -> None:
        if end not in self.woken:
            self.woken.append(end)

    def _payload(self, size: int) -> bytes:
        """No two are alike."""
        self.serial += 1
        return b"%d" % self.serial + size * b"."

    # -- own requests ---------------------------------------------------------------------------------

    def request(self, which: int, what: str, sid: int, size: int, timeout: float | None, count: int) -> None:
        end = self.ends[which]
        deadline = None if timeout is None else self.now + timeout
        for _ in range(count):
            payload = self._payload(size)
            if size == LARGEST:
                payload = payload[: end.connection.limits.max_frame - HEADER]
            own = Own(sid, payload, deadline, is_call=what.startswith("call"))
            handled = None
            if what == "call elsewhere":
                handled = ELSEWHERE
            elif what.endswith("in a handler"):
                handled = end.requests[-1] if end.requests else ELSEWHERE
                own.handled = handled.peer
            own.nested = own.is_call and handled is not None
            self._request(end, own, handled)

    def _request(self, end: End, own: Own, handled: IncomingRequest | None) -> None:
        real, model = end.both(lambda: self._issue(end, own, handled), lambda: end.model.issue(own, self.now))
        if isinstance(real, OutgoingCall | OutgoingSend):
            real.waiter = model
            end.own.append(real)
            end.deadlines.add(real.deadline)
        else:
            assert real is model

    def _issue(
        self, end: End, own: Own, handled: IncomingRequest | None
    ) -> OutgoingCall | OutgoingSend | None:
        command = end.connection.call if own.is_call else end.connection.send
        return command(own.sid, own.payload, own.deadline, self.now, handled)

    def cancel(self, which: int, pick: int) -> None:
        end = self.ends[which]
        if end.own:
            item = end.own[-1 - pick % len(end.own)]
            if not item.is_ended:
                end.cancelled.add(item)
            said, expected = end.both(
                lambda: end.connection.cancel(item, self.now), lambda: end.model.cancel(item.waiter, self.now)
            )
            assert said is expected

    # -- the remote's requests ------------------------------------------------------------------------

    def _requests(self) -> list[tuple[End, IncomingRequest]]:
        return [(end, request) for end in self.ends + self.former for request in end.requests]

    def end_request(self, pick: int, how: str, size: int) -> None:
        if requests := self._requests():
            end, request = requests[pick % len(requests)]
            self._end_request(end, request, how, size)

    def end_all_requests(self, which: int) -> None:
        end = self.ends[which]
        for request in list(end.requests):
            self._end_request(end, request, "answer", 1)

    def _end_request(self, end: End, request: IncomingRequest, how: str, size: int) -> None:
        model, real = request.peer, end.connection
        largest = real.limits.max_frame - HEADER
        answer = self._payload(500)[: largest + 1] if how == "too large" else self._payload(size)[:largest]
        if how == "fail":
            end.both(
                lambda: real.fail(request, FailureKind.DESERIALIZE, self.now),
                lambda: end.model.end(model, "fail", FailureKind.DESERIALIZE, self.now),
            )
        elif request.cid:
            end.both(
                lambda: real.respond(request, answer, self.now),
                lambda: end.model.end(model, "respond", answer, self.now),
            )
        else:
            end.both(
                lambda: real.done(request, self.now), lambda: end.model.end(model, "done", None, self.now)
            )
        assert request.is_ended
        end.requests.remove(request)
        end.ended = request

    def wait_for_a_remote(self, pick: int, lend: bool) -> None:
        if requests := self._requests():
            end, request = requests[pick % len(requests)]
            self._wait_for_a_remote(end, request, lend)

    def all_wait_for_a_remote(self, which: int) -> None:
        for request in self.ends[which].requests:
            if not request.waits:
                self._wait_for_a_remote(self.ends[which], request, True)

    def _wait_for_a_remote(self, end: End, request: IncomingRequest, lend: bool) -> None:
        if lend:
            said, expected = end.both(
                lambda: end.connection.lend(request, self.now),
                lambda: end.model.lend(request.peer, self.now),
            )
            assert said is expected
        else:
            end.both(lambda: end.connection.unlend(request, self.now), lambda: end.model.unlend(request.peer))

    def heed_free_permits(self, everyone: bool) -> None:
        """A driver looks later, and not inside of another connection's command."""
        while self.woken:
            self._heed_free_permit(self.woken.pop(0))
            if not everyone:
                return

    def _heed_free_permit(self, end: End) -> None:
        end.both(lambda: end.connection.permit_freed(self.now), lambda: end.model.permit_freed(self.now))

    # -- bytes --------------------------------------------------------------------------------------------

    def take(self, which: int) -> None:
        end = self.ends[which]
        data, expected = end.both(lambda: b"".join(end.connection.data_to_send()), end.model.outbox.take)
        assert data == expected
        assert not (data and end.has_finished_writing), f"{end.name} has said that it writes nothing any more"
        end.in_flight += len(data)
        carried = end.parse_sent(data)
        if end.other is not None and not end.other.eof_given:
            end.other.inbound += carried

    def data_sent(self, which: int, part: float) -> None:
        end = self.ends[which]
        end.in_flight -= int(end.in_flight * part)
        end.both(
            lambda: end.connection.data_sent(self.now, end.in_flight),
            lambda: end.model.data_sent(end.in_flight, self.now),
        )

    def deliver(self, which: int, pieces: list[int], view: bool) -> None:
        """Also while the connection does not want to read: it has to keep what comes then."""
        for piece in pieces:
            self._deliver(self.ends[which], piece, view)

    def _deliver(self, end: End, size: int, view: bool) -> None:
        data = bytes(end.inbound[:size])
        del end.inbound[:size]
        if not end.eof_given and (data or not size):
            memory = bytearray(data)
            end.both(
                lambda: end.connection.receive_data(memoryview(memory) if view else data, self.now),
                lambda: end.model.receive_data(data, self.now),
            )
            memory[:] = bytes(len(memory))  # the driver's buffer is used again
        elif end.inbound_ended and not end.eof_given:
            self._eof(end)

    def _eof(self, end: End) -> None:
        end.eof_given = True
        end.both(lambda: end.connection.receive_eof(self.now), lambda: end.model.receive_eof(self.now))

    def flow(self, rounds: int) -> None:
        """Both ends work as with a driver and a good link."""
        for _ in range(rounds):
            self.heed_free_permits(True)
            for which, end in enumerate(self.ends):
                self.take(which)
                self.data_sent(which, 1.0)
                if end.connection.wants_read:
                    self._deliver(end, 10_000, False)
            self.look()

    # -- a remote that misbehaves -------------------------------------------------------------------

    def inject(self, which: int, frames: list[tuple[str, int, int, bytes]], now: int) -> None:
        """Frames that no well-behaved remote would send, or not now, or not as many. So many bytes of them come now."""
        end = self.ends[which]
        for kind, sid, cid, payload in frames:
            if kind == "call":
                cid = end.foreign_ids
                end.foreign_ids += 1
            elif kind == "again" and end.requests:
                cid = end.requests[cid % len(end.requests)].cid  # an id that may be in use
            elif kind == "to a call":
                pending = end.model.outgoing.pending
                if not pending:
                    continue
                cid = pending[cid % len(pending)].id
            end.inbound += frame(sid, cid, payload[: end.connection.limits.max_frame - HEADER])
        self._deliver(end, now, False)

    def garbage(self, which: int, data: bytes, rarely: int) -> None:
        if rarely == 0:
            self.ends[which].inbound += data

    # -- time ---------------------------------------------------------------------------------------------

    def time_passes(self, seconds: float, in_time: bool) -> None:
        """A driver may be late, too: then commands come at a time when a deadline has passed already."""
        self.now += seconds
        if in_time:
            for end in self.ends + self.former:
                self._serve_timer(end)

    def next_timer(self, which: int) -> None:
        """The clock goes on to the very moment that an end waits for."""
        end = self.ends[which]
        deadline = end.connection.next_deadline()
        if deadline is not None and deadline < self.now + 20:
            self.now = max(self.now, deadline)
            self._serve_timer(end)

    def _serve_timer(self, end: End) -> None:
        end.both(lambda: end.connection.handle_timer(self.now), lambda: end.model.handle_timer(self.now))
        following = end.connection.next_deadline()
        assert following is None or following > self.now, (
            "a timer that is due for ever would keep a driver busy"
        )

    # -- ends ---------------------------------------------------------------------------------------------

    def come_to_an_end(self, which: int, how: str, rarely: int) -> None:
        end = self.ends[which]
        real, model = end.connection, end.model
        if rarely % 4 and real.phase is Phase.OPEN:
            return
        match how:
            case "close" | "grace" | "short grace":
                grace = {"close": 0.0, "grace": 20.0, "short grace": 2.0}[how]
                end.both(lambda: real.close("tired", grace, self.now), lambda: model.close(grace, self.now))
            case "drain" | "short drain" | "no drain":
                timeout = {"drain": None, "short drain": 3.0, "no drain": 0.0}[how]
                end.both(
                    lambda: real.drain("tired", timeout, self.now), lambda: model.drain(timeout, self.now)
                )
            case "abort":
                end.both(
                    lambda: real.abort("", self.now), lambda: model.cut(CloseReason.CLOSED_LOCALLY, self.now)
                )
            case "lost":
                end.both(
                    lambda: real.transport_lost("", self.now),
                    lambda: model.transport_lost(self.now),
                )
            case "truncated" if not end.eof_given:
                end.inbound += frame(10, 0, b"cut")[: 4 * rarely + 7]
                self._deliver(end, 10_000, False)
                self._eof(end)
            case "eof":
                self._eof(end)

    def replace(self, which: int) -> None:
        """A new connection in place of a closed one, whose other end learns it now: nothing of the old may come through."""
        chosen = [2] if which == 2 else [0, 1]
        if self.ends[which].connection.phase is Phase.CLOSED:
            for index in chosen:
                self.come_to_an_end(index, "lost", 0)
            self.look()
            for index in chosen:
                self.former.append(self.ends[index])
                self.ends[index] = self._end(index)
            self._link()

    def do_wrong(self, which: int) -> None:
        """Commands that are mistakes raise, and leave everything as it was."""
        end, now = self.ends[which], self.now
        real = end.connection
        for request in end.requests:
            if not request.is_cancelled:
                with pytest.raises(ValueError, match="end it with"):
                    real.done(request, now) if request.cid else real.respond(request, b"", now)
        if end.ended is not None:
            self._end_again(end, end.ended)
        for grace in (-1.0, float("nan")):
            with pytest.raises(ValueError, match="grace"):
                real.close("", grace, now)
            with pytest.raises(ValueError, match="draining"):
                real.drain("", grace, now)
        if real.phase is Phase.OPEN:
            for sid in (0, 2**64 - 1, 2**64, -1, 0xF782274C9450AA07):
                with pytest.raises(ValueError, match="reserved"):
                    real.call(sid, b"", None, now)
            with pytest.raises(ValueError, match="not a number"):
                real.send(10, b"", float("nan"), now)

    def _end_again(self, end: End, ended: IncomingRequest) -> None:
        real, now = end.connection, self.now
        with pytest.raises(ValueError, match="has ended"):
            real.respond(ended, b"", now)
        with pytest.raises(ValueError, match="has ended"):
            real.done(ended, now)
        with pytest.raises(ValueError, match="has ended"):
            real.fail(ended, FailureKind.HANDLER_FAILED, now)
        # A handler that goes on after its end has nothing to lend any more.
        said = end.both(lambda: real.lend(ended, now), lambda: end.model.lend(ended.peer, now))
        assert said == (True, True)
        end.both(lambda: real.unlend(ended, now), lambda: end.model.unlend(ended.peer))

    # -- after each step --------------------------------------------------------------------------------

    def look(self) -> None:
        ends = self.ends + self.former
        for end in ends:
            end.collect()
        for end in ends:
            end.compare()
            end.check()
        for budget, model in self.budgets:
            self._check_permits(ends, budget, model)
        self.former = [end for end in self.former if end.requests]

    def _check_permits(self, ends: list[End], budget: CallBudget, model: Budget) -> None:
        """Permits in use are those of the calls delivered, not ended and not lent. No wake-up is lost."""
        calls = [
            call for end in ends if end.budget is budget for call in end.requests if call.cid and call.permit
        ]
        assert budget.in_use == sum(not call.waits for call in calls)
        assert budget.lent == sum(bool(call.waits) for call in calls) <= model.lent_limit
        if budget.in_use < budget.limit and model.line:
            first = next(end for end in ends if end.model is model.line[0])
            assert first in self.woken, f"{first.name} is the next, a permit is free, and nobody told it"

    def finish(self) -> None:
        """Everything is closed, and every handler ends: nothing may be left."""
        for which in range(len(self.ends)):
            self.come_to_an_end(which, "abort", 0)
        self.look()
        for end, request in self._requests():
            self._end_request(end, request, "answer", 0)
        self.look()
        for budget, _ in self.budgets:
            assert (budget.in_use, budget.lent, budget.waiting) == (0, 0, 0)

    def tear_down(self) -> None:
        self.patches.close()
