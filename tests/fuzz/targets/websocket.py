"""Target `websocket`: the WebSocket layer, a server's end or a client's, against any bytes in any pieces.

Input: which end, and whether its handshake is done; the pieces; how much we do meanwhile; the rest is the stream.
"""

from __future__ import annotations

from unittest import mock

from tests.adapters.websocket_ends import REQUEST, find_page
from tests.fuzz.choices import Choices, cut, pieces

from duologue import Limits
from duologue_adapters.layers.websocket import WebSocketClient, WebSocketServer
from duologue_adapters.layers.websocket.base import EMPTY_AT_ONCE
from duologue_adapters.ports import CutShort, LayerError

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""The key of the standard's example, so that a stream can hold the answer to it."""
ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
LIMITS = Limits(max_frame=2000)
NOW = 100.0


def run(data: bytes) -> None:
    choices = Choices(data)
    kind, is_open, interleaves = choices.byte() % 3, choices.byte() % 2 == 1, choices.byte() % 2 == 1
    sizes = pieces(choices)
    stream = choices.rest()
    whole = take(kind, is_open, [stream], interleaves=False)
    in_pieces = take(kind, is_open, cut(stream, sizes), interleaves=False)
    # Two things depend on how it is cut: how many empty messages are a flood (on how often we get to write), and whether a ping
    # comes behind a request that is not answered yet, which is refused.
    is_refused = "400 Bad Request" in whole[-1] + in_pieces[-1]
    if len(stream) < EMPTY_AT_ONCE and not is_refused:
        assert whole == in_pieces, f"whole {whole}, in pieces {in_pieces}"
    if interleaves:
        take(kind, is_open, cut(stream, sizes), interleaves=True)


def make(kind: int, is_open: bool) -> WebSocketClient | WebSocketServer:
    if kind == 0:
        with mock.patch("websockets.client.generate_key", return_value=KEY):
            layer: WebSocketClient | WebSocketServer = WebSocketClient(
                "example.org", 80, "/chat", limits=LIMITS
            )
        first = ANSWER
    else:
        origins = None if kind == 1 else ["https://example.org"]
        layer = WebSocketServer(origins=origins, path="/chat", find_page=find_page, limits=LIMITS)
        first = REQUEST % b""
    if is_open:
        layer.data_to_send()
        assert layer.receive_data(first, NOW) == []
        assert layer.is_open
    return layer


def take(kind: int, is_open: bool, parts: list[bytes], *, interleaves: bool) -> tuple[bytes, bool, bool, str]:
    """Give it the stream. Says what came up, whether it is open and ended, and how it failed."""
    layer, now = make(kind, is_open), NOW
    received, failure = b"", ""
    try:
        for turn, part in enumerate(parts):
            memory = bytearray(part)
            received += b"".join(map(bytes, layer.receive_data(memoryview(memory), now)))
            memory[:] = b"\xee" * len(memory)
            if (deadline := layer.next_deadline()) is not None and deadline <= now:
                layer.handle_timer(now)
            if interleaves:
                now = meanwhile(layer, turn, now)
        layer.receive_eof(now)
    except CutShort:
        assert layer.is_open
        assert not layer.is_ended
    except LayerError as error:
        failure = str(error)
        assert failure.isprintable(), "what the other end said must not move a terminal's cursor"
    sent = layer.data_to_send()
    assert all(sent), "an empty buffer has no meaning for a link"
    assert not (failure and layer.is_ended), "a failure is no clean end"
    if received:
        assert layer.is_open
    return received, layer.is_open, layer.is_ended, failure


def meanwhile(layer: WebSocketClient | WebSocketServer, turn: int, now: float) -> float:
    """What this end does between two pieces. None of it may raise, but for time that was too long."""
    if layer.is_open:
        if turn % 2:
            layer.send_data([b"abc", bytes(turn % 100)], now)
        if turn % 3 == 2:
            layer.reading_paused(now)
            layer.reading_resumed(now)
        if turn % 7 == 6:
            layer.send_eof(now)
    assert all(layer.data_to_send())
    now += turn % 11
    if (deadline := layer.next_deadline()) is not None and deadline <= now:
        layer.handle_timer(now)
        following = layer.next_deadline()
        assert following is None or following > now, "a timer that is due for ever would keep a driver busy"
    return now
