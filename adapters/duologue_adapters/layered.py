"""A link with a layer on top of it, which is a link again: so layers stack, on any transport and any engine."""

from __future__ import annotations

from duologue_adapters.ports import Engine, Layer, LayerError, Link, Receiver, Timer


class LayeredLink(Link, Receiver):
    """Runs a `Layer` between the link below and the receiver above. What it decides, the layer decides."""

    def __init__(self, engine: Engine, below: Link, layer: Layer) -> None:
        self.address = below.address
        self._engine = engine
        self._below = below
        self._layer = layer
        self._above: Receiver
        self._waiting: list[bytes] = []
        """Bytes from above that came before the handshake was done."""
        self._is_writing = False
        """The link below has not taken all that it was given."""
        self._owes_written = False
        """The one above was told that not all is written."""
        self._eof_asked = False
        self._eof_passed_down = False
        self._eof_told = False
        self._is_lost = False
        self._timer: Timer | None = None

    # -- a link, for what is above ------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        self._above = receiver
        self._below.start(self)
        self._settle()

    def write(self, buffers: list[bytes]) -> bool:
        if self._layer.is_open:
            self._layer.send_data(buffers, self._engine.now())
        else:
            self._waiting += buffers
        self._settle()
        self._owes_written = self._is_writing or bool(self._waiting)
        return not self._owes_written

    @property
    def unsent(self) -> int:
        return self._below.unsent + sum(map(len, self._waiting))

    def pause_reading(self) -> None:
        self._below.pause_reading()

    def resume_reading(self) -> None:
        self._below.resume_reading()

    def end_writing(self) -> None:
        self._eof_asked = True
        self._settle()

    def abort(self) -> None:
        self._below.abort()

    # -- a receiver, for the link below ----------------------------------------------------------------

    def data_received(self, data: bytes | memoryview) -> None:
        try:
            received = self._layer.receive_data(data, self._engine.now())
        except LayerError as exc:
            self._fail(exc)
            return
        self._settle()
        for piece in received:
            self._above.data_received(piece)
        self._tell_end()

    def eof_received(self) -> None:
        try:
            self._layer.receive_eof(self._engine.now())
        except LayerError as exc:
            self._fail(exc)
            return
        self._settle()
        self._tell_end(really=True)

    def connection_lost(self, detail: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._is_lost:
            self._is_lost = True
            self._above.connection_lost(detail)

    def all_written(self) -> None:
        self._is_writing = False
        self._settle()
        self._tell_written()

    # -- inside -----------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Pass down what the layer wants to say, and what waited for its handshake."""
        layer = self._layer
        if layer.is_open:
            if self._waiting:
                waiting, self._waiting = self._waiting, []
                layer.send_data(waiting, self._engine.now())
            if self._eof_asked:
                self._eof_asked = False
                layer.send_eof(self._engine.now())
                self._eof_passed_down = True
        while not self._is_writing and (buffers := layer.data_to_send()):
            self._is_writing = not self._below.write(buffers)
        if self._eof_passed_down and not self._is_writing:
            self._eof_passed_down = False
            self._below.end_writing()
        if not self._is_writing and not self._waiting and self._owes_written:
            self._engine.call_soon(self._tell_written)
        self._set_timer()

    def _tell_written(self) -> None:
        if self._owes_written and not self._is_writing and not self._waiting and not self._is_lost:
            self._owes_written = False
            self._above.all_written()

    def _tell_end(self, *, really: bool = False) -> None:
        if (really or self._layer.is_ended) and not self._eof_told and not self._is_lost:
            self._eof_told = True
            self._above.eof_received()

    def _set_timer(self) -> None:
        deadline = self._layer.next_deadline()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if deadline is not None and not self._is_lost:
            self._timer = self._engine.call_at(deadline, self._timer_due)

    def _timer_due(self) -> None:
        self._timer = None
        try:
            self._layer.handle_timer(self._engine.now())
        except LayerError as exc:
            self._fail(exc)
            return
        self._settle()

    def _fail(self, error: LayerError) -> None:
        """The other end broke the layer's rules: what the layer has to say about that leaves, and then it is over."""
        if not self._is_writing and (buffers := self._layer.data_to_send()):
            self._below.write(buffers)
        if not self._is_lost:
            self._is_lost = True
            self._above.connection_lost(str(error))
        self._below.abort()
