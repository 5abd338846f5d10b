"""Any cutting of a stream is the same stream: the same frames, the same events, the same state, and nothing held but what came.

Streams are valid frames, broken ones, garbage and mixtures. They come whole, byte by byte and in pieces, as `bytes` and as views
of a buffer that is used again; and reading may pause between any two frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.harness import (
    BODIES,
    ECHO,
    FREE,
    ORDERED,
    START,
    UNKNOWN,
    UNSERVED,
    call_frame,
    frame,
    standard_routes,
)
from tests.core.profiles import look

from duologue.protocol.connection import Connection
from duologue.protocol.errors import FrameTooLarge, ProtocolError
from duologue.protocol.events import (
    CallFailed,
    Event,
    IncomingRequest,
    PeerClosed,
    RequestCancelled,
    ResponseReceived,
)
from duologue.protocol.frames import HEADER_SIZE, LENGTH_PREFIXED, Frame, FrameDecoder
from duologue.protocol.ids import ERROR_SID, RESPONSE_SID
from duologue.protocol.limits import Limits

MAX_FRAME = 200

ids = st.integers(0, 2**64 - 1)
payloads = st.binary(max_size=MAX_FRAME - HEADER_SIZE)
frames = st.builds(frame, ids, ids, payloads)
requests = st.builds(
    frame, st.sampled_from([ECHO, ORDERED, FREE, UNSERVED, UNKNOWN]), st.integers(0, 9), payloads
)
answers = st.builds(
    frame, st.sampled_from([ERROR_SID, RESPONSE_SID]), st.integers(0, 4), payloads | st.just(b'{"Timeout":1}')
)
lengths = (
    st.integers(0, HEADER_SIZE - 1) | st.integers(MAX_FRAME - 1, MAX_FRAME + 1) | st.integers(0, 2**64 - 1)
)
headers = st.builds(lambda length, rest: length.to_bytes(8, "little") + rest, lengths, st.binary(max_size=40))
junk = headers | st.binary(max_size=60)


def mixtures(good: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Good frames, and perhaps something after them that is none, or only the beginning of one."""
    ends = st.just(b"") | junk | st.builds(lambda whole, size: whole[:size], good, st.integers(0, MAX_FRAME))
    return st.builds(lambda parts, end: b"".join(parts) + end, st.lists(good, max_size=6), ends)


pieces = st.lists(st.integers(0, 70), min_size=1, max_size=8).filter(any)
"""Sizes, which are repeated to the end of the stream."""
CUTTINGS: tuple[Sequence[int], ...] = ((10_000,), (1,))


def cut(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    offset = turn = 0
    while offset < len(data):
        size = sizes[turn % len(sizes)]
        yield data[offset : offset + size]
        offset += size
        turn += 1


def parse(data: bytes) -> tuple[list[Frame], str, bytes]:
    """What a stream is, said as plainly as possible: frames, the error that ends them, and the rest."""
    found: list[Frame] = []
    while len(data) >= 8:
        length, sid, cid = (int.from_bytes(data[at : at + 8], "little") for at in (0, 8, 16))
        if length < HEADER_SIZE:
            return found, "short", b""
        if length > MAX_FRAME:
            return found, "too large", b""
        if len(data) < length:
            break
        found.append((sid, cid, data[HEADER_SIZE:length]))
        data = data[length:]
    return found, "", data


def decode_some(decoder: FrameDecoder, most: int | None, found: list[Frame]) -> str:
    """Take up to so many frames, and then leave the iteration, as a pause does. Gives the error, if there is one."""
    try:
        for one in decoder.frames():
            found.append(one)
            if most is not None and (most := most - 1) <= 0:
                break
    except FrameTooLarge:
        return "too large"
    except ProtocolError:
        return "short"
    return ""


@pytest.mark.fault(5, 9)
@given(
    data=mixtures(frames) | junk,
    sizes=pieces,
    pauses=st.lists(st.sampled_from([None, 1, 2]), min_size=1, max_size=4),
    views=st.booleans(),
)
@look(brief=300, thorough=20_000)
def test_the_decoder_sees_through_any_cutting(
    data: bytes, sizes: list[int], pauses: list[int | None], views: bool
) -> None:
    """A stream in any pieces, from single bytes to all at once: the same frames, the same error, the same rest."""
    expected, error, rest = parse(data)
    for cutting in (*CUTTINGS, sizes):
        decoder = LENGTH_PREFIXED.decoder(MAX_FRAME)
        found: list[Frame] = []
        ended = ""
        came = 0
        for turn, piece in enumerate(cut(data, cutting)):
            memory = bytearray(piece)
            came += len(piece)
            may_have = decoder.feed(memoryview(memory) if views else piece)
            memory[:] = b"\xee" * len(memory)  # the buffer is used again
            if may_have:
                ended = ended or decode_some(decoder, pauses[turn % len(pauses)], found)
            consumed = sum(HEADER_SIZE + len(payload) for _, _, payload in found)
            assert decoder.buffered <= came - consumed, "more is held than what came"
        while not ended and len(found) < len(expected):
            ended = decode_some(decoder, 1, found)
        ended = ended or decode_some(decoder, None, found)
        assert (found, ended) == (expected, error)
        assert decoder.is_inside_frame == bool(rest)
        assert 0 <= len(rest) - decoder.buffered <= HEADER_SIZE
        announced = int.from_bytes(rest[:8], "little") if len(rest) >= 8 else 0
        assert decoder.position() == (len(rest), announced)
        if error:
            assert decoder.buffered == 0
            assert not decoder.feed(data)
            assert list(decoder.frames()) == []


@given(sids=st.lists(st.tuples(ids, ids, payloads), max_size=8), sizes=pieces)
@look(brief=100, thorough=20_000)
def test_what_is_written_is_what_is_read(sids: list[Frame], sizes: list[int]) -> None:
    """Frames with any ids and any payload up to the limit go through header and decoder unchanged."""
    decoder = LENGTH_PREFIXED.decoder(MAX_FRAME)
    found: list[Frame] = []
    for piece in cut(b"".join(frame(*one) for one in sids), sizes):
        decoder.feed(piece)
        found += decoder.frames()
    assert found == sids
    assert all(type(payload) is bytes for _, _, payload in found), "a payload belongs to nobody else"


# -- a whole connection -----------------------------------------------------------------------------------


class Told:
    """What a connection told, as plain data, and what it wrote."""

    def __init__(self, limits: Limits) -> None:
        self.connection = Connection(standard_routes().get, BODIES, limits=limits)
        self.log: list[Any] = []
        self.running: list[IncomingRequest] = []
        for _ in range(2):
            self.connection.call(ECHO, b"own", START + 50, START)

    def look(self) -> None:
        for event in self.connection.events():
            if isinstance(event, IncomingRequest):
                self.running.append(event)
            self.log.append(plain(event))

    def state(self) -> tuple[Any, ...]:
        real = self.connection
        parking, sends = real.incoming.parking, real.incoming.sends
        return (
            *(real.phase, real.reason, real.wants_read, real.next_deadline(), real.late, real.strays),
            *(parking.calls, parking.bytes, parking.waiting, sends.running, sends.bytes, sends.waiting),
            *(real.outbox.level, real.outbox.answers, real.outbox.refusals, real.incoming.dropped),
            *(real.outgoing.pending.owed, real.incoming.running, real.incoming.unanswered),
        )

    def end_one(self) -> None:
        """The oldest handler ends; the transport takes what there is."""
        if self.running:
            request = self.running.pop(0)
            if request.cid:
                self.connection.respond(request, b"done", START)
            else:
                self.connection.done(request, START)
        self.log.append(b"".join(self.connection.data_to_send()))
        self.connection.data_sent(START)
        self.look()


def plain(event: Event) -> Any:
    match event:
        case IncomingRequest():
            return type(event).__name__, event.sid, event.cid, event.payload
        case RequestCancelled():
            return "cancelled", event.request.sid, event.request.cid
        case ResponseReceived():
            return "answered", event.call.id, event.payload
        case CallFailed():
            return "failed", event.call.id, str(event.error)
        case PeerClosed():
            return "closed", event.reason, event.detail
        case _:
            return repr(event) if type(event).__repr__ is not object.__repr__ else type(event).__name__


TIGHT = Limits(
    max_frame=MAX_FRAME,
    calls=2,
    parked=2,
    sends=2,
    owed=2,
    outbox_high=150,
    outbox_low=50,
    strays=3,
    parked_bytes=300,
)
ROOMY = Limits(max_frame=MAX_FRAME)


def tell(limits: Limits, stretches: Sequence[bytes], sizes: Sequence[int], views: bool) -> Told:
    """The stream comes in stretches; after each a handler ends. Then the end of the stream, and all handlers end."""
    told = Told(limits)
    for stretch in stretches:
        for piece in cut(stretch, sizes):
            memory = bytearray(piece)
            told.connection.receive_data(memoryview(memory) if views else piece, START)
            memory[:] = b"\xee" * len(memory)
            told.look()
        told.log.append(told.state())
        told.end_one()
    told.connection.receive_eof(START)
    told.look()
    for _ in range(60):
        told.end_one()
    told.log.append(told.state())
    return told


@pytest.mark.fault(5)
@given(
    stretches=st.lists(mixtures(requests | answers), min_size=1, max_size=4),
    sizes=pieces,
    views=st.booleans(),
    limits=st.sampled_from([TIGHT, ROOMY]),
)
@look(brief=250, thorough=6_000)
def test_a_connection_sees_through_any_cutting(
    stretches: list[bytes], sizes: list[int], views: bool, limits: Limits
) -> None:
    """Bytes one at a time, or in any pieces: the same events, the same answers and the same state as all at once, also over pauses."""
    whole = tell(limits, stretches, CUTTINGS[0], False)
    for cutting in (CUTTINGS[1], sizes):
        assert tell(limits, stretches, cutting, views).log == whole.log


def test_streams_do_pause_in_the_middle() -> None:
    """The test before would be worth little if nothing ever paused: with these limits it does."""
    told = Told(TIGHT)
    told.connection.receive_data(b"".join(frame(ECHO, 0, b"sent") for _ in range(5)) + call_frame(7), START)
    assert not told.connection.wants_read
    assert told.connection.buffered == 3 * (HEADER_SIZE + 4) + HEADER_SIZE
