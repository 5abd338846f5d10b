"""The link protocol of the ZeroMQ adapter without a socket: opening, credit, heartbeat, ends, and everything that breaks it."""

from __future__ import annotations

import os
import random

import pytest

from duologue_adapters.zeromq.messages import (
    HEADER_SIZE,
    LEAST_COST,
    MAX_SIZE,
    PIECE,
    WINDOW,
    Kind,
    LinkError,
    aborting,
    header,
    numbered,
    opening,
    parse,
)
from duologue_adapters.zeromq.session import HEARTBEAT, Session

ME = b"abcdefgh"


class Pair:
    """Two sessions that are connected by nothing but this, and a clock that the test turns."""

    def __init__(self) -> None:
        self.now = 100.0
        self.client = Session(ME, self.now)
        self.client.open()
        (first,) = self.client.messages_to_send()
        message = parse(first)
        self.server = Session(message.incarnation, self.now)
        self.server.set_window(message)
        self.server.confirm(self.now)
        self.kinds: list[Kind] = []
        """The kinds of all messages that went to and fro."""
        self.sizes: list[int] = []
        self.move()

    def move(self, *, reads: bool = True) -> tuple[list[bytes], list[bytes]]:
        """Deliver what both have to say until they are silent: the stream's pieces at the server, and at the client."""
        at_server: list[bytes] = []
        at_client: list[bytes] = []
        while messages := [
            (self.server, self.client, each, at_client) for each in self.server.messages_to_send()
        ] + [(self.client, self.server, each, at_server) for each in self.client.messages_to_send()]:
            for _, receiver, data, pieces in messages:
                message = parse(data)
                self.kinds.append(message.kind)
                self.sizes.append(len(data))
                if piece := receiver.receive(message, self.now):
                    pieces.append(piece)
                    if reads:
                        receiver.data_read([piece])
        return at_server, at_client


def test_opening() -> None:
    """The client asks, with the version and its window; the server confirms, with its own."""
    pair = Pair()
    assert pair.client.is_open
    assert pair.server.is_open
    assert pair.kinds == [Kind.OPENED]


def test_data_both_ways() -> None:
    """What leaves together is one message."""
    pair = Pair()
    pair.client.send_data([b"one", b"two"])
    pair.server.send_data([b"three"])
    assert pair.move() == ([b"onetwo"], [b"three"])
    assert pair.client.unsent == pair.server.unsent == 0


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, WINDOW, WINDOW + 1, 5 * WINDOW])
def test_pieces(size: int) -> None:
    """A stream is cut into messages that are never larger than the receiver has to take, and arrives whole."""
    pair = Pair()
    data = os.urandom(size)
    pair.client.send_data([data])
    arrived, _ = pair.move()
    assert b"".join(arrived) == data
    assert max(pair.sizes) <= MAX_SIZE
    assert len(arrived) <= size // PIECE + 2 + size // WINDOW


def test_any_buffers() -> None:
    """Buffers of any sizes, sent at any time, come out as the same stream."""
    pair, rng = Pair(), random.Random(7)
    sent, arrived = bytearray(), bytearray()
    for _ in range(300):
        buffers = [rng.randbytes(rng.choice([1, 24, 500, 5000, 70_000])) for _ in range(rng.randrange(1, 9))]
        sent += b"".join(buffers)
        pair.client.send_data(buffers)
        if rng.random() < 0.5:
            arrived += b"".join(pair.move()[0])
    arrived += b"".join(pair.move()[0])
    assert arrived == sent


def test_a_reader_that_pauses() -> None:
    """What is not read gives no credit back: the sender stops at the window, and goes on when it is read."""
    pair = Pair()
    pair.client.send_data([b"x" * (3 * WINDOW)])
    held, _ = pair.move(reads=False)
    assert sum(map(len, held)) == WINDOW
    assert pair.client.unsent == 2 * WINDOW
    pair.server.data_read(held)
    assert sum(map(len, pair.move()[0])) == 2 * WINDOW
    assert pair.client.unsent == 0


def test_small_messages_cost_more_than_their_bytes() -> None:
    """A paused reader does not end up with a million messages of one byte: each takes a share of the window."""
    pair = Pair()
    for _ in range(2 * WINDOW // LEAST_COST):
        pair.client.send_data([b"x"])
        pair.move(reads=False)
    assert pair.kinds.count(Kind.DATA) == WINDOW // LEAST_COST
    assert pair.client.unsent == WINDOW // LEAST_COST


def test_ends() -> None:
    """An end goes after the data, even if that has to wait for credit; the other half goes on."""
    pair = Pair()
    pair.client.send_data([b"x" * (WINDOW + 1)])
    pair.client.send_end()
    held, _ = pair.move(reads=False)
    assert not pair.server.is_ended
    pair.server.data_read(held)
    pair.move()
    assert pair.server.is_ended
    assert not pair.client.is_ended
    pair.server.send_data([b"still here"])
    pair.server.send_end()
    assert pair.move() == ([], [b"still here"])
    assert pair.client.is_ended
    assert pair.client.abort("") is None, "nobody needs to be told that it is over"


def test_aborting() -> None:
    """An end that gives up says so, and why."""
    pair = Pair()
    farewell = pair.server.abort("out of ä" + "x" * 1000)
    assert farewell is not None
    pair.client.receive(parse(farewell), pair.now)
    assert pair.client.abort_reason is not None
    assert pair.client.abort_reason.startswith("out of ä")
    assert len(pair.client.abort_reason) < 201


@pytest.mark.fault(81)
def test_a_reason_that_is_more_than_text() -> None:
    """What the other end says when it aborts gets into errors and logs: one line, and nothing that a terminal would obey."""
    pair = Pair()
    pair.server.receive(parse(aborting(ME, "\x1b[31mred\r\nanother line")), 0.0)
    assert pair.server.abort_reason == "?[31mred?"


def test_heartbeat() -> None:
    """After 20 s of silence an end asks; an answer is a sign of life, and so is everything else."""
    pair = Pair()
    assert pair.client.next_deadline() == pair.now + HEARTBEAT
    pair.now += HEARTBEAT - 1
    pair.client.handle_timer(pair.now)
    assert pair.client.messages_to_send() == []
    pair.now += 1
    pair.client.handle_timer(pair.now)
    pair.move()
    assert pair.kinds[-2:] == [Kind.PING, Kind.PONG]
    assert pair.client.next_deadline() == pair.server.next_deadline() == pair.now + HEARTBEAT


def test_a_peer_that_has_vanished() -> None:
    """Without an answer it is gone after 20 s more, and the text says how long it was silent."""
    pair = Pair()
    pair.now += HEARTBEAT
    pair.server.handle_timer(pair.now)
    assert [parse(each).kind for each in pair.server.messages_to_send()] == [Kind.PING]
    pair.now += HEARTBEAT - 0.001
    pair.server.handle_timer(pair.now)
    pair.now += 0.001
    with pytest.raises(LinkError, match="20 s"):
        pair.server.handle_timer(pair.now)


def test_a_late_answer_saves_it() -> None:
    """Data that comes while an answer is waited for is as good as one."""
    pair = Pair()
    pair.now += HEARTBEAT
    pair.server.handle_timer(pair.now)
    pair.now += HEARTBEAT - 0.001
    pair.client.send_data([b"x"])
    pair.move()
    pair.now += 1
    pair.server.handle_timer(pair.now)


@pytest.mark.fault(72)
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "0 bytes"),
        (b"\x03abcdefg", "8 bytes"),
        (b"\x00" + ME, "unknown kind 0"),
        (b"\x09" + ME, "unknown kind 9"),
        (header(Kind.OPEN, ME), "OPEN with 0 bytes"),
        (header(Kind.OPENED, ME) + b"123", "OPENED with 3 bytes"),
        (header(Kind.DATA, ME), "DATA with 0 bytes"),
        (header(Kind.DATA, ME) + b"x" * (PIECE + 1), "DATA with 65537 bytes"),
        (header(Kind.CREDIT, ME) + b"12345", "CREDIT with 5 bytes"),
        (header(Kind.END, ME) + b"x", "END with 1 bytes"),
        (header(Kind.PING, ME) + b"x", "PING with 1 bytes"),
        (header(Kind.ABORT, ME) + b"x" * 201, "ABORT with 201 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_message(data: bytes, text: str) -> None:
    """Each kind has its size; the text says what is wrong."""
    with pytest.raises(LinkError, match=text):
        parse(data)


def test_random_bytes() -> None:
    """Whatever comes is a message or a `LinkError`, and nothing else is raised."""
    rng = random.Random(1)
    for _ in range(3000):
        pair = Pair()
        for _ in range(4):
            data = rng.randbytes(rng.choice([0, 5, HEADER_SIZE, HEADER_SIZE + 4, HEADER_SIZE + 5, 50]))
            if data and rng.random() < 0.9:
                data = bytes([rng.randrange(1, 9)]) + ME + data[HEADER_SIZE:]
            try:
                pair.server.receive(parse(data), pair.now)
            except LinkError:
                break


@pytest.mark.fault(72)
@pytest.mark.parametrize(
    ("messages", "text"),
    [
        ([opening(ME)], "OPEN for a connection that is open"),
        ([numbered(Kind.OPENED, ME, WINDOW)], "OPENED for a connection that is open"),
        ([numbered(Kind.CREDIT, ME, 1)], "more credit than the window"),
        ([numbered(Kind.CREDIT, ME, 2**32 - 1)], "more credit than the window"),
        ([header(Kind.END, ME), header(Kind.END, ME)], "END twice"),
        ([header(Kind.END, ME), header(Kind.DATA, ME) + b"x"], "DATA after END"),
        ([header(Kind.DATA, ME) + b"x" * PIECE] * (WINDOW // PIECE + 1), "more DATA than it had credit for"),
        ([header(Kind.DATA, ME) + b"x"] * (WINDOW // LEAST_COST + 1), "more DATA than it had credit for"),
    ],
    ids=["open", "opened", "credit", "much credit", "end", "data after end", "data", "small data"],
)
def test_what_breaks_the_protocol(messages: list[bytes], text: str) -> None:
    """Each is the end of the connection. What came before it was taken."""
    pair = Pair()
    *before, last = messages
    for each in before:
        pair.server.receive(parse(each), pair.now)
    with pytest.raises(LinkError, match=text):
        pair.server.receive(parse(last), pair.now)


@pytest.mark.parametrize("kind", [Kind.DATA, Kind.CREDIT, Kind.END, Kind.PING, Kind.PONG])
def test_nothing_comes_before_the_opening(kind: Kind) -> None:
    """Neither end takes anything before the connection is open; nothing but an abort makes sense there."""
    sizes = {Kind.DATA: b"x", Kind.CREDIT: b"1234"}
    session = Session(ME, 0.0)
    with pytest.raises(LinkError, match="before the connection was open"):
        session.receive(parse(header(kind, ME) + sizes.get(kind, b"")), 0.0)
    session.receive(parse(aborting(ME, "no")), 0.0)
    assert session.abort_reason == "no"


@pytest.mark.fault(72)
def test_a_server_confirms_by_itself() -> None:
    """A client that sends the server's part of the opening breaks the protocol: it would be open without a place, and unconfirmed."""
    session = Session(ME, 0.0)
    session.set_window(parse(opening(ME)))
    with pytest.raises(LinkError, match="OPENED before the connection was open"):
        session.receive(parse(numbered(Kind.OPENED, ME, WINDOW)), 0.0)
    assert not session.is_open


def test_openings_that_can_not_work() -> None:
    """Another version, or a window in which nothing fits, at either end."""
    with pytest.raises(LinkError, match="version 2"):
        Session(ME, 0.0).set_window(parse(header(Kind.OPEN, ME) + b"\x02\x00\x00\x10\x00"))
    with pytest.raises(LinkError, match="window of 4095 bytes"):
        Session(ME, 0.0).receive(parse(numbered(Kind.OPENED, ME, LEAST_COST - 1)), 0.0)
