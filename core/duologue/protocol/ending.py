"""How a connection ends: by us, by the remote, by a mistake, or by its transport (docs/lifecycle.md).

Whoever waits learns the end at once. Then handlers may have some time, the last bytes leave, and what still comes in is
read and dropped, or a reset would destroy our last answers on their way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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

    # -- what ends it ------------------------------------------------------------------------------

    def close(self, reason: str, grace: float, now: float) -> None:
        """This end wants it. Closing twice: the earlier end wins, and the first reason stays."""
        if not grace >= 0:
            raise ValueError(f"a grace of {grace!r} seconds: give 0 or more")
        life = self._life
        if life.is_open:
            self._leave_open(CloseReason.CLOSED_LOCALLY, reason, now)
            self._incoming.clear_parking(now, answer=True)
            if self._incoming.running and grace > 0:
                life.move(Trigger.CLOSE_WITH_GRACE)
                life.grace_ends = now + grace
            else:
                self._enter_closing(Trigger.CLOSE, now)
        elif life.phase is Phase.GRACE:
            life.grace_ends = min(life.grace_ends or now, now + grace)
            if grace <= 0:
                self._enter_closing(Trigger.GRACE_OVER, now)

    def end_of_stream(self, now: float) -> None:
        """The remote says nothing more."""
        life, reading = self._life, self._reading
        if reading.eof_seen or life.phase is Phase.CLOSED:
            return
        if life.is_open:
            if reading.decoder.is_inside_frame:
                self._leave_open(CloseReason.TRUNCATED, reading.describe_rest(), now)
            elif reading.cut_short:
                self._leave_open(CloseReason.TRUNCATED, reading.cut_short, now)
            else:
                self._leave_open(CloseReason.CLOSED_BY_REMOTE, "", now)
            self._incoming.clear_parking(now, answer=False)
            if self._incoming.running and self._limits.eof_grace > 0:
                life.move(Trigger.END_OF_STREAM_WITH_GRACE)
                life.grace_ends = now + self._limits.eof_grace
            else:
                self._enter_closing(Trigger.END_OF_STREAM, now)
        reading.eof_seen = True
        reading.stop()
        self.settle(now)

    def protocol_error(self, error: ProtocolError, now: float) -> None:
        """The remote is out of step: tell it, and close. What it sent before stays as it was decided."""
        self._leave_open(CloseReason.PROTOCOL_ERROR, str(error), now)
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
        if self._life.is_open:
            self._leave_open(reason, detail, now)
        self._incoming.clear_parking(now, answer=False)
        self._incoming.cancel_running(now, answer=False)
        self._finish(Trigger.TRANSPORT_LOST)

    # -- how it goes on ----------------------------------------------------------------------------

    def settle(self, now: float) -> None:
        """Look whether the present phase has reached its end."""
        life = self._life
        if life.phase is Phase.GRACE and not self._incoming.running:
            self._enter_closing(Trigger.HANDLERS_ENDED, now)
        if life.phase is Phase.CLOSING and not self._outbox.level:
            if life.discard_ends is None:
                life.discard_ends = now + self._limits.discard_timeout
                self._events.append(WritingFinished())
            if self._reading.eof_seen:
                self._finish(Trigger.ALL_SENT_AND_READ)

    def handle_timer(self, now: float) -> None:
        """Look at the clocks of stalled writing, silent frames, and of the phase."""
        silent = self._reading.next_deadline()
        if silent is not None and now >= silent:
            self.cut(CloseReason.FRAME_TIMEOUT, self._reading.describe_rest(), now)
        stalled = self.stalls_at()
        if stalled is not None and now >= stalled:
            self.cut(CloseReason.WRITE_STALLED, f"{self._outbox.level} bytes unsent", now)
        life = self._life
        if life.phase is Phase.GRACE and life.grace_ends is not None and now >= life.grace_ends:
            self._enter_closing(Trigger.GRACE_OVER, now)
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

    def error(self) -> ConnectionClosed:
        """What a command gets that comes too late."""
        assert self._life.reason is not None
        return ConnectionClosed(self._life.reason, Executed.NO, self._life.detail)

    # -- inside --------------------------------------------------------------------------------------

    def _leave_open(self, reason: CloseReason, detail: str, now: float) -> None:
        """Whoever waits for an answer, or for room, learns the end at once: before the handlers get their time."""
        self._life.leave_open(reason, detail)
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
        self._incoming.cancel_running(now, answer=answer)
        self._life.move(trigger)
        self._life.close_ends = now + self._limits.close_timeout
        self._reading.stop()  # what comes from now on is dropped

    def _finish(self, trigger: Trigger) -> None:
        life = self._life
        life.move(trigger)
        self._reading.stop()
        self._reading.eof_seen = True  # there is nothing to read any more, either
        self._outbox.clear()
        assert life.reason is not None
        self._relays.end()
        self._events.append(PeerClosed(life.reason, life.detail))


def _public_text(error: ProtocolError) -> str:
    """What the remote may read about its own mistake: sizes and ids that it sent, never a byte of payload."""
    return str(error) if type(error) is ProtocolError else "a frame is over the size limit"
