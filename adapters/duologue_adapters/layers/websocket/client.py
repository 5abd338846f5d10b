"""The client's end: it asks for a WebSocket, and reads the answer."""

from __future__ import annotations

from http import HTTPStatus

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.http11 import Request, Response
from websockets.uri import WebSocketURI

from duologue import Limits
from duologue_adapters.layers.websocket.base import WebSocketLayer, largest_message, logger, printable
from duologue_adapters.ports import HEARTBEAT, LayerError


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
        self._client.send_request(self._client.connect())

    def _take_handshake(self, event: Request | Response, now: float) -> None:
        if self._client.handshake_exc is None:
            self._opened(now)

    def _check_handshake(self) -> None:
        exc = self._client.handshake_exc
        if exc is not None:
            self._failure = LayerError(_text_of(exc))


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
