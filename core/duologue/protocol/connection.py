"""One end of one connection, without I/O: bytes and the time come in by calls, events and bytes come out.

What to do with a `Connection`, whatever runs it:

* After any command or input look at `events()`, `data_to_send()`, `wants_read` and `next_deadline()`.
* Take `data_to_send()` only when the transport has taken all it was given before, and say so with `data_sent`.
* Call `handle_timer` at `next_deadline()`, or earlier: being woken once too often does no harm.
* Answer each request that is delivered exactly once.
* If the transport does not take at once what `data_to_send` gave, `look`: reading may have waited for no more than that.
* Where many commands follow each other, `more=True` puts off what need not be looked at for each: then call `look`.

Commands raise when you did something wrong, and leave everything as it was. Nothing that the remote sends raises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from duologue.protocol.budget import CallBudget
from duologue.protocol.deadlines import earlier
from duologue.protocol.ending import Ending
from duologue.protocol.errors import (
    CloseReason,
    Executed,
    FailureKind,
    ProtocolError,
)
from duologue.protocol.events import ErrorReported, Event, IncomingRequest
from duologue.protocol.failures import call_error, read_error, read_error_sid
from duologue.protocol.feed import Feed
from duologue.protocol.frames import LENGTH_PREFIXED, Framing
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.incoming import REFUSAL_SIZE, Incoming, not_delivered
from duologue.protocol.lifecycle import Lifecycle, Phase
from duologue.protocol.limits import Limits
from duologue.protocol.outbox import Outbox
from duologue.protocol.outgoing import NESTED_SHARE, Outgoing
from duologue.protocol.pending import OutgoingCall, OutgoingSend, StrayCounter
from duologue.protocol.reading import Reading
from duologue.protocol.relaying import Relays
from duologue.protocol.routes import Router


@dataclass(frozen=True, slots=True)
class ErrorBodies:
    """How plain data becomes bytes and back, for the bodies of error frames: the wire format's part in the core."""

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


class Connection:
    """The state machine. It puts its parts together: decoder, outgoing, incoming, outbox, life cycle."""

    def __init__(
        self,
        router: Router,
        error_bodies: ErrorBodies,
        *,
        limits: Limits = Limits(),
        budget: CallBudget | None = None,
        framing: Framing = LENGTH_PREFIXED,
        first_call_id: int = 1,
    ) -> None:
        """`router` says where a service id leads. `budget` may be shared by connections; by default it is this one's own."""
        if budget is None:
            budget = CallBudget(limits.calls, lent_limit=limits.lent)
        self.limits = limits
        self.late = 0
        """Answers to calls that nobody waited for any more."""
        self._events: list[Event] = []
        self._bodies = error_bodies
        self._reading = Reading(framing.decoder(limits.max_frame), limits.frame_timeout)
        self._outbox = Outbox(limits.outbox_high)
        self._outgoing = Outgoing(limits, framing, self._outbox, self._events, first_call_id)
        self._incoming = Incoming(
            router, budget, limits, framing, error_bodies.encode, self._outbox, self._events
        )
        self._strays = StrayCounter(limits.strays)
        self._life = Lifecycle()
        self._relays = Relays(self._life, self._incoming, self._outgoing, self._events)
        self._incoming.relays = self._relays
        self._ending = Ending(
            limits,
            self._life,
            self._reading,
            self._outgoing,
            self._incoming,
            self._outbox,
            self._relays,
            self._events,
            error_bodies.encode,
            framing,
        )
        self._refusals_limit = NESTED_SHARE * limits.owed * REFUSAL_SIZE

    # -- commands: own requests -----------------------------------------------------------

    def call(
        self,
        sid: int,
        payload: bytes,
        deadline: float | None,
        now: float,
        handled: IncomingRequest | None = None,
    ) -> OutgoingCall:
        """Call a service. Waits in the core until there is room; one event gives the outcome.

        `deadline` is in the clock of `now`; None for never; one that is past fails at once. `handled`: the request in
        whose handler it is made, of this connection or of another. Such a call never waits for answers to others.
        Raises `ConnectionClosed`, `FrameTooLarge`, `Overloaded`, or `ValueError` for a reserved service id.
        """
        if not self._life.is_open:
            self._check_may_ask(handled)
        call = self._outgoing.call(sid, payload, deadline, now, handled is not None)
        if self._reading.is_paused:
            self._read_on(now)  # now something is owed to us, so reading may have to go on
        return call

    def send(
        self,
        sid: int,
        payload: bytes,
        deadline: float | None,
        now: float,
        handled: IncomingRequest | None = None,
    ) -> OutgoingSend | None:
        """Send one way. None if it is in the outbox; else it waits for room, and one event gives the outcome.

        Raises what `call` raises. `handled` matters only while the connection is draining.
        """
        if not self._life.is_open:
            self._check_may_ask(handled)
        send = self._outgoing.send(sid, payload, deadline, now)
        if self._reading.is_paused:
            self._read_on(now)  # now room is awaited, so reading may have to go on
        return send

    def publish(self, feed: Feed, sid: int, payload: bytes, now: float) -> None:
        """Send to a subscriber, one way. Without room it waits in the feed, or goes by the feed's policy (docs/pubsub.md).

        Raises `ConnectionClosed`, `FrameTooLarge`, or `ValueError` for a reserved service id.
        """
        if not self._life.is_open:
            raise self._life.refusal()
        self._outgoing.publish(feed, sid, payload, now)
        if feed.is_overrun:
            self.close("a subscriber is too slow", 0.0, now)

    def end_feed(self, feed: Feed) -> None:
        """The subscription is over: what waits in the feed is let go."""
        self._outgoing.end_feed(feed)

    def cancel(self, item: OutgoingCall | OutgoingSend, now: float) -> Executed:
        """Nobody waits for this any more. No event follows; says whether its handler may run nevertheless."""
        executed = self._outgoing.cancel(item, now)
        if self._reading.is_paused:
            self._read_on(now)  # a call that waited for room may have taken the place
        if self._life.is_draining:
            self._settle(now)
        return executed

    def _check_may_ask(self, handled: IncomingRequest | None) -> None:
        """While it drains, what is under way may ask the remote for what it needs. Nobody else, and not later."""
        if not self._life.is_draining or handled is None or not self._incoming.runs(handled):
            raise self._life.refusal()

    # -- commands: requests of the remote's --------------------------------------------------

    def respond(self, request: IncomingRequest, payload: bytes, now: float, more: bool = False) -> None:
        """The handler has ended with this answer. If it is too large, the remote gets an error in its place, at once."""
        self._incoming.respond(request, payload, now)
        if not more:
            self.look(now)

    def fail(
        self, request: IncomingRequest, kind: FailureKind, now: float, error: BaseException | None = None
    ) -> None:
        """The handler has failed. `error` goes into the local event, and nowhere else."""
        self._incoming.fail(request, kind, now, error)
        self.look(now)

    def done(self, request: IncomingRequest, now: float, more: bool = False) -> None:
        """The handler of a one-way message, or of a request that was cancelled, has ended."""
        if not request.is_delivered or request.is_ended:
            raise not_delivered(request)
        if request.cid and not request.is_cancelled:
            raise ValueError("a call needs an answer: end it with respond or fail")
        self._incoming.release(request, now)
        if not more:
            self.look(now)

    @property
    def needs_look(self) -> bool:
        """Whether there is anything that `look` might see."""
        return self._reading.is_paused or not self._life.is_open

    def look(self, now: float) -> None:
        """Whether reading may go on, and whether this phase has come to its end: requests may have ended with `more`."""
        if self._reading.is_paused:
            self._read_on(now)
        if not self._life.is_open:
            self._settle(now)

    def lend(self, request: IncomingRequest, now: float) -> bool:
        """The request's handler begins to wait for a remote: others may use its permit. False: too many wait (F1)."""
        lent = self._incoming.lend(request, now)
        if self._reading.is_paused:
            self._read_on(now)
        return lent

    def unlend(self, request: IncomingRequest, now: float) -> None:
        """The wait is over."""
        self._incoming.unlend(request)

    def relay(self, request: IncomingRequest, target: Relays, now: float) -> None:
        """Let another connection answer a request that was delivered, in place of a handler. Nothing is owed for it any more.

        `target` is the `relays` of that connection. Both connections must be given the same clock. One that was cancelled
        meanwhile just ends. Raises `ValueError` if the request is not running.
        """
        if request.is_cancelled:
            self.done(request, now)
            return
        self._relays.relay(self._incoming.hand_over(request, target), now)
        self.look(now)

    def permit_freed(self, now: float) -> None:
        """What `on_permit` told of: a permit of a shared budget may be free."""
        self._incoming.advance(now)
        if self._reading.is_paused:
            self._read_on(now)

    # -- commands: the end ----------------------------------------------------------------------

    def drain(self, reason: str, timeout: float | None, now: float) -> None:
        """End the connection when all that is under way has ended: handlers that run, requests that are parked, own calls.

        Meanwhile the remote's one-way messages are still handled, its new calls are refused, and own requests are
        taken only from handlers of this connection's. After `timeout` seconds, None for never, it is closed without grace.
        Whether that was needed `is_drained` tells.
        """
        self._ending.drain(reason, timeout, now)
        self._settle(now)

    def close(self, reason: str, grace: float, now: float) -> None:
        """End the connection. Own calls fail now; handlers have `grace` seconds. Closing twice: the earlier end wins."""
        self._ending.close(reason, grace, now)
        self._settle(now)

    def abort(self, reason: str, now: float) -> None:
        """End the connection here and now: nothing more leaves, nothing more is read."""
        self._ending.cut(CloseReason.CLOSED_LOCALLY, reason, now)

    # -- input --------------------------------------------------------------------------------------

    def receive_data(self, data: bytes | memoryview, now: float) -> None:
        """Bytes came. A view is copied as far as needed: its memory may be used again when this returns."""
        if self._life.is_discarding:
            return
        if self._reading.decoder.feed(data) and not self._reading.is_paused:
            self._read(now)
            if self._life.is_draining:
                self._settle(now)
        elif not self._reading.is_paused:
            self._reading.note_progress(False, now)

    def receive_eof(self, now: float, cut_short: str = "", detail: str = "") -> None:
        """The remote has ended its half of the stream.

        `cut_short`: the transport knows that this is no clean end, and in these words why. TLS without `close_notify`
        is of this kind: anyone on the way can end a TCP stream. `detail`: what else is known, such as the exit status of a child.
        """
        self._reading.end_detail = detail
        self._reading.cut_short = cut_short
        if self._reading.is_paused:
            self._reading.eof_waits = True
        else:
            self._ending.end_of_stream(now)

    def transport_lost(self, detail: str, now: float, *, refused: bool = False) -> None:
        """The transport is gone, or broken: nothing can be read or written any more. `refused`: the remote did not want this end."""
        if self._reading.is_paused and self._reading.eof_waits:
            # The remote had ended its stream before, and all of that is here. So nothing of it gets lost, even if it is
            # more at once than it should be: no more than what was read when reading paused.
            self._reading.is_hurried = True
            self._read_on(now)
        self._ending.lose(CloseReason.REFUSED if refused else CloseReason.TRANSPORT_FAILED, detail, now)

    def data_sent(self, now: float, unsent: int = 0) -> None:
        """The transport has taken what `data_to_send` gave, but for the last `unsent` bytes."""
        if not self._outbox.taken(unsent, now):
            return
        if self._outgoing.is_blocked:  # even if nobody waits: the low-water mark counts when it is reached
            self._outgoing.admit(now)
        if self._incoming.parking.waiting:
            self._incoming.advance(now)
        if self._reading.is_paused:
            self._read_on(now)
        if not self._life.is_open:
            self._settle(now)

    def handle_timer(self, now: float) -> None:
        """The time has come, for whatever `next_deadline` named."""
        self._outgoing.handle_timer(now)
        self._ending.handle_timer(now)
        if self._reading.is_paused:
            self._read_on(now)

    # -- output ---------------------------------------------------------------------------------------

    def events(self) -> list[Event]:
        """What has happened since the last look."""
        events = self._events.copy()
        self._events.clear()
        return events

    @property
    def has_events(self) -> bool:
        """Whether `events` has something to give."""
        return bool(self._events)

    def data_to_send(self) -> list[bytes]:
        """The next bytes for the transport, if it has taken the last ones."""
        return self._outbox.take()

    def next_deadline(self) -> float | None:
        """When to call `handle_timer`; None if there is nothing to wait for."""
        deadline = self._outgoing.next_deadline()
        deadline = earlier(deadline, self._reading.next_deadline())
        if self._outbox.level:
            deadline = earlier(deadline, self._ending.stalls_at())
        if not self._life.is_open:
            deadline = earlier(deadline, self._life.next_deadline())
        return deadline

    @property
    def wants_read(self) -> bool:
        """Whether the driver shall read on. What it reads nevertheless is kept, and not looked at."""
        reading = self._reading
        return not reading.is_paused and not reading.eof_seen

    # -- state, for drivers, tests and people -----------------------------------------------------

    @property
    def phase(self) -> Phase:
        """Where in its life the connection is."""
        return self._life.phase

    @property
    def reason(self) -> CloseReason | None:
        """Why it ends; None while it is open."""
        return self._life.reason

    @property
    def is_drained(self) -> bool:
        """It was drained, and all that was under way had ended in time."""
        return self._life.is_drained

    @property
    def outgoing(self) -> Outgoing:
        """Own requests, to look at."""
        return self._outgoing

    @property
    def incoming(self) -> Incoming:
        """The remote's requests, to look at."""
        return self._incoming

    @property
    def relays(self) -> Relays:
        """What has to do with other connections. Its `name` and `wireformat` are to be set before anything is relayed."""
        return self._relays

    @property
    def outbox(self) -> Outbox:
        """What waits to be sent, to look at."""
        return self._outbox

    @property
    def strays(self) -> int:
        """Answers to calls that never were, and errors about the whole connection."""
        return self._strays.total

    @property
    def buffered(self) -> int:
        """Bytes received and not decoded."""
        return self._reading.decoder.buffered

    # -- reading ------------------------------------------------------------------------------------

    def _read(self, now: float) -> None:
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
        reading.note_progress(completed, now)

    def _read_on(self, now: float) -> None:
        """Reading was paused. If it need not be any more, take up what is in the decoder, and then the end of stream."""
        if self._must_pause():
            return
        reading = self._reading
        reading.resume()
        self._read(now)
        if reading.eof_waits and not reading.is_paused:
            self._ending.end_of_stream(now)

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
        kind, text = read_error(payload, self._bodies.decode)
        if not self._outgoing.error_received(cid, call_error(kind, text), now):
            sid = read_error_sid(payload, self._bodies.decode)
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
        elif self._strays.count(now):
            raise ProtocolError(
                f"over {self.limits.strays} answers to calls that never were, within {StrayCounter.WINDOW:g} s"
            )

    # -- what follows from commands ------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        if self._reading.is_paused:
            self._read_on(now)  # nothing need wait any more for those who have ended
        self._ending.settle(now)
