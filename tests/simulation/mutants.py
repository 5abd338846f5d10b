"""The eleven worst defects of the original, each as a patch of what is right here. No product code knows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from duologue.protocol.connection import Connection
from duologue.protocol.deadlines import Deadlines
from duologue.protocol.ending import Ending
from duologue.protocol.errors import DecodeError, FailureKind
from duologue.protocol.frames import HEADER_SIZE, LengthPrefixedDecoder
from duologue.protocol.intake import Intake
from duologue.protocol.outgoing import Outgoing
from duologue.protocol.routes import RequestFault
from duologue.protocol.running import Running
from duologue_adapters.dispatch import Dispatcher
from duologue_adapters.observers import Audience
from duologue_adapters.peer import DriverPeer

Patch = pytest.MonkeyPatch


def deaf_after_a_codec_error(patch: Patch) -> None:
    """One payload that can't be decoded ends the loop that reads."""
    failed = Dispatcher.failed

    def deaf(self: Dispatcher, request: Any, exc: BaseException) -> None:
        failed(self, request, exc)
        if isinstance(exc, RequestFault) and exc.kind is FailureKind.DESERIALIZE:
            self._peer._link.pause_reading()

    patch.setattr(Dispatcher, "failed", deaf)


def permit_leaked_on_failed_calls(patch: Patch) -> None:
    """A handler that fails keeps its permit for ever."""
    fail = Running.fail

    def leak(self: Running, request: Any, *args: Any) -> None:
        if request.permit and request.cid and not request.waits:
            request.permit = False
        fail(self, request, *args)

    patch.setattr(Running, "fail", leak)


def answer_frees_a_permit_of_another(patch: Patch) -> None:
    """The answer to an own call gives back a permit, though own calls hold none: it is that of a call that runs."""
    init, received = Connection.__init__, Outgoing.response_received
    owners: dict[Outgoing, Connection] = {}

    def remember(self: Connection, *args: Any, **options: Any) -> None:
        init(self, *args, **options)
        owners[self._outgoing] = self

    def free(self: Outgoing, *args: Any) -> bool:
        budget = owners[self].incoming.budget
        if budget.in_use:
            budget.release()
        return received(self, *args)

    patch.setattr(Connection, "__init__", remember)
    patch.setattr(Outgoing, "response_received", free)


def reader_waits_for_a_permit(patch: Patch) -> None:
    """Who has no permit for a call reads nothing more: the answers that handlers wait for are behind it."""
    receive_data, must_pause = Connection.receive_data, Intake._must_pause

    def receive(self: Connection, data: Any, now: float) -> None:
        receive_data(self, data, now)
        if self._incoming.parking.has_calls:
            self._reading.pause()

    def pause(self: Intake) -> bool:
        return self._incoming.parking.has_calls or must_pause(self)

    patch.setattr(Connection, "receive_data", receive)
    patch.setattr(Intake, "_must_pause", pause)


def pending_calls_failed_only_after_grace(patch: Patch) -> None:
    """Whoever waits for an answer learns of the end when the handlers have had their time."""
    finish = Ending._finish

    def fix_reason(self: Ending, reason: Any, detail: str, now: float) -> None:
        self._life.fix_reason(reason, detail)
        self._relays.leave_open(reason, detail)

    def finish_late(self: Ending, trigger: Any) -> None:
        self._outgoing.fail_all(self._end_error, 0.0)
        finish(self, trigger)

    patch.setattr(Ending, "_fix_reason", fix_reason)
    patch.setattr(Ending, "_finish", finish_late)


def panic_on_a_short_length(patch: Patch) -> None:
    """A length that is less than a header is taken off it, and the result is below zero."""
    check = LengthPrefixedDecoder._check

    def panic(self: LengthPrefixedDecoder, length: int) -> None:
        if length < HEADER_SIZE:
            raise OverflowError("attempt to subtract with overflow")
        check(self, length)

    patch.setattr(LengthPrefixedDecoder, "_check", panic)


def allocation_by_announced_length(patch: Patch) -> None:
    """As much memory as a header announces, before any of it is there. It is only counted here: this machine has other use for it."""
    buffered = LengthPrefixedDecoder.buffered.fget
    assert buffered is not None

    def allocate(self: LengthPrefixedDecoder) -> int:
        return buffered(self) + self._missing

    patch.setattr(LengthPrefixedDecoder, "buffered", property(allocate))


def timer_kept_for_each_call(patch: Patch) -> None:
    """The timer of a call runs on when the call has been answered."""
    patch.setattr(Deadlines, "note_ended", lambda self: None)


def unreadable_error_frame_ignored(patch: Patch) -> None:
    """An error that can't be decoded is dropped, and the call that it was for waits on."""
    error_received = Intake._error_received

    def ignore(self: Intake, cid: int, payload: bytes, now: float) -> None:
        try:
            self._decode_error(payload)
        except DecodeError:
            return
        error_received(self, cid, payload, now)

    patch.setattr(Intake, "_error_received", ignore)


def slow_observer_stalls_the_peer(patch: Patch) -> None:
    """A peer whose observer has too much unread waits for it, and reads nothing else."""
    tell, start = Audience.tell, DriverPeer.start
    peers: dict[Audience, DriverPeer] = {}

    def wait(self: Audience, event: Any) -> None:
        tell(self, event)
        if self in peers and any(observer._missed for observer in self._observers or ()):
            peers[self]._link.pause_reading()

    def remember(self: DriverPeer, services: Any) -> None:
        peers[self._audience] = self
        start(self, services)

    patch.setattr(Audience, "tell", wait)
    patch.setattr(DriverPeer, "start", remember)


def cancelled_write_cuts_a_frame(patch: Patch) -> None:
    """A caller that gives up takes along what is left of its frame, of which some bytes have gone."""
    give_up = DriverPeer._give_up

    def cut(self: DriverPeer, item: Any) -> None:
        link: Any = self._link
        if link.unsent:
            link._outgoing.clear()
            link._unsent = 0
            self._engine.call_soon(self.all_written)
        give_up(self, item)

    patch.setattr(DriverPeer, "_give_up", cut)


MUTANTS: dict[Callable[[Patch], None], str] = {
    deaf_after_a_codec_error: "still wait|without an answer|reading stands still|nothing was slow|closed for a frame timeout",
    permit_leaked_on_failed_calls: "hold a permit",
    answer_frees_a_permit_of_another: "hold a permit",
    reader_waits_for_a_permit: "reading stands still",
    pending_calls_failed_only_after_grace: "calls still wait for answers",
    panic_on_a_short_length: "subtract with overflow",
    allocation_by_announced_length: "too many bytes held",
    timer_kept_for_each_call: "too many deadlines",
    unreadable_error_frame_ignored: "the call still waits for it",
    slow_observer_stalls_the_peer: "still wait|without an answer|nothing was slow",
    cancelled_write_cuts_a_frame: "a frame was cut",
}
"""All of them, and what the simulation says of each."""
