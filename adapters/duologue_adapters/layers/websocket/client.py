"""The client's end: it asks for a WebSocket, and reads the answer."""

from __future__ import annotations

import math
from http import HTTPStatus

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Request, Response
from websockets.uri import WebSocketURI

from duologue import Limits
from duologue_adapters.layers.websocket.base import WebSocketLayer, largest_message, logger
from duologue_adapters.layers.websocket.messages import Piece, least_size, whole_messages
from duologue_adapters.ports import HEARTBEAT, LayerError
from duologue_adapters.remote_text import printable


class WebSocketClient(WebSocketLayer):
    """A client's end, which asks `host` for the WebSocket at `path`, a query included.

    `secure` is for the port, which goes without saying if it is the usual one: encryption is the business of a layer below.
    """

    def __init__(
        self,
        host: str,
        port: int,
        path: str = "/",
        *,
        secure: bool = False,
        limits: Limits,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        path, _, query = path.partition("?")
        self._client = ClientProtocol(
            WebSocketURI(secure, host, port, path, query), max_size=largest_message(limits), logger=logger
        )
        super().__init__(self._client, limits, heartbeat)
        self._unparsed = math.inf
        """Bytes that have come, without those of the messages that were found in them; nobody knows before it is open."""
        self._is_in_message = False
        """A message has begun, and its last frame has not come."""
        self._client.send_request(self._client.connect())

    def receive_data(self, data: bytes | memoryview, now: float) -> list[bytes]:
        was_open = self._is_open
        self._unparsed += len(data)
        received = super().receive_data(data, now)
        if self._is_open and not was_open:
            _, end_of_head, rest = bytes(data).partition(b"\r\n\r\n")
            if end_of_head and not rest:
                self._unparsed = 0
        return received

    def _take_whole(self, data: bytes | memoryview, received: list[Piece]) -> int:
        """What a server sends is mostly whole messages. To let the library find them costs as much as all that is above.

        It does not tell whether it has begun with one, so we count. Should a server write a length longer than need be, the
        count never gets back to nothing, and the library finds all that follows.
        """
        if (
            self._unparsed != len(data)
            or self._is_in_message
            or self._failure is not None
            or self._client.close_rcvd is not None
        ):
            return 0
        begin = whole_messages(data, received)
        self._unparsed -= begin
        return begin

    def _take_frame(self, frame: Frame, received: list[Piece]) -> None:
        self._unparsed -= least_size(len(frame.data))
        if frame.opcode is Opcode.BINARY or frame.opcode is Opcode.CONT:
            self._is_in_message = not frame.fin
        super()._take_frame(frame, received)

    def _take_handshake(self, event: Request | Response, now: float) -> None:
        if self._client.handshake_exc is None:
            self._opened(now)

    def _check_handshake(self) -> None:
        exc = self._client.handshake_exc
        if exc is not None:
            self._failure = LayerError(_text_of(exc), is_permanent=_is_permanent(exc))


_REFUSED = frozenset({400, 401, 403, 405, 407, 410, 414, 426, 431, 501, 505})
"""Answers that are about this end, or its request. Others are given by a proxy while the server is away, 404 among them."""


def _is_permanent(exc: Exception) -> bool:
    if isinstance(exc, InvalidStatus):
        status = exc.response.status_code
        return status in _REFUSED or 300 <= status < 400  # a redirection is not followed
    return not isinstance(exc.__cause__, EOFError)  # it hung up, or speaks something else


def _text_of(exc: Exception) -> str:
    if isinstance(exc, InvalidStatus):
        response = exc.response
        try:
            phrase = HTTPStatus(response.status_code).phrase
        except ValueError:
            phrase = ""
        said = printable(response.body.decode(errors="replace"))
        return f"the server opens no WebSocket, it answered {response.status_code} {phrase}: {said or 'and no more'}"
    if isinstance(exc, InvalidMessage):
        if isinstance(exc.__cause__, EOFError):
            return "the server hung up during the WebSocket handshake"
        return "the server's answer is no HTTP: is that a WebSocket server?"
    return f"the server's handshake is wrong: {printable(str(exc))}"
