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

from duologue.protocol.budget import CallBudget
from duologue.protocol.deadlines import earlier
from duologue.protocol.ending import Ending
from duologue.protocol.errors import CloseReason, Executed, FailureKind
from duologue.protocol.events import Event, IncomingRequest
from duologue.protocol.failures import ErrorBodies
from duologue.protocol.feed import Feed
from duologue.protocol.frames import LENGTH_PREFIXED, Framing
from duologue.protocol.incoming import Incoming
from duologue.protocol.intake import Intake
from duologue.protocol.lifecycle import Lifecycle, Phase
from duologue.protocol.limits import Limits
from duologue.protocol.outbox import Outbox
from duologue.protocol.outgoing import Outgoing
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue.protocol.reading import Reading
from duologue.protocol.received import ByteAccount
from duologue.protocol.relaying import Relays
from duologue.protocol.routes import Router
from duologue.protocol.running import not_delivered


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
        account: ByteAccount | None = None,
    ) -> None:
        """`router` says where a service id leads. `budget`, and the one that `account` is of, may be shared by connections."""
        if budget is None:
            budget = CallBudget(limits.calls, lent_limit=limits.lent)
        self.limits = limits
        self._events: list[Event] = []
        self._reading = Reading(framing.decoder(limits.max_frame), limits.frame_timeout, account)
        self._outbox = Outbox(limits.outbox_high)
        self._outgoing = Outgoing(limits, framing, self._outbox, self._events, first_call_id)
        self._incoming = Incoming(
            router, budget, limits, framing, error_bodies.encode, self._outbox, self._events
        )
        self._incoming.parking.account = account
        self._requests = self._incoming.requests
        self._life = Lifecycle()
        self._relays = Relays(self._life, self._incoming, self._outgoing, self._events)
        self._incoming.relays = self._requests.relays = self._relays
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
        self._intake = Intake(
            limits,
            self._life,
            self._reading,
            self._outgoing,
            self._incoming,
            self._outbox,
            self._ending,
            self._events,
            error_bodies.decode,
        )

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
            self._intake.read_on(now)  # now something is owed to us, so reading may have to go on
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
            self._intake.read_on(now)  # now room is awaited, so reading may have to go on
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
            self._intake.read_on(now)  # a call that waited for room may have taken the place
        if self._life.is_draining:
            self._settle(now)
        return executed

    def _check_may_ask(self, handled: IncomingRequest | None) -> None:
        """While it drains, what is under way may ask the remote for what it needs. Nobody else, and not later."""
        if not self._life.is_draining or handled is None or handled not in self._requests:
            raise self._life.refusal()

    # -- commands: requests of the remote's --------------------------------------------------

    def respond(self, request: IncomingRequest, payload: bytes, now: float, more: bool = False) -> None:
        """The handler has ended with this answer. If it is too large, the remote gets an error in its place, at once."""
        self._requests.respond(request, payload, now)
        if not more:
            self.look(now)

    def fail(
        self, request: IncomingRequest, kind: FailureKind, now: float, error: BaseException | None = None
    ) -> None:
        """The handler has failed. `error` goes into the local event, and nowhere else."""
        self._requests.fail(request, kind, now, error)
        self.look(now)

    def done(self, request: IncomingRequest, now: float, more: bool = False) -> None:
        """The handler of a one-way message, or of a request that was cancelled, has ended."""
        if not request.is_delivered or request.is_ended:
            raise not_delivered(request)
        if request.cid and not request.is_cancelled:
            raise ValueError("a call needs an answer: end it with respond or fail")
        self._requests.release(request, now)
        if not more:
            self.look(now)

    @property
    def needs_look(self) -> bool:
        """Whether there is anything that `look` might see."""
        return self._reading.is_paused or self._reading.is_pressed or not self._life.is_open

    def look(self, now: float) -> None:
        """Whether reading may go on, and whether this phase has come to its end: requests may have ended with `more`."""
        if self._reading.is_paused:
            self._intake.read_on(now)
        if self._reading.is_pressed:
            self._intake.weigh()
        if not self._life.is_open:
            self._settle(now)

    def lend(self, request: IncomingRequest, now: float) -> bool:
        """The request's handler begins to wait for a remote: others may use its permit. False: too many wait (F1)."""
        lent = self._requests.lend(request, now)
        if self._reading.is_paused:
            self._intake.read_on(now)
        return lent

    def unlend(self, request: IncomingRequest, now: float) -> None:
        """The wait is over."""
        self._requests.unlend(request)

    def relay(self, request: IncomingRequest, target: Relays, now: float) -> None:
        """Let another connection answer a request that was delivered, in place of a handler. Nothing is owed for it any more.

        `target` is the `relays` of that connection. Both connections must be given the same clock. One that was cancelled
        meanwhile just ends. Raises `ValueError` if the request is not running.
        """
        if request.is_cancelled:
            self.done(request, now)
            return
        self._relays.relay(self._requests.hand_over(request, target), now)
        self.look(now)

    def permit_freed(self, now: float) -> None:
        """What `on_permit` told of: a permit of a shared budget may be free."""
        self._incoming.advance(now)
        if self._reading.is_paused:
            self._intake.read_on(now)

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
            self._intake.read(now)
            if self._life.is_draining:
                self._settle(now)
        if self._reading.account is not None:
            self._intake.weigh()

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
            self._intake.read_on(now)
        self._ending.lose(CloseReason.REFUSED if refused else CloseReason.TRANSPORT_FAILED, detail, now)

    def data_sent(self, now: float, unsent: int = 0) -> None:
        """The transport has taken what `data_to_send` gave, but for the last `unsent` bytes."""
        if not self._outbox.taken(unsent, now):
            return
        if self._outgoing.room.is_blocked:
            self._outgoing.admit(now)  # even if nobody waits: the low-water mark counts when it is reached
        if self._incoming.parking.waiting:
            self._incoming.advance(now)
        if self._reading.is_paused:
            self._intake.read_on(now)
        if not self._life.is_open:
            self._settle(now)

    def handle_timer(self, now: float) -> None:
        """The time has come, for whatever `next_deadline` named."""
        self._outgoing.handle_timer(now)
        self._ending.handle_timer(now)
        if self._reading.is_paused:
            self._intake.read_on(now)

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
        return not (reading.is_paused or reading.is_pressed or reading.eof_seen)

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
    def late(self) -> int:
        """Answers to calls that nobody waited for any more."""
        return self._intake.late

    @property
    def strays(self) -> int:
        """Answers to calls that never were, and errors about the whole connection."""
        return self._intake.strays.total

    @property
    def buffered(self) -> int:
        """Bytes received and not decoded."""
        return self._reading.decoder.buffered

    # -- what follows from commands ------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        if self._reading.is_paused:
            self._intake.read_on(now)  # nothing need wait any more for those who have ended
        self._ending.settle(now)
