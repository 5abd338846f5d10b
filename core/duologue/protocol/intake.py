"""What comes in: frames in order, what each of them is, and when nothing more may be taken in (docs/flow.md)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from duologue.protocol.ending import Ending
from duologue.protocol.errors import ProtocolError
from duologue.protocol.events import ErrorReported, Event
from duologue.protocol.failures import call_error, read_error, read_error_sid
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.incoming import Incoming
from duologue.protocol.lifecycle import Lifecycle
from duologue.protocol.limits import Limits
from duologue.protocol.outbox import Outbox
from duologue.protocol.outgoing import Outgoing
from duologue.protocol.pending import StrayCounter
from duologue.protocol.reading import Reading
from duologue.protocol.room import NESTED_SHARE
from duologue.protocol.unanswered import REFUSAL_SIZE


class Intake:
    """Passes each frame on to the part of the connection that it concerns."""

    def __init__(
        self,
        limits: Limits,
        life: Lifecycle,
        reading: Reading,
        outgoing: Outgoing,
        incoming: Incoming,
        outbox: Outbox,
        ending: Ending,
        events: list[Event],
        decode_error: Callable[[bytes], Any],
    ) -> None:
        self._life = life
        self._reading = reading
        self._outgoing = outgoing
        self._incoming = incoming
        self._outbox = outbox
        self._ending = ending
        self._events = events
        self._decode_error = decode_error
        if reading.account is not None:
            reading.account.on_pressure = self.weigh
        self._refusals_limit = NESTED_SHARE * limits.owed * REFUSAL_SIZE
        self.strays = StrayCounter(limits.strays)
        """Answers to calls that never were."""
        self.late = 0
        """Answers to calls that nobody waited for any more."""

    def read(self, now: float) -> None:
        """Decode and dispatch what is here, until reading has to pause. The hot path: one pass, no call for nothing."""
        reading, incoming, outgoing, outbox = self._reading, self._incoming, self._outgoing, self._outbox
        sends, parking = incoming.sends, incoming.parking
        if (sends.is_full or parking.is_full or outbox.refusals) and self._must_pause():
            reading.pause()  # a command has filled what was not full after the last frame
            return
        completed, is_open = False, self._life.is_open
        try:
            for sid, cid, payload in reading.decoder.frames():
                completed = True
                # The kind of a frame, decided in this order (docs/protocol.md, section 1).
                if sid == ERROR_SID:
                    self._error_received(cid, payload, now)
                elif sid == RESPONSE_SID:
                    if not outgoing.response_received(cid, payload, now):
                        self._unexpected_answer(cid, now)
                    elif outgoing.has_waiting:
                        outgoing.admit(now)
                elif not is_open and (cid or not self._life.is_draining):
                    incoming.refuse_new(sid, cid, payload, now)
                elif cid == 0:
                    incoming.send_received(sid, payload, now)
                else:
                    incoming.call_received(sid, cid, payload, outgoing.pending.owed > 0, now)
                if (sends.is_full or parking.is_full or outbox.refusals) and self._must_pause():
                    reading.pause()
                    return
        except ProtocolError as error:
            self._ending.protocol_error(error, now)
            return
        if completed and reading.account is not None:
            reading.account.end_pass()  # it was for one frame: the next one has to wait for its turn
        reading.note_progress(completed, now)

    def read_on(self, now: float) -> None:
        """Reading was paused. If it need not be any more, take up what is in the decoder, and then the end of stream."""
        if self._must_pause():
            return
        reading = self._reading
        reading.resume()
        self.read(now)
        if reading.eof_waits and not reading.is_paused:
            self._ending.end_of_stream(now)
        if reading.account is not None:
            self.weigh()

    def weigh(self) -> None:
        """Tell the server's budget what is held here, and see whether more may be read (F9). Only if there is such a budget.

        Only reading stops. What is here is decoded and started, since nothing else can make room; and the clock of a
        frame that has begun goes on, since those who never end theirs could keep out everybody else for ever.
        """
        reading, account = self._reading, self._reading.account
        assert account is not None
        account.buffer(reading.decoder.buffered)
        if reading.is_paused or self._life.is_ending or self._outgoing.pending.owed:
            # It reads nothing anyway; or must read, since an answer may be next.
            account.end_pass()
            reading.is_pressed = False
        else:
            reading.is_pressed = account.must_pause(reading.decoder.is_inside_frame)

    def _must_pause(self) -> bool:
        """Whether nothing more may be taken in for now (F3, F4, F5). Requests that are refused cost nothing but that."""
        if self._reading.is_hurried:
            return False
        if self._outbox.refusals > self._refusals_limit:
            return True
        incoming, outgoing, life = self._incoming, self._outgoing, self._life
        if life.is_ending:
            return False
        owed = outgoing.pending.owed > 0
        return (life.is_open and incoming.parking.is_full and not owed) or incoming.holds_reading(
            owed or outgoing.has_waiting
        )

    def _error_received(self, cid: int, payload: bytes, now: float) -> None:
        kind, text = read_error(payload, self._decode_error)
        if not self._outgoing.error_received(cid, call_error(kind, text), now):
            sid = read_error_sid(payload, self._decode_error)
            self._events.append(ErrorReported(kind, cid, text, sid))
            self._unexpected_answer(cid, now)
        if self._outgoing.has_waiting:
            self._outgoing.admit(now)

    def _unexpected_answer(self, cid: int, now: float) -> None:
        """An answer that nobody waits for: late is harmless, stray is harmless up to a rate."""
        if self._outgoing.pending.settle(cid):
            self.late += 1
            if self._outgoing.has_waiting:
                self._outgoing.admit(now)
        elif self.strays.count(now):
            raise ProtocolError(
                f"over {self.strays.limit} answers to calls that never were, within {StrayCounter.WINDOW:g} s"
            )
