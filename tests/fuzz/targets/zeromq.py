"""Target `zeromq`: the link protocol of the ZeroMQ adapter, one end of it, against whatever messages come.

Input: which end it is; then steps: a message as the fuzzer wrote it or of a kind, data of our own, reading, ends, time.
"""

from __future__ import annotations

from tests.fuzz.choices import Choices

from duologue_adapters.zeromq.messages import (
    MAX_SIZE,
    PIECE,
    REASON_SIZE,
    WINDOW,
    Kind,
    LinkError,
    Message,
    cost,
    header,
    numbered,
    opening,
    parse,
)
from duologue_adapters.zeromq.session import Session

ME = b"abcdefgh"
SIZES = (0, 1, 100, 4096, 4097, PIECE - 1, PIECE, PIECE + 1)
NUMBERS = (0, 1, 4095, 4096, 10_000, PIECE, WINDOW, WINDOW + 1, 2**32 - 1)


def run(data: bytes) -> None:
    choices = Choices(data)
    end = End(is_server=choices.byte() % 2 == 1)
    try:
        while not choices.is_empty:
            end.step(choices)
            end.look()
    except LinkError as error:
        assert str(error), "an error without a word"
        assert end.may_fail, f"it failed by what this end did itself: {error}"


class End:
    """A session, what its owner would do, and what it must keep to."""

    def __init__(self, *, is_server: bool) -> None:
        self.now = 100.0
        self.is_server = is_server
        self.session = Session(ME, self.now)
        self.may_fail = False
        """What is being done may raise: a message came, or time has passed."""
        self.unread: list[bytes] = []
        self.sent = self.given = 0
        """Bytes of the stream: in messages that left, and given to be sent."""
        self.allowance = 0
        """What may be sent: the other end's window and credit, less what was sent."""
        self.has_opened = self.is_confirmed = self.has_ended = False
        if not is_server:
            self.session.open()

    def step(self, choices: Choices) -> None:
        self.may_fail = False
        match choices.byte() % 10:
            case 0 | 1:
                self.receive(choices.bytes(choices.byte()))
            case 2 | 3:
                self.receive(self._message(choices))
            case 4:
                self.receive(header(Kind.DATA, ME) + bytes(choices.choice(SIZES)))
            case 5:
                self.session.data_read(self.unread)
                self.unread = []
            case 6 if self.session.is_open and not self.has_ended:
                buffers = [bytes(choices.choice(SIZES)) for _ in range(1 + choices.byte() % 3)]
                self.given += sum(map(len, buffers))
                self.session.send_data([each for each in buffers if each])
            case 7 if self.session.is_open:
                self.has_ended = True
                self.session.send_end()
            case 8:
                self.may_fail = True
                self.now += choices.byte()
                self.session.handle_timer(self.now)
            case 9 if self.has_opened and self.is_server and not self.is_confirmed:
                self.is_confirmed = True
                self.session.confirm(self.now)
            case _:
                pass

    def _message(self, choices: Choices) -> bytes:
        kind = choices.choice(tuple(Kind))
        if kind is Kind.OPEN:
            return opening(ME)
        if kind in (Kind.OPENED, Kind.CREDIT):
            return numbered(kind, ME, choices.choice(NUMBERS))
        return header(kind, ME) + choices.bytes(choices.byte() % 8)

    def receive(self, data: bytes) -> None:
        """As the owner of a socket does it: take apart, look whose it is, and hand it on."""
        self.may_fail = True
        try:
            message = parse(data)
        except LinkError:
            return  # nobody's
        assert len(data) <= MAX_SIZE
        if message.incarnation != ME:
            return
        if self.is_server and not self.has_opened:
            if message.kind is Kind.OPEN:
                self.session.set_window(message)
                self.allowance = message.opening()[1]
                self.has_opened = True
            return
        self._receive(message)

    def _receive(self, message: Message) -> None:
        was_open = self.session.is_open
        piece = self.session.receive(message, self.now)
        if message.kind is Kind.OPENED and not was_open:
            assert not self.is_server, "a server took the confirmation that is its own to give"
            self.allowance = message.number()
        elif message.kind is Kind.CREDIT:
            self.allowance += message.number()
        if piece:
            assert was_open
            assert message.kind is Kind.DATA
            self.unread.append(piece)

    def look(self) -> None:
        """What leaves is what may leave, and what is held has a bound."""
        session = self.session
        for data in session.messages_to_send():
            message = parse(data)
            assert message.incarnation == ME
            if message.kind is Kind.DATA:
                self.sent += len(message.body)
                self.allowance -= cost(len(message.body))
                assert self.allowance >= 0, "more was sent than there was credit for"
                assert not session.has_sent_end or self.sent == self.given
        assert session.unsent == self.given - self.sent
        assert sum(map(cost, map(len, self.unread))) <= WINDOW, "more came than it had credit for"
        assert session.next_deadline() >= self.now - 255 - 20
        if session.has_sent_end:
            assert self.has_ended
            assert self.sent == self.given
        if session.abort_reason is not None:
            assert len(session.abort_reason) <= REASON_SIZE
            assert session.abort_reason.isprintable()
