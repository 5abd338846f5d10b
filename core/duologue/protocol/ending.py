"""How a connection ends: by us, by the remote, by a mistake, or by its transport (docs/lifecycle.md).

Whoever waits learns the end at once. Then handlers may have some time, the last bytes leave, and what still comes in is
read and dropped, or a reset would destroy our last answers on their way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duologue.protocol.deadlines import earlier
from duologue.protocol.errors import (
    CallError,
    CloseReason,
    ConnectionClosed,
    ConnectionLost,
    Executed,
    ProtocolError,
)
from duologue.protocol.events import Event, PeerClosed, WritingFinished
from duologue.protocol.failures import connection_error_body
from duologue.protocol.frames import Framing
from duologue.protocol.ids import ERROR_SID
from duologue.protocol.incoming import Incoming
from duologue.protocol.lifecycle import Lifecycle, Phase, Trigger
from duologue.protocol.limits import Limits
from duologue.protocol.outbox import Outbox
from duologue.protocol.outgoing import Outgoing
from duologue.protocol.reading import Reading
from duologue.protocol.relaying import Relays


class Ending:
    """Moves a connection through its life, and has the others do what each move means."""

    def __init__(
        self,
        limits: Limits,
        life: Lifecycle,
        reading: Reading,
        outgoing: Outgoing,
        incoming: Incoming,
        outbox: Outbox,
        relays: Relays,
        events: list[Event],
        encode_error: Callable[[Any], bytes],
        framing: Framing,
    ) -> None:
        self._framing = framing
        self._limits = limits
        self._life = life
        self._reading = reading
        self._outgoing = outgoing
        self._incoming = incoming
        self._outbox = outbox
        self._relays = relays
        self._events = events
        self._encode_error = encode_error
        self._is_clean_end = False
        """The remote's end has come, between two frames and with the goodbye of the transport, if it has one."""
        self._has_finished_writing = False

    # -- what ends it ------------------------------------------------------------------------------

    def drain(self, reason: str, timeout: float | None, now: float) -> None:
        """This end wants it, when all that is under way has ended. Doing it twice: the earlier end wins."""
        if timeout is not None and not timeout >= 0:
            raise ValueError(
                f"draining for {timeout!r} seconds: give 0 or more, or None for as long as it takes"
            )
        life = self._life
        if timeout is not None and timeout <= 0:
            self.close(reason, 0.0, now)
            return
        ends = None if timeout is None else now + timeout
        if life.is_open:
            life.move(Trigger.DRAIN)
            life.drain_reason = reason
            life.drain_ends = ends
            refusal = life.refusal()
            self._relays.leave_open(refusal.reason, refusal.detail)
        elif life.is_draining:
            life.drain_ends = earlier(life.drain_ends, ends)

    def close(self, reason: str, grace: float, now: float) -> None:
        """This end wants it. Closing twice: the earlier end wins, and the first reason stays."""
        if not grace >= 0:
            raise ValueError(f"a grace of {grace!r} seconds: give 0 or more")
        life = self._life
        if not life.is_ending:
            self._fix_reason(CloseReason.CLOSED_LOCALLY, life.drain_reason or reason, now)
            self._incoming.clear_parking(now, answer=True)
            if self._incoming.requests.goes_on and grace > 0:
                life.grace_ends = earlier(life.drain_ends, now + grace)
                life.move(Trigger.CLOSE_WITH_GRACE)
            else:
                self._enter_closing(Trigger.CLOSE, now)
        elif life.phase is Phase.GRACE:
            life.grace_ends = earlier(life.grace_ends, now + grace)
            if grace <= 0:
                self._enter_closing(Trigger.GRACE_OVER, now)

    def end_of_stream(self, now: float) -> None:
        """The remote says nothing more."""
        life, reading = self._life, self._reading
        if reading.eof_seen or life.phase is Phase.CLOSED:
            return
        problem = reading.describe_rest() if reading.decoder.is_inside_frame else reading.cut_short
        self._is_clean_end = not problem
        if not life.is_ending:
            if problem:
                self._fix_reason(CloseReason.TRUNCATED, problem, now)
            elif life.is_draining and self._is_idle:
                life.is_drained = True  # but for bytes that the transport has not taken
                self._fix_reason(CloseReason.CLOSED_LOCALLY, life.drain_reason, now)
            else:
                self._fix_reason(CloseReason.CLOSED_BY_REMOTE, reading.end_detail, now)
            self._let_handlers_end(now)
        reading.eof_seen = True
        reading.stop()
        self.settle(now)

    def _let_handlers_end(self, now: float) -> None:
        """The remote's end has come. Its calls have the time of `eof_grace`; one-way messages more, if it was a clean end.

        The answers to its calls it may not read any more. A message that was sent before is to be handled: to send
        and to hang up is in order.
        """
        limits, incoming, life = self._limits, self._incoming, self._life
        for_calls = limits.eof_grace
        for_sends = max(for_calls, limits.eof_grace_sends) if self._is_clean_end else for_calls
        incoming.clear_parking(now, answer=False, keep_sends=for_sends > 0)
        if not for_calls:
            incoming.requests.cancel(now, answer=True, sends=not for_sends)
        if incoming.requests.goes_on:
            life.move(Trigger.END_OF_STREAM_WITH_GRACE)
            life.grace_ends = now + for_sends
            life.calls_end = now + for_calls if for_calls else None
        else:
            self._enter_closing(Trigger.END_OF_STREAM, now)

    def protocol_error(self, error: ProtocolError, now: float) -> None:
        """The remote is out of step: tell it, and close. What it sent before stays as it was decided."""
        self._fix_reason(CloseReason.PROTOCOL_ERROR, str(error), now)
        self._incoming.clear_parking(now, answer=False)
        payload = self._encode_error(connection_error_body(_public_text(error)))
        header = self._framing.header(self._framing.overhead + len(payload), ERROR_SID, 0)
        self._outbox.put_answer(header, payload, now)
        self._enter_closing(Trigger.PROTOCOL_ERROR, now, answer=False)
        self.settle(now)

    def cut(self, reason: CloseReason, detail: str, now: float) -> None:
        """No way to say anything any more: everything ends here and now."""
        if self._life.phase is Phase.CLOSED:
            return
        if not self._life.is_ending:
            self._fix_reason(reason, detail, now)
        self._incoming.clear_parking(now, answer=False)
        self._incoming.requests.cancel(now, answer=False)
        self._finish(Trigger.TRANSPORT_LOST)

    def lose(self, reason: CloseReason, detail: str, now: float) -> None:
        """The transport is of no use any more. One-way messages that came before a clean end need none."""
        if self._life.phase is not Phase.GRACE or not self._is_clean_end:
            self.cut(reason, detail, now)
            return
        self._incoming.requests.cancel(now, answer=False, sends=False)
        self._outbox.clear()
        self._has_finished_writing = True
        self.settle(now)

    # -- how it goes on ----------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Look whether the present phase has reached its end."""
        life, incoming, outbox = self._life, self._incoming, self._outbox
        if life.is_draining and self._is_idle and not outbox.level:
            life.is_drained = True
            self._fix_reason(CloseReason.CLOSED_LOCALLY, life.drain_reason, now)
            self._enter_closing(Trigger.DRAINED, now)
        if life.phase is Phase.GRACE:
            if not incoming.requests.goes_on:
                self._enter_closing(Trigger.HANDLERS_ENDED, now)
            elif self._is_clean_end and not incoming.unanswered and not outbox.level:
                self._finish_writing()  # nothing more can come to be written, so the remote need not wait for it
        if life.phase is Phase.CLOSING and not outbox.level:
            self._finish_writing()
            if life.discard_ends is None:
                life.discard_ends = now + self._limits.discard_timeout
            if self._reading.eof_seen:
                self._finish(Trigger.ALL_SENT_AND_READ)

    def handle_timer(self, now: float) -> None:
        """Look at the clocks of stalled writing, silent frames, and of the phase."""
        silent = self._reading.next_deadline()
        if silent is not None and now >= silent:
            self.cut(CloseReason.FRAME_TIMEOUT, self._reading.describe_rest(), now)
        stalled = self.stalls_at()
        if stalled is not None and now >= stalled:
            self.lose(CloseReason.WRITE_STALLED, f"{self._outbox.level} bytes unsent", now)
        life = self._life
        if life.is_draining and life.drain_ends is not None and now >= life.drain_ends:
            self._give_up_draining(now)
        if life.phase is Phase.GRACE and life.grace_ends is not None and now >= life.grace_ends:
            self._enter_closing(Trigger.GRACE_OVER, now)
        elif life.calls_end is not None and now >= life.calls_end:
            life.calls_end = None
            self._incoming.requests.cancel(now, answer=True, sends=False)
        if not life.is_open:
            self.settle(now)
        if life.phase is Phase.CLOSING:
            if life.discard_ends is not None and now >= life.discard_ends:
                self._finish(Trigger.ALL_SENT_AND_READ)
            elif life.close_ends is not None and now >= life.close_ends:
                self._finish(Trigger.CLOSE_TIMEOUT)

    def stalls_at(self) -> float | None:
        """When the connection is given up, since the transport takes nothing (F4)."""
        outbox = self._outbox
        if not outbox.level or self._life.phase is Phase.CLOSED:
            return None
        requests_stall = outbox.progress_at + self._limits.requests_stalled
        if outbox.gated_since is None:
            return requests_stall
        return min(requests_stall, max(outbox.progress_at, outbox.gated_since) + self._limits.answers_stalled)

    # -- inside --------------------------------------------------------------------------------------

    @property
    def _is_idle(self) -> bool:
        """Nothing is under way, in either direction. Calls that were given up don't count: nobody waits for them."""
        return self._outgoing.is_idle and not self._incoming.requests.goes_on

    def _give_up_draining(self, now: float) -> None:
        life = self._life
        words = f"{life.drain_reason}, and " if life.drain_reason else ""
        life.drain_reason = f"{words}not drained in time"
        self._fix_reason(CloseReason.CLOSED_LOCALLY, life.drain_reason, now)
        self._enter_closing(Trigger.DRAIN_OVER, now)

    def _fix_reason(self, reason: CloseReason, detail: str, now: float) -> None:
        """Whoever waits for an answer, or for room, learns the end at once: before the handlers get their time."""
        self._life.fix_reason(reason, detail)
        self._outgoing.fail_all(self._end_error, now)
        assert self._life.reason is not None
        self._relays.leave_open(self._life.reason, self._life.detail)

    def _end_error(self, executed: Executed) -> CallError:
        reason = self._life.reason
        assert reason is not None
        if reason is CloseReason.CLOSED_LOCALLY:
            return ConnectionClosed(reason, executed, self._life.detail)
        return ConnectionLost(reason, executed, self._life.detail)

    def _enter_closing(self, trigger: Trigger, now: float, *, answer: bool = True) -> None:
        self._incoming.clear_parking(
            now, answer=answer
        )  # messages that waited for their turn, in a grace that is over
        self._incoming.requests.cancel(now, answer=answer)
        self._life.move(trigger)
        self._life.close_ends = now + self._limits.close_timeout
        self._reading.stop()  # what comes from now on is dropped

    def _finish_writing(self) -> None:
        if not self._has_finished_writing:
            self._has_finished_writing = True
            self._events.append(WritingFinished())

    def _finish(self, trigger: Trigger) -> None:
        life = self._life
        life.move(trigger)
        self._reading.stop()
        self._reading.eof_seen = True  # there is nothing to read any more, either
        self._outbox.clear()
        if self._reading.account is not None:
            self._reading.account.close()
        assert life.reason is not None
        self._relays.end()
        self._events.append(PeerClosed(life.reason, life.detail))


def _public_text(error: ProtocolError) -> str:
    """What the remote may read about its own mistake: sizes and ids that it sent, never a byte of payload."""
    return str(error) if type(error) is ProtocolError else "a frame is over the size limit"
