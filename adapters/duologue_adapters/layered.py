"""A link with a layer on top of it, which is a link again: so layers stack, on any transport and any engine."""

from __future__ import annotations

import logging

from duologue_adapters.handshakes import Handshake
from duologue_adapters.ports import CutShort, Engine, Job, Layer, LayerError, Link, Receiver, Timer, Waiter

logger = logging.getLogger("duologue")

LAST_WORDS = 1.0
"""Seconds in which the last that a layer has to say, a goodbye or what is wrong, can leave before the link is cut."""

LONGEST_WORDS = 60
"""So many times that long if there is much of it, such as a page, and in each some of it has left."""


class LayeredLink(Link, Receiver):
    """Runs a `Layer` between the link below and the receiver above. What it decides, the layer decides."""

    def __init__(self, engine: Engine, below: Link, layer: Layer) -> None:
        self.address = below.address
        self.extra = below.extra
        self._engine = engine
        self._below = below
        self._layer = layer
        self._above: Receiver
        self._handshake: Handshake | None = None
        """Stands for the one above, from `open` to `start`."""
        self._waiting: list[bytes] = []
        """Bytes from above that came before the handshake was done."""
        self._held = 0
        """Bytes from above that the layer has, and has not passed on."""
        self._is_writing = False
        """The link below has not taken all that it was given."""
        self._owes_written = False
        """The one above was told that not all is written."""
        self._eof_asked = False
        self._goodbye_said = False
        self._eof_passed_down = False
        self._eof_told = False
        self._eof_received = False
        self._is_lost = False
        """The one above was told so, and is not called any more."""
        self._failure: LayerError | None = None
        self._is_cut = False
        """The link below is gone."""
        self._change_waiter: Waiter | None = None
        self._lingers = False
        """For the one above it is over, and the layer's last words are on their way: then the link is cut here."""
        self._lingering: Job | None = None
        self._said = 0
        """Bytes of those last words, passed down."""
        self._timer: Timer | None = None
        self._timer_at = 0.0

    # -- a link, for what is above ------------------------------------------------------------------

    async def open(self) -> None:
        """Begin, and wait until the layer's handshake is done. Only then `start`, which may be left out else.

        Until then reading is paused. Raises `LayerError` if it came to nothing, and then the link is gone. If this is
        cancelled, it must be aborted.
        """
        self._handshake = handshake = Handshake(self._engine.waiter())
        self._begin(handshake)
        await handshake.done
        if not handshake.is_open:
            self.abort()  # which leaves alone what the layer has to say about it
            while not self._is_cut:
                await self._change()
            raise self._failure or LayerError(handshake.lost, is_permanent=self.is_refused)
        self.extra = {**self._below.extra, **self._layer.extra}

    @property
    def is_refused(self) -> bool:
        return self._below.is_refused or (self._failure is not None and self._failure.is_permanent)

    def start(self, receiver: Receiver) -> None:
        handshake, self._handshake = self._handshake, None
        if handshake is None:
            self._begin(receiver)
            return
        self._above = receiver
        if not self._is_lost:
            self._below.resume_reading()  # first, since what came early may make the receiver pause
        handshake.pass_on(receiver)

    def write(self, buffers: list[bytes]) -> bool:
        if self._is_lost:
            return False
        if self._layer.is_open:
            self._pass_to_layer(buffers)
        else:
            self._waiting += buffers
        self._settle()
        self._owes_written = self._has_unwritten
        return not self._owes_written

    @property
    def unsent(self) -> int:
        return self._below.unsent + self._held + sum(map(len, self._waiting))

    def pause_reading(self) -> None:
        if self._lingers:
            return  # what still comes is dropped, and its end is the sign that the last words have arrived
        self._layer.reading_paused(self._engine.now())
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._layer.reading_resumed(self._engine.now())
        self._below.resume_reading()
        if not self._is_lost:
            self._set_timer()

    def read_at_most(self, size: int | None) -> None:
        self._below.read_at_most(size)

    def end_writing(self) -> None:
        self._eof_asked = True
        self._settle()

    def abort(self) -> None:
        if self._lingers:
            return
        if self._goodbye_said and self._is_writing:
            self._linger("")
        else:
            self._below.abort()

    async def wait_said(self) -> None:
        while self._lingers and self._is_writing and not self._is_cut:
            await self._change()
        await self._below.wait_said()

    # -- a receiver, for the link below ----------------------------------------------------------------

    def data_received(self, data: bytes | memoryview) -> None:
        if self._is_lost:
            return
        try:
            received = self._layer.receive_data(data, self._engine.now())
        except Exception as exc:
            self._fail(exc)
            return
        self._settle()
        for piece in received:
            self._above.data_received(piece)
        self._tell_end()

    def eof_received(self, cut_short: str = "") -> None:
        self._eof_received = True
        if self._lingers and not self._is_writing:
            self._below.abort()
        if self._is_lost:
            return
        try:
            self._layer.receive_eof(self._engine.now())
        except CutShort as exc:
            cut_short = str(exc)
        except Exception as exc:
            self._fail(exc)
            return
        self._settle()
        self._tell_end(cut_short, really=True)

    def connection_lost(self, detail: str) -> None:
        self._cancel_timer()
        if self._lingering is not None:
            self._lingering.cancel()
        self._lose(detail)
        self._is_cut = True
        self._changed()

    def all_written(self) -> None:
        self._is_writing = False
        if self._lingers:
            self._say_last_words()
            self._changed()
            return
        self._settle()
        self._tell_written()

    # -- inside -----------------------------------------------------------------------------------------

    @property
    def _has_unwritten(self) -> bool:
        return self._is_writing or bool(self._waiting)

    def _begin(self, receiver: Receiver) -> None:
        self._above = receiver
        self._below.start(self)
        self._settle()

    def _pass_to_layer(self, buffers: list[bytes]) -> None:
        self._held += sum(map(len, buffers))
        self._layer.send_data(buffers, self._engine.now())

    def _settle(self) -> None:
        """Pass down what the layer wants to say, and what waited for its handshake."""
        if self._is_lost:
            return
        layer = self._layer
        if layer.is_open:
            if self._handshake is not None and self._handshake.end():
                self._below.pause_reading()
            if self._waiting:
                waiting, self._waiting = self._waiting, []
                self._pass_to_layer(waiting)
            if self._eof_asked:
                self._eof_asked = False
                layer.send_eof(self._engine.now())
                self._goodbye_said = self._eof_passed_down = True
        while not self._is_writing and (buffers := layer.data_to_send()):
            self._held = 0
            self._is_writing = not self._below.write(buffers)
        if self._eof_passed_down and not self._is_writing:
            self._eof_passed_down = False
            self._below.end_writing()
        if self._owes_written and not self._has_unwritten:
            self._engine.call_soon(self._tell_written)
        self._set_timer()

    def _tell_written(self) -> None:
        if self._owes_written and not self._has_unwritten and not self._is_lost:
            self._owes_written = False
            self._above.all_written()

    def _tell_end(self, cut_short: str = "", *, really: bool = False) -> None:
        if (really or self._layer.is_ended) and not self._eof_told and not self._is_lost:
            self._eof_told = True
            self._above.eof_received(cut_short)

    def _lose(self, detail: str) -> None:
        if not self._is_lost:
            self._is_lost = True
            self._waiting.clear()
            self._above.connection_lost(detail)

    def _fail(self, error: Exception) -> None:
        """The other end broke the layer's rules, and that is the end for what is above.

        What the layer has to say about it still leaves; what comes in meanwhile is dropped. To cut the link at once could
        destroy it on its way. Any other exception is a mistake in the layer, and must end no other connection.
        """
        if not isinstance(error, LayerError):
            logger.error("a layer has failed by itself: the connection is closed", exc_info=error)
            error = LayerError("a layer has failed by itself; the log of this end says how")
        self._failure = error
        self._linger(str(error))

    def _linger(self, detail: str) -> None:
        self._lingers = True
        self._cancel_timer()
        self._below.resume_reading()  # the one above may have paused
        # A job, and no timer: should all end before that, the engine ends it, and the link with it.
        self._lingering = self._engine.start(self._let_last_words_leave())
        if self._lingering is not None:
            self._lingering.add_done_callback(lambda _: self._below.abort())
        self._say_last_words()
        self._lose(detail)

    async def _let_last_words_leave(self) -> None:
        before = -1
        for _ in range(LONGEST_WORDS):
            await self._engine.sleep(LAST_WORDS)
            left = self._said - self._below.unsent
            if not self._is_writing or left <= before:
                return
            before = left

    def _say_last_words(self) -> None:
        if self._is_writing:
            return
        # As much as the link takes, and the rest when it has taken that.
        while buffers := self._layer.data_to_send():
            self._said += sum(map(len, buffers))
            if not self._below.write(buffers):
                self._is_writing = True
                return
        self._below.end_writing()
        if self._eof_received:
            self._below.abort()

    async def _change(self) -> None:
        """Wait until something may be over."""
        self._change_waiter = self._engine.waiter()
        await self._change_waiter

    def _changed(self) -> None:
        if self._change_waiter is not None and not self._change_waiter.done():
            self._change_waiter.set_result(None)

    # -- time -------------------------------------------------------------------------------------------

    def _set_timer(self) -> None:
        deadline = self._layer.next_deadline()
        # A timer that is set for earlier stays: it will look again.
        if deadline is None or (self._timer is not None and self._timer_at <= deadline):
            return
        self._cancel_timer()
        self._timer_at = deadline
        self._timer = self._engine.call_at(deadline, self._timer_due)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _timer_due(self) -> None:
        self._timer = None
        now, deadline = self._engine.now(), self._layer.next_deadline()
        if self._is_lost or deadline is None:
            return
        if deadline <= now:
            try:
                self._layer.handle_timer(now)
            except Exception as exc:
                self._fail(exc)
                return
        self._settle()
        self._tell_end()
