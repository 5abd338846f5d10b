"""A link over a `Session`: what carries its messages is a socket that it may share with others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from duologue_adapters.ports import Engine, Link, Receiver, Timer
from duologue_adapters.zeromq.messages import LinkError, Message
from duologue_adapters.zeromq.session import Session

AT_ONCE = 256 * 1024
"""Bytes handed up in one piece, so that a reader that pauses meanwhile gets no more than that."""


class MessageLink(Link):
    """One connection. `send` gives a message to the socket, and returns why it can't be sent, or nothing."""

    def __init__(
        self,
        engine: Engine,
        session: Session,
        *,
        send: Callable[[bytes], str],
        ended: Callable[[MessageLink], None],
        address: str,
        extra: Mapping[str, Any],
    ) -> None:
        self.address = address
        self.extra = extra
        self.session = session
        self.lost: str | None = None
        """Why the link is gone, empty if it was closed by us; None if it is not gone."""
        self._engine = engine
        self._send = send
        self._ended = ended
        self._receiver: Receiver | None = None
        self._inbox: deque[bytes] = deque()
        self._reads = True
        self._eof_told = False
        self._is_cut = False
        """The other end is gone, and had said goodbye before: what it sent may still be read."""
        self._owes_written = False
        self._is_scheduled = False
        self._timer: Timer | None = None

    # -- the port ---------------------------------------------------------------------------------------

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        if self.lost is not None:
            self._engine.call_soon(self._tell_lost)
            return
        if not self.session.is_open:
            self.session.confirm(self._engine.now())
        self.flush()
        self._set_timer()
        self._schedule()

    def write(self, buffers: list[bytes]) -> bool:
        if self.lost is not None:
            return False  # its loss is on the way
        self.session.send_data(buffers)
        self.flush()
        self._owes_written = self.session.unsent > 0
        return not self._owes_written

    @property
    def unsent(self) -> int:
        return self.session.unsent

    def pause_reading(self) -> None:
        self._reads = False

    def resume_reading(self) -> None:
        self._reads = True
        self._schedule()

    def end_writing(self) -> None:
        self.session.send_end()
        self.flush()

    def abort(self) -> None:
        self.fail("", "it was aborted there")

    # -- for the socket's owner ---------------------------------------------------------------------------

    def receive(self, message: Message, now: float) -> None:
        """A message came, and perhaps more: `settle` follows."""
        if self.lost is not None:
            return
        try:
            data = self.session.receive(message, now)
        except LinkError as exc:
            self.fail(str(exc))
            return
        if data:
            self._inbox.append(data)

    def settle(self) -> None:
        """Hand up what came, and send what follows from it."""
        self._is_scheduled = False
        self._hand_up()
        self.flush()
        if self._owes_written and not self.session.unsent and self.lost is None:
            self._owes_written = False
            if self._receiver is not None:
                self._receiver.all_written()

    def flush(self) -> None:
        """Send what can leave now."""
        if self.lost is None and not self._is_cut:
            for message in self.session.messages_to_send():
                if problem := self._send(message):
                    self.cut(problem)
                    return

    def fail(self, detail: str, reason: str | None = None) -> None:
        """End it from here, and tell the other end why."""
        if self.lost is None:
            farewell = self.session.abort(detail if reason is None else reason)
            if farewell is not None:
                self._send(farewell)
            self.lose(detail)

    def cut(self, detail: str) -> None:
        """The other end is gone. If it said goodbye before, it may be read to the end, as with a socket."""
        if not self.session.is_ended:
            self.lose(detail)
        elif self._eof_told:
            self.lose("")
        else:
            self._is_cut = True

    def lose(self, detail: str) -> None:
        """It is over, whatever was still to be read."""
        if self.lost is None:
            self.lost = detail
            self._inbox.clear()
            if self._timer is not None:
                self._timer.cancel()
            self._ended(self)
            if self._receiver is not None:
                self._engine.call_soon(self._tell_lost)

    # -- inside -------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._engine.call_soon(self.settle)

    def _hand_up(self) -> None:
        session, inbox, receiver = self.session, self._inbox, self._receiver
        if session.abort_reason is not None:
            self.cut(f"the other end has ended it: {session.abort_reason or 'it did not say why'}")
        while receiver is not None and inbox and self._reads:
            pieces = self._some_of_inbox()
            session.data_read(pieces)
            receiver.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if receiver is None or inbox or not self._reads or self.lost is not None:
            return
        if session.is_ended and not self._eof_told:
            self._eof_told = True
            receiver.eof_received()
        if self._is_cut:
            self.lose("")

    def _some_of_inbox(self) -> list[bytes]:
        inbox, size = self._inbox, 0
        pieces: list[bytes] = []
        while inbox and size < AT_ONCE:
            pieces.append(inbox.popleft())
            size += len(pieces[-1])
        return pieces

    def _tell_lost(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.connection_lost(self.lost or "")

    def _set_timer(self) -> None:
        self._timer = self._engine.call_at(self.session.next_deadline(), self._timer_due)

    def _timer_due(self) -> None:
        # Most of the time something was heard meanwhile, and all that follows is another timer.
        try:
            self.session.handle_timer(self._engine.now())
        except LinkError as exc:
            self.fail(str(exc))
            return
        self.flush()
        if self.lost is None:
            self._set_timer()
