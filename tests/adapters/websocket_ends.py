"""Ends of a WebSocket without a socket, for tests of the layer: with a clock, and bytes by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from websockets.frames import Opcode

from duologue import Limits
from duologue_adapters import LayerError
from duologue_adapters.layers.websocket import WebSocketClient, WebSocketServer
from duologue_adapters.ports import HEARTBEAT
from duologue_adapters.static_files import Page

KIB = 1024
MIB = 1024 * KIB
REQUEST = (
    b"GET /chat?a=b HTTP/1.1\r\nHost: example.org\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)
PLAIN = b"%b %b HTTP/1.1\r\nHost: example.org\r\n%b\r\n"
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""What the standard says must be answered to that key (RFC 6455, section 1.3)."""


class End:
    """One layer, with a clock and what came out of it."""

    def __init__(self, layer: WebSocketClient | WebSocketServer) -> None:
        self.layer = layer
        self.now = 100.0
        self.received = b""
        self.sent = b""
        self.error = ""

    def take(self, data: bytes | memoryview, step: int = 0) -> None:
        """Bytes come, maybe `step` at a time."""
        try:
            for start in range(0, len(data), step or len(data) or 1):
                self.received += b"".join(
                    self.layer.receive_data(data[start : start + (step or len(data))], self.now)
                )
                self._pump()
                if (deadline := self.layer.next_deadline()) is not None and deadline <= self.now:
                    self.layer.handle_timer(self.now)
        except LayerError as exc:
            self.error = str(exc)
        self._pump()

    def give(self, *buffers: bytes) -> None:
        self.layer.send_data(list(buffers), self.now)
        self._pump()

    def wait(self, seconds: float) -> None:
        """Time passes, and whatever the layer has to do at a time it does then."""
        end = self.now + seconds
        while (deadline := self.layer.next_deadline()) is not None and deadline <= end and not self.error:
            self.now = max(self.now, deadline)
            try:
                self.layer.handle_timer(self.now)
            except LayerError as exc:
                self.error = str(exc)
            self._pump()
        self.now = end

    def end(self) -> None:
        """The stream from the other end is over."""
        try:
            self.layer.receive_eof(self.now)
        except LayerError as exc:
            self.error = str(exc)
        self._pump()

    def taken(self) -> bytes:
        """What the other end gets now."""
        sent, self.sent = self.sent, b""
        return sent

    def _pump(self) -> None:
        while buffers := self.layer.data_to_send():
            assert all(buffers), "an empty buffer has no meaning for a link"
            self.sent += b"".join(buffers)


def client(path: str = "/chat", *, max_frame: int = MIB) -> End:
    return End(WebSocketClient("example.org", 80, path, limits=Limits(max_frame=max_frame)))


def server(
    *,
    origins: list[str] | None = None,
    path: str = "",
    find_page: Callable[[str], Page | None] | None = None,
    max_frame: int = MIB,
    heartbeat: float = HEARTBEAT,
) -> End:
    limits = Limits(max_frame=max_frame)
    return End(
        WebSocketServer(origins=origins, path=path, find_page=find_page, limits=limits, heartbeat=heartbeat)
    )


def meet(one: End, other: End, step: int = 0) -> None:
    """Bring each what the other has sent, until both are silent."""
    one._pump()
    other._pump()
    while one.sent or other.sent:
        other.take(one.taken(), step)
        one.take(other.taken(), step)


def opened(*, max_frame: int = MIB) -> tuple[End, End]:
    """A client and a server whose handshake is done."""
    one, other = client(max_frame=max_frame), server(max_frame=max_frame)
    meet(one, other)
    assert one.layer.is_open
    assert other.layer.is_open
    return one, other


def open_server(**options: int) -> End:
    """A server that has answered a handshake."""
    end = server(**options)
    end.take(REQUEST % b"")
    assert end.taken().startswith(b"HTTP/1.1 101 ")
    return end


def message(
    opcode: Opcode, data: bytes = b"", fin: bool = True, rsv1: bool = False, *, masked: bool = True
) -> bytes:
    """A frame of a client's, whose mask changes nothing, or of a server's, which has none; it may break the rules."""
    head = (0x80 if fin else 0) | (0x40 if rsv1 else 0) | opcode
    size, mask = len(data), 0x80 if masked else 0
    if size < 126:
        header = struct.pack("!BB", head, mask | size)
    elif size < 65536:
        header = struct.pack("!BBH", head, mask | 126, size)
    else:
        header = struct.pack("!BBQ", head, mask | 127, size)
    return header + (bytes(4) if masked else b"") + data


def frames_of(data: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """The frames in a server's bytes: opcode, whether it is the last of its message, data."""
    while data:
        opcode, size = data[0], data[1]
        data = data[2:]
        if size == 126:
            (size,) = struct.unpack("!H", data[:2])
            data = data[2:]
        elif size == 127:
            (size,) = struct.unpack("!Q", data[:8])
            data = data[8:]
        yield opcode & 0x0F, bool(opcode & 0x80), data[:size]
        data = data[size:]


def close_code(data: bytes) -> int:
    """The code of the close frame that these bytes end with."""
    opcode, _, body = list(frames_of(data))[-1]
    assert opcode == Opcode.CLOSE
    return int(struct.unpack("!H", body[:2])[0])


def status(end: End) -> int:
    """The status of the one answer that a server has given. All of it is there, and nothing else."""
    answer = end.taken()
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}
    assert headers["connection"] == "close"
    assert int(headers["content-length"]) == len(body)
    return int(lines[0].split(" ")[1])


def find_page(path: str) -> Page | None:
    page = b"<p>hello"
    if path != "/":
        return None
    return Page("text/html; charset=utf-8", len(page), "1", lambda offset: page[offset : offset + 3])
