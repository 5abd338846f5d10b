"""The handshake of WebSocket, without a socket: what a server answers to whom, and what a client makes of answers."""

from __future__ import annotations

import struct

import pytest
from tests.adapters.websocket_ends import (
    PLAIN,
    REQUEST,
    client,
    close_code,
    find_page,
    message,
    opened,
    server,
    status,
)
from websockets.frames import Frame, Opcode

# -- a server's answers -------------------------------------------------------------------------------------------------


ANSWERS: list[tuple[str, bytes, int]] = [
    ("a plain request", PLAIN % (b"GET", b"/chat", b""), 426),
    ("another path", PLAIN % (b"GET", b"/", b""), 404),
    ("a WebSocket elsewhere", REQUEST.replace(b"/chat", b"/chit") % b"", 404),
    ("a path that only begins so", REQUEST.replace(b"/chat", b"/chat/x") % b"", 404),
    ("POST", PLAIN % (b"POST", b"/chat", b""), 405),
    ("POST with a body", PLAIN % (b"POST", b"/chat", b"Content-Length: 5\r\n") + b"hello", 405),
    ("chunks", PLAIN % (b"PUT", b"/chat", b"Transfer-Encoding: chunked\r\n"), 405),
    ("GET with a body", PLAIN % (b"GET", b"/chat", b"Content-Length: 5\r\n") + b"hello", 400),
    ("no HTTP", b"HELLO\r\n\r\n", 400),
    ("HTTP of another age", b"GET /chat\r\n\r\n", 400),
    ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    ("TLS", b"\x16\x03\x01\x02\x00\x01\x00", 400),
    ("one of our own frames", struct.pack("<QQQ", 24, 4711, 1), 400),
    ("HTTP/1.0", REQUEST.replace(b"HTTP/1.1", b"HTTP/1.0") % b"", 505),
    ("no key", REQUEST.replace(b"Sec-WebSocket-Key", b"X-Key") % b"", 400),
    ("a bad key", REQUEST.replace(b"dGhl", b"dGh") % b"", 400),
    ("another version", REQUEST.replace(b"Version: 13", b"Version: 8") % b"", 400),
    ("a bad header", REQUEST % b"no colon\r\n", 400),
    ("an endless path", b"GET /" + b"x" * 10_000, 414),
    ("an endless header", PLAIN[:-2] % (b"GET", b"/chat", b"X: " + b"x" * 10_000), 431),
    ("too many headers", PLAIN % (b"GET", b"/chat", b"X: y\r\n" * 200), 431),
    ("a foreign origin", REQUEST % b"Origin: https://evil.example\r\n", 403),
    ("a foreign origin, nearly ours", REQUEST % b"Origin: https://example.org.evil.example\r\n", 403),
    ("our origin without TLS", REQUEST % b"Origin: http://example.org\r\n", 403),
    ("no origin, said so", REQUEST % b"Origin: null\r\n", 403),
    ("two origins", REQUEST % (b"Origin: https://example.org\r\n" * 2), 400),
    ("a ping before the answer", REQUEST % b"" + message(Opcode.PING), 400),
    ("a close frame before the answer", REQUEST % b"" + message(Opcode.CLOSE), 400),
    ("garbage before the answer", REQUEST % b"" + b"\xff" * 10, 400),
]


@pytest.mark.fault(69)
@pytest.mark.parametrize(("data", "code"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS])
def test_what_a_server_refuses(data: bytes, code: int) -> None:
    """Whatever comes in the place of a handshake gets one answer in proper HTTP, and that is the end."""
    end = server(origins=["https://example.org"], path="/chat")
    end.take(data)
    assert status(end) == code
    assert str(code) in end.error or "too long" in end.error
    assert not end.layer.is_open
    assert not end.layer.is_ended
    end.take(data)
    assert end.taken() == b""


@pytest.mark.parametrize("step", [1, 3, 10])
def test_a_refusal_of_a_request_in_pieces(step: int) -> None:
    """However the request is cut, the answer is the same."""
    for _, data, code in ANSWERS:
        # What comes behind a request may come too late to be noticed.
        if code != 400 or data[:4] != b"GET ":
            end = server(origins=["https://example.org"], path="/chat")
            end.take(data, step)
            assert status(end) == code, data


@pytest.mark.parametrize("header", [b"", b"Origin: https://example.org\r\n"])
def test_who_may_pass(header: bytes) -> None:
    """A client that names no origin is no browser, and passes; so does a page of an origin that is allowed."""
    end = server(origins=["https://example.org"], path="/chat")
    end.take(REQUEST % header)
    assert end.layer.is_open
    assert end.layer.extra["origin"] == ("https://example.org" if header else None)


def test_any_origin() -> None:
    """Without a list all pass."""
    end = server()
    end.take(REQUEST % b"Origin: https://evil.example\r\n")
    assert end.layer.is_open


@pytest.mark.fault(68)
def test_compression_is_not_accepted() -> None:
    """A client offers it, and is not answered; a compressed message all the same breaks the rules."""
    end = server()
    end.take(REQUEST % b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n")
    assert end.layer.is_open
    assert b"extensions" not in end.taken().lower()
    end.take(message(Opcode.BINARY, b"\x00" * 10, rsv1=True))
    assert close_code(end.taken()) == 1002


PAGES: list[tuple[str, bytes, int]] = [
    ("the page", PLAIN % (b"GET", b"/", b""), 200),
    ("with a query", PLAIN % (b"GET", b"/?x=y", b""), 200),
    ("none", PLAIN % (b"GET", b"/nothing", b""), 404),
    ("posted", PLAIN % (b"POST", b"/", b""), 405),
    ("deleted", PLAIN % (b"DELETE", b"/", b""), 405),
    ("two in one go", PLAIN % (b"GET", b"/", b"") * 2, 200),
    ("in an older HTTP", PLAIN.replace(b"1.1", b"1.0") % (b"GET", b"/", b""), 200),
]


@pytest.mark.parametrize(("data", "code"), [case[1:] for case in PAGES], ids=[case[0] for case in PAGES])
def test_pages(data: bytes, code: int) -> None:
    """A plain request gets a page, one for a connection, and a WebSocket opens beside them."""
    end = server(find_page=find_page, path="/chat")
    end.take(data)
    answer = end.sent
    assert status(end) == code
    if code == 200:
        assert answer.endswith(b"\r\n\r\n<p>hello")
        assert b"Content-Type: text/html; charset=utf-8\r\n" in answer
        assert answer.count(b"\r\nContent-Type") == answer.count(b"\r\nContent-Length") == 1
        assert b"X-Content-Type-Options: nosniff\r\n" in answer
    end = server(find_page=find_page, path="/chat")
    end.take(REQUEST % b"")
    assert end.layer.is_open


def test_the_head_of_a_page() -> None:
    """HEAD: the same headers, and no page."""
    answers: list[bytes] = []
    for method in (b"GET", b"HEAD"):
        end = server(find_page=find_page)
        end.take(PLAIN % (method, b"/", b""))
        answers.append(b"\r\n".join(line for line in end.taken().split(b"\r\n") if b"Date" not in line))
    assert answers[0] == answers[1] + b"<p>hello"


def test_a_request_that_is_cut() -> None:
    """The client hangs up before it has asked for anything: nothing to be answered."""
    for data in (b"", b"GET", REQUEST[:-10]):
        end = server()
        end.take(data)
        end.end()
        assert end.taken() == b""
        assert "during the WebSocket handshake" in end.error


# -- what a client makes of answers ------------------------------------------------------------------------------------------

REPLIES = [
    (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\nno \x1byou", "answered 403 Forbidden: no ?yo"),
    (b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n", "answered 302 Found: and no more"),
    (b"HTTP/1.1 599 \r\nContent-Length: 0\r\n\r\n", "answered 599 : and no more"),
    (b"SSH-2.0-OpenSSH_9.2\r\n", "is no HTTP"),
    (b"\x15\x03\x01\x00\x02\x02\x16\r\n", "is no HTTP"),
    (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"x" * 10_000, "is no HTTP"),
    (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "handshake is wrong: missing Connection header"),
    (
        (
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"
        ),
        "invalid Sec-WebSocket-Accept",
    ),
]


@pytest.mark.parametrize(("reply", "text"), REPLIES)
@pytest.mark.parametrize("step", [0, 1])
def test_answers_that_open_nothing(reply: bytes, text: str, step: int) -> None:
    """The error says what the server has said, or that it is none."""
    end = client()
    assert end.layer.data_to_send()
    end.take(reply, step)
    assert text in end.error
    assert "\x1b" not in end.error
    assert not end.layer.is_open


def test_a_server_that_says_all_until_it_hangs_up() -> None:
    """An answer without a length ends with the stream."""
    end = client()
    end.take(b"HTTP/1.1 404 Not Found\r\n\r\nnobody here")
    assert not end.error
    end.end()
    assert "answered 404 Not Found: nobody here" in end.error


def test_a_server_that_hangs_up() -> None:
    """Without an answer, or in the middle of one."""
    for data in (b"", b"HTTP/1.1 1"):
        end = client()
        end.take(data)
        end.end()
        assert "hung up during the WebSocket handshake" in end.error


def test_a_server_that_accepts_what_was_not_offered() -> None:
    """Compression that nobody asked for: no connection."""
    one, other = client(), server()
    one._pump()
    other.take(one.taken())
    end = other.taken().replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n")
    one.take(end)
    assert "handshake is wrong: no extensions supported" in one.error


def test_a_mask_and_no_mask() -> None:
    """A client masks, as it must, and a server must not: each refuses what comes the wrong way."""
    one, _ = opened()
    one.take(message(Opcode.BINARY, b"x"))
    assert "incorrect masking" in one.error
    assert Frame(Opcode.BINARY, b"x").serialize(mask=False) == b"\x82\x01x"
