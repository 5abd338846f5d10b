"""WebSocket as a layer, without a socket: two layers against each other, and a server's against bytes by hand."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable

import pytest
from tests.adapters.websocket_ends import (
    ACCEPT,
    KIB,
    MIB,
    PLAIN,
    REQUEST,
    End,
    client,
    close_code,
    frames_of,
    meet,
    message,
    open_server,
    opened,
    server,
)
from websockets.frames import Opcode

from duologue_adapters import LayerError
from duologue_adapters.layers.websocket.messages import fragments, messages

# -- two layers against each other ----------------------------------------------------------------------


@pytest.mark.parametrize("step", [0, 1, 2, 3, 7, 64, 1000])
def test_a_whole_connection(step: int) -> None:
    """Handshake, data in both directions, and goodbye, however the bytes are cut."""
    one, other = client(), server()
    meet(one, other, step)
    assert one.layer.is_open
    assert other.layer.is_open
    assert other.layer.extra == {"origin": None, "path": "/chat"}
    for sender, receiver in ((one, other), (other, one)):
        sender.give(b"abc", bytes(200), b"d" * 1000)
        sender.give(b"e")
        meet(one, other, step)
        assert receiver.received == b"abc" + bytes(200) + b"d" * 1000 + b"e"
    one.layer.send_eof(one.now)
    meet(one, other, step)
    assert one.layer.is_ended
    assert other.layer.is_ended
    one.end()
    other.end()
    assert (one.error, other.error) == ("", "")


def test_every_cut() -> None:
    """A request with messages right behind it, cut in two at every place: the same comes out."""
    data = REQUEST % b"" + message(Opcode.BINARY, b"one") + message(Opcode.BINARY, bytes(200))
    for cut in range(len(data) + 1):
        end = server()
        end.take(data[:cut])
        end.take(data[cut:])
        assert end.received == b"one" + bytes(200), cut
        assert end.sent.startswith(b"HTTP/1.1 101 "), cut
        assert ACCEPT in end.sent


@pytest.mark.fault(67)
def test_messages_may_be_cut_anywhere() -> None:
    """Fragments, empty ones too, with a ping between them: all of it is one stream, and nothing waits for its rest."""
    end = open_server()
    end.take(message(Opcode.BINARY, b"a", fin=False))
    assert end.received == b"a"
    end.take(message(Opcode.CONT, b"", fin=False) + message(Opcode.PING, b"?"))
    end.take(message(Opcode.CONT, b"b") + message(Opcode.BINARY) + message(Opcode.BINARY, b"c"))
    assert end.received == b"abc"
    assert list(frames_of(end.taken())) == [(Opcode.PONG, True, b"?")]


FROM_SERVER = functools.partial(message, masked=False)


def test_every_cut_of_what_a_server_sends() -> None:
    """A client reads the same, however it is cut: messages of all sizes, empty ones, fragments, and pings between them."""
    looks_like_messages = b"\x82\x01" * 63
    parts = [
        FROM_SERVER(Opcode.BINARY, b"a"),
        FROM_SERVER(Opcode.BINARY, b"b" * 125),
        FROM_SERVER(Opcode.BINARY, looks_like_messages),
        FROM_SERVER(Opcode.PING, b"?"),
        FROM_SERVER(Opcode.BINARY),
        FROM_SERVER(Opcode.BINARY, b"d", fin=False),
        FROM_SERVER(Opcode.PING, b"!"),
        FROM_SERVER(Opcode.CONT, b"e"),
        FROM_SERVER(Opcode.BINARY, looks_like_messages * 2),
        # Shorter than it need be written, which the standard forbids, and nobody minds.
        b"\x82\x7e\x00\x02gg",
        b"\x82\x7e\x00\x00",
        FROM_SERVER(Opcode.BINARY, b"h"),
    ]
    data = b"".join(parts)
    expected = b"a" + b"b" * 125 + looks_like_messages + b"de" + looks_like_messages * 2 + b"ggh"
    for cut in range(len(data) + 1):
        end, _ = opened()
        end.take(data[:cut])
        end.take(data[cut:])
        assert (end.received, end.error) == (expected, ""), cut
        assert len(end.taken()) == 2 * (2 + 4 + 1), "two pongs, with masks"
    end, _ = opened()
    end.take(memoryview(data))
    assert end.received == expected


def test_the_largest_messages_of_a_server() -> None:
    """Those around 64 KiB, whose headers differ, whole and in pieces of a receive buffer."""
    for size in (65_534, 65_535, 65_536, 65_537):
        for step in (0, 16 * KIB, 64 * KIB):
            end, _ = opened()
            for _ in range(2):
                end.take(FROM_SERVER(Opcode.BINARY, b"\x82" * size) + FROM_SERVER(Opcode.BINARY, b"y"), step)
            assert (end.received, end.error) == ((b"\x82" * size + b"y") * 2, "")


def test_messages_right_behind_the_answer_to_the_handshake() -> None:
    """A server may send at once. However that is cut, a client reads the same."""
    looks_like_messages = b"\x82\x01" * 20
    sent = FROM_SERVER(Opcode.BINARY, looks_like_messages) + FROM_SERVER(Opcode.BINARY, b"a")
    for cut in range(-5, len(sent) + 1):
        end, other = client(), server()
        end._pump()
        other.take(end.taken())
        answer = other.taken()
        data = answer + sent
        end.take(data[: len(answer) + cut])
        end.take(data[len(answer) + cut :])
        assert (end.received, end.error) == (looks_like_messages + b"a", ""), cut


def test_a_message_of_a_server_within_a_message() -> None:
    """It is wrong, though it is all there, and comes by itself."""
    end, _ = opened()
    end.take(FROM_SERVER(Opcode.BINARY, b"a", fin=False))
    end.take(FROM_SERVER(Opcode.BINARY, b"behind"))
    assert end.received == b"a"
    assert "continuation" in end.error


@pytest.mark.fault(67, 68)
@pytest.mark.parametrize(
    ("data", "text"),
    [
        (message(Opcode.BINARY, b"wrong"), "masking"),
        (message(Opcode.BINARY, b"x" * 200), "masking"),
        (FROM_SERVER(Opcode.BINARY, b"wrong", rsv1=True), "reserved bits"),
        (FROM_SERVER(Opcode.TEXT, b"wrong"), "text message"),
        (FROM_SERVER(Opcode.CONT, b"wrong"), "continuation"),
        (FROM_SERVER(Opcode.BINARY, b"", fin=False) + FROM_SERVER(Opcode.BINARY, b"wrong"), "continuation"),
        (FROM_SERVER(Opcode.BINARY, bytes(MIB + 1)), "exceeds"),
        (FROM_SERVER(Opcode.BINARY) * 2000, "flood"),
        (FROM_SERVER(Opcode.CLOSE, b"\x03\xea"), "1002"),
        (FROM_SERVER(Opcode.CLOSE, b"\x03\xe8"), ""),
    ],
)
def test_what_a_server_must_not_send(data: bytes, text: str) -> None:
    """A client takes what came before it, says what is wrong, and nothing behind it counts. Nor behind a goodbye."""
    before, behind = FROM_SERVER(Opcode.BINARY, b"before"), FROM_SERVER(Opcode.BINARY, b"behind")
    for takes in ([before + data + behind], [before + data, behind], [before, data, behind]):
        end, _ = opened()
        for each in takes:
            end.take(each)
        assert text in end.error
        assert end.received == b"before"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 65_537, 131_072, MIB - 1, MIB])
def test_frames_of_every_size(size: int) -> None:
    """A frame of up to 1 MiB arrives, in both directions; in one message, whatever its size."""
    one, other = opened()
    data = bytes(range(256)) * (size // 256 + 1)
    for sender, receiver in ((one, other), (other, one)):
        sender.give(*([data[:24], data[24:size]] if size > 24 else [data[:size]]))
        if sender is other:
            assert sum(is_last for _, is_last, _ in frames_of(sender.sent)) == 1
        meet(one, other)
        assert receiver.received == data[:size]
        assert not receiver.error


# -- how bytes become messages ---------------------------------------------------------------------------------

LARGE = 100 * KIB
CASES: list[tuple[str, list[int], list[list[int]]]] = [
    ("nothing", [], []),
    ("one", [10], [[10]]),
    ("small ones are one message", [10] * 5, [[10] * 5]),
    ("up to 64 KiB", [32 * KIB, 32 * KIB], [[32 * KIB, 32 * KIB]]),
    ("and no more", [32 * KIB, 32 * KIB, 1], [[32 * KIB, 32 * KIB], [1]]),
    ("just over it with its header", [10, 24, 64 * KIB], [[10], [24, 64 * KIB]]),
    ("a large one with its header", [24, LARGE], [[24, LARGE]]),
    ("small ones before it are apart", [50, 50, 24, LARGE], [[50, 50], [24, LARGE]]),
    ("small ones behind it, too", [24, LARGE, 50, 50], [[24, LARGE], [50, 50]]),
    ("two large ones", [24, LARGE, 24, LARGE], [[24, LARGE], [24, LARGE]]),
    ("the largest", [24, MIB - 24], [[24, MIB - 24]]),
    ("over the largest", [25, MIB - 24], [[25], [MIB - 24]]),
    ("a large one that is too large", [MIB + 1], [[MIB + 1]]),
]


@pytest.mark.parametrize(("sizes", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_goes_into_a_message(sizes: list[int], expected: list[list[int]]) -> None:
    """What leaves together is one message of at most 64 KiB, or of one large frame with its header."""
    grouped = [list(map(len, group)) for group in messages([bytes(size) for size in sizes], MIB)]
    assert grouped == expected


def test_a_large_message_leaves_in_fragments() -> None:
    """Fragments of 64 KiB, the last of them marked, and nothing lost."""
    for size in (65_537, 131_072, 131_073, MIB):
        data = bytes(range(251)) * (size // 251 + 1)
        cut = list(fragments([data[:24], data[24:size]]))
        assert b"".join(piece for piece, _ in cut) == data[:size]
        assert [is_last for _, is_last in cut] == [False] * (len(cut) - 1) + [True]
        assert all(0 < len(piece) <= 65_536 for piece, _ in cut)


def test_many_small_frames_share_a_message() -> None:
    """A thousand frames of 64 bytes that leave together are one message."""
    one, other = opened()
    other.give(*[bytes(64)] * 1000)
    assert [len(data) for _, _, data in frames_of(other.sent)] == [64_000]
    meet(one, other)
    assert one.received == bytes(64_000)


# -- what is not allowed ---------------------------------------------------------------------------------------

WRONG = [
    ("text", message(Opcode.TEXT, b"hello"), 1003, "text message"),
    ("text that is none", message(Opcode.TEXT, b"\xff"), 1003, "text message"),
    (
        "text in fragments",
        message(Opcode.TEXT, b"he", fin=False) + message(Opcode.CONT),
        1003,
        "text message",
    ),
    ("too large", message(Opcode.BINARY, bytes(MIB + 1)), 1009, "exceeds"),
    ("too large, announced", message(Opcode.BINARY, bytes(MIB + 1))[:14], 1009, "exceeds"),
    (
        "too large, in fragments",
        message(Opcode.BINARY, bytes(MIB), fin=False) + message(Opcode.CONT, b"x"),
        1009,
        "exceeds",
    ),
    ("compressed", message(Opcode.BINARY, b"x", rsv1=True), 1002, "reserved bits"),
    ("no mask", b"\x82\x01x", 1002, "masking"),
    ("a kind that is none", message(Opcode.BINARY, b"x").replace(b"\x82", b"\x83"), 1002, "opcode"),
    ("a continuation of nothing", message(Opcode.CONT, b"x"), 1002, "continuation"),
    ("a message in a message", message(Opcode.BINARY, b"", fin=False) * 2, 1002, "continuation"),
    ("a long ping", message(Opcode.PING, bytes(126)), 1002, "too long"),
    ("a ping in fragments", message(Opcode.PING, b"", fin=False), 1002, "fragmented"),
    ("a close frame of one byte", message(Opcode.CLOSE, b"x"), 1002, "too short"),
    ("a close code that is none", message(Opcode.CLOSE, b"\x00\x01"), 1002, "status code"),
    ("a close frame with a bad text", message(Opcode.CLOSE, b"\x03\xe8\xff"), 1007, "utf-8"),
    (
        "a close frame in a message",
        message(Opcode.BINARY, b"", fin=False) + message(Opcode.CLOSE, b"\x03\xe8"),
        1002,
        "incomplete",
    ),
    ("a flood of pings", message(Opcode.PING) * 2000, 1008, "flood"),
    ("a flood of nothing", message(Opcode.BINARY) * 2000, 1008, "flood"),
]


@pytest.mark.fault(67, 68)
@pytest.mark.parametrize(
    ("data", "code", "text"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG]
)
def test_what_breaks_the_rules(data: bytes, code: int, text: str) -> None:
    """It is the end, with an error that says why; the close frame says it to the other end; what came before it counts."""
    end = open_server()
    end.take(message(Opcode.BINARY, b"before") + data + message(Opcode.BINARY, b"behind"))
    assert text in end.error
    assert end.received.startswith(b"before")
    assert b"behind" not in end.received
    assert close_code(end.taken()) == code
    assert not end.layer.is_ended
    with pytest.raises(LayerError, match=text):
        end.layer.receive_data(message(Opcode.BINARY, b"more"), end.now)
    assert end.layer.data_to_send() == []


def test_a_larger_limit() -> None:
    """What is too large depends on the limit for frames; joined small ones of 64 KiB are never too large."""
    end = open_server(max_frame=2 * MIB)
    end.take(message(Opcode.BINARY, bytes(2 * MIB)))
    assert (len(end.received), end.error) == (2 * MIB, "")
    end = open_server(max_frame=1000)
    end.take(message(Opcode.BINARY, bytes(64 * KIB)))
    assert (len(end.received), end.error) == (64 * KIB, "")
    end.take(message(Opcode.BINARY, bytes(64 * KIB + 1)))
    assert close_code(end.taken()) == 1009


def test_pings_at_a_reasonable_rate() -> None:
    """Each is answered, and however many come in time there is no flood."""
    end = open_server()
    for number in range(3000):
        end.take(message(Opcode.PING, b"%d" % number))
    assert [data for _, _, data in frames_of(end.taken())] == [b"%d" % number for number in range(3000)]
    assert not end.error


# -- the end ------------------------------------------------------------------------------------------------------

ENDS = [
    ("normal", b"\x03\xe8", ""),
    ("going away", b"\x03\xe9bye", ""),
    ("without a code", b"", ""),
    ("an application's own", b"\x0f\xa0", ""),
    ("restart", b"\x03\xf4", ""),
    ("protocol error", b"\x03\xeasome reason", "1002: some reason"),
    ("unsupported", b"\x03\xeb", "1003: no reason given"),
    ("too big", b"\x03\xf1", "1009"),
    ("internal error", b"\x03\xf3\x1b[31m\nforged", r"1011: ?[31m"),
]


@pytest.mark.parametrize(("body", "error"), [case[1:] for case in ENDS], ids=[case[0] for case in ENDS])
def test_the_other_ends_goodbye(body: bytes, error: str) -> None:
    """A close frame is answered, and is the end of the stream; a code that tells of something wrong is an error."""
    end = open_server()
    end.take(message(Opcode.BINARY, b"last") + message(Opcode.CLOSE, body))
    assert end.received == b"last"
    assert list(frames_of(end.taken())) == [(Opcode.CLOSE, True, body)]
    assert end.layer.is_ended is not bool(error)
    assert error in end.error
    assert "\x1b" not in end.error
    if not error:
        end.give(b"too late")
        end.layer.send_eof(end.now)
        end._pump()
        assert end.taken() == b""
        assert end.layer.next_deadline() is None
        end.end()
        assert not end.error


def test_data_that_is_on_its_way_at_our_goodbye() -> None:
    """After our close frame the other end's last messages still come up, until its own."""
    one, other = opened()
    one.layer.send_eof(one.now)
    one._pump()
    other.give(b"the last")
    meet(one, other)
    assert one.received == b"the last"
    assert one.layer.is_ended


@pytest.mark.parametrize("is_server", [True, False])
def test_an_end_without_a_close_frame(is_server: bool) -> None:
    """The stream just ends: that is no clean end, since someone may have cut it."""
    end = opened()[1 if is_server else 0]
    end.end()
    assert "without a WebSocket close frame" in end.error
    assert not end.layer.is_ended


def test_an_end_in_a_message() -> None:
    """The same, in the middle of a message, of which the beginning has come up."""
    end = open_server()
    end.take(message(Opcode.BINARY, b"a", fin=False) + message(Opcode.CONT, b"bcd")[:-1])
    end.end()
    assert end.received == b"a"
    assert "without a WebSocket close frame" in end.error


# -- time ------------------------------------------------------------------------------------------------------------


def test_pings_and_pongs() -> None:
    """A ping every 20 s from each end, answered by the other, for an hour; nothing comes up, and nobody gives up."""
    one, other = opened()
    for _ in range(3600):
        one.wait(1.0)
        other.wait(1.0)
        meet(one, other)
    assert (one.error, other.error) == ("", "")
    assert (one.received, other.received) == (b"", b"")
    assert one.layer._pings == other.layer._pings == 180


def test_no_pong() -> None:
    """Nobody answers: a ping after 20 s, and 20 s later the end, with a close frame that says why."""
    end = open_server()
    end.wait(19.9)
    assert end.taken() == b""
    end.wait(0.1)
    assert list(frames_of(end.taken())) == [(Opcode.PING, True, b"1")]
    end.wait(19.9)
    assert not end.error
    end.wait(0.1)
    assert "no answer to a ping" in end.error
    assert close_code(end.taken()) == 1011


def test_whatever_comes_is_a_sign_of_life() -> None:
    """Messages, in front of which no pong comes, are as good as one."""
    end = open_server()
    for _ in range(50):
        end.wait(39.0)
        end.take(message(Opcode.BINARY, b"x"))
    assert not end.error
    end.wait(40.0)
    assert "no answer to a ping" in end.error


@pytest.mark.fault(4, 6)
def test_a_large_message_that_does_not_come() -> None:
    """It is announced and begun, and then nothing comes, or a byte at a time: the end, after the time for a frame."""
    for pause in (31.0, 1.0):
        end = open_server()
        end.take(message(Opcode.BINARY, bytes(MIB))[:1000])
        for _ in range(29):
            end.wait(1.0)
            end.take(b"x")
        assert not end.error
        end.wait(pause)
        assert "not there after 30 s" in end.error
        assert close_code(end.taken()) == 1008


def test_a_large_message_in_fragments() -> None:
    """What is there of it has gone up, where the time for a frame is looked after; here each fragment has its own."""
    end = open_server()
    for _ in range(10):
        data = message(Opcode.CONT if end.received else Opcode.BINARY, bytes(100), fin=False)
        end.take(data[:50])
        end.wait(29.0)
        end.take(data[50:])
        end.wait(5.0)
    assert (len(end.received), end.error) == (1000, "")
    end.take(data[:50])
    end.layer.reading_paused(end.now)
    end.wait(100.0)
    end.layer.reading_resumed(end.now)
    end.wait(29.0)
    assert not end.error
    end.wait(1.0)
    assert "not there after 30 s" in end.error


def test_silence_that_is_our_own_doing() -> None:
    """While we do not read we can't hear a pong: pings go on, and the other end has its time again when we read."""
    end = open_server()
    end.layer.reading_paused(end.now)
    end.wait(600.0)
    assert not end.error
    assert len(list(frames_of(end.taken()))) == 30
    end.layer.reading_resumed(end.now)
    end.wait(39.9)
    assert not end.error
    end.wait(0.1)
    assert "no answer to a ping" in end.error


@pytest.mark.fault(54)
def test_silence_of_one_that_was_not_asked() -> None:
    """This process was stopped for a day, so nothing was heard for as long: it asks now, and waits for the answer as ever."""
    one, other = opened()
    one.now += 86_400
    one.wait(0.0)
    assert not one.error
    meet(one, other)
    one.now += 86_400
    one.wait(0.0)
    one.wait(19.9)
    assert not one.error
    one.wait(0.1)
    assert "no answer to a ping" in one.error


def test_a_heartbeat_of_ones_own() -> None:
    """Whoever makes the layer says how long a silence may be: both times go by that, and the error names the sum."""
    end = server(heartbeat=0.5)
    end.take(REQUEST % b"")
    end.taken()
    end.wait(0.5)
    assert list(frames_of(end.taken())) == [(Opcode.PING, True, b"1")]
    end.wait(0.5)
    assert end.error == "no word for 1 s, and no answer to a ping"


def test_no_time_runs_before_the_handshake() -> None:
    """Whoever runs the layer limits that."""
    assert client().layer.next_deadline() is None
    assert server().layer.next_deadline() is None


# -- and all at once ------------------------------------------------------------------------------------------------

PIECES = [
    REQUEST % b"",
    PLAIN % (b"GET", b"/", b""),
    *(message(opcode, b"\x03\xe8") for opcode in Opcode),
    message(Opcode.BINARY, bytes(300), fin=False),
    b"HTTP/1.1 101 Switching Protocols\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n",
    b"\r\n",
]


@pytest.mark.parametrize("make", [client, server, open_server])
def test_whatever_comes(make: Callable[[], End]) -> None:
    """Pieces of the protocol in any order, cut anywhere, with bytes changed: it ends well, or with an error of ours."""
    for seed in range(1000):
        chance = random.Random(seed)
        data = bytearray(b"".join(chance.choices([*PIECES, chance.randbytes(20)], k=chance.randrange(1, 6))))
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        end = make()
        end.take(bytes(data), chance.choice([0, 1, 7, 50]))
        if not end.error:
            end.end()
        assert end.error or end.layer.is_ended, seed
