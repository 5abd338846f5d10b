"""The server's end: it answers a request, with a WebSocket, with a page, or with what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection
from http import HTTPStatus
from typing import cast

from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Origin

from duologue import Limits
from duologue_adapters.layers.websocket.base import WebSocketLayer, largest_message, logger
from duologue_adapters.ports import HEARTBEAT, LayerError
from duologue_adapters.static_files import Page

_OTHER_METHODS = (b"POST ", b"PUT ", b"DELETE ", b"PATCH ", b"OPTIONS ", b"CONNECT ", b"TRACE ")
_HEAD = max(map(len, _OTHER_METHODS))


class WebSocketServer(WebSocketLayer):
    """A server's end.

    `origins` are the origins whose pages may open it; None for all. `own_origin` gives one more, by the `Host` that a request
    names. A client that names no origin is no browser, and passes.
    `path` is the only one at which it opens, if one is given. `find_page` gives the page at a path, if there is one, for
    plain requests. Each connection gets one answer: a WebSocket, a page, or an error.
    """

    def __init__(
        self,
        *,
        origins: Collection[str] | None,
        own_origin: Callable[[str], str | None] | None = None,
        path: str = "",
        find_page: Callable[[str], Page | None] | None = None,
        limits: Limits,
        heartbeat: float = HEARTBEAT,
    ) -> None:
        allowed = None if origins is None else [*map(Origin, origins), None]
        self._server = ServerProtocol(origins=allowed, max_size=largest_message(limits), logger=logger)
        super().__init__(self._server, limits, heartbeat)
        self._own_origin = own_origin
        self._path = path
        self._find_page = find_page
        self._head = b""
        self._answers: list[bytes] = []
        self._page: Page | None = None
        """What is being sent, up to here."""
        self._page_sent = 0

    def receive_data(self, data: bytes | memoryview, now: float) -> list[bytes]:
        if data and len(self._head) < _HEAD:
            self._head += bytes(data[: _HEAD - len(self._head)])
            # TLS, or our own frames without a WebSocket: no line will ever end in those.
            if self._failure is None and not self._head[:1].isalpha():
                self._refuse(HTTPStatus.BAD_REQUEST, "this is a WebSocket server, and that was no HTTP")
        return super().receive_data(data, now)

    def data_to_send(self) -> list[bytes]:
        if not self._answers and self._page is not None:
            return self._next_of_page(self._page)
        answers, self._answers = self._answers, []
        return answers + super().data_to_send()

    def _next_of_page(self, page: Page) -> list[bytes]:
        """One piece each time, so that no more of a large file is in memory than leaves."""
        piece = page.read(self._page_sent)[: page.size - self._page_sent]
        if not piece:
            self._page = None
            return super().data_to_send()
        self._page_sent += len(piece)
        return [piece]

    def _take_handshake(self, event: Request | Response, now: float) -> None:
        request = cast("Request", event)
        path = request.path.partition("?")[0]
        if "websocket" not in ",".join(request.headers.get_all("Upgrade")).lower():
            self._serve_page(request, path)
        elif self._path and path != self._path:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no WebSocket at this path")
        elif self._server.writes or self._server.eof_sent:
            self._refuse(HTTPStatus.BAD_REQUEST, "a client has to wait for the answer before it goes on")
        else:
            self._allow_own_origin(request)
            response = self._server.accept(request)
            if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
                self._answer(response)
                return
            self._server.send_response(response)
            self.extra = {"origin": self._server.origin, "path": request.path}
            self._opened(now)

    def _check_handshake(self) -> None:
        if self._server.handshake_exc is None or self._protocol.reader.eof:
            return
        # The library answers what is too long, and nothing else that it can't read.
        said = b"".join(self._protocol.data_to_send())
        if said:
            self._answers.append(said)
            self._failure = LayerError("the request is too long")
        elif self._head.startswith(_OTHER_METHODS):
            self._refuse_method()
        else:
            self._refuse(HTTPStatus.BAD_REQUEST, "that is no request for a WebSocket, or for a page")

    def _allow_own_origin(self, request: Request) -> None:
        hosts = request.headers.get_all("Host")
        if self._own_origin is None or self._server.origins is None or len(hosts) != 1:
            return
        own = self._own_origin(hosts[0])
        if own is not None:
            self._server.origins = [*self._server.origins, Origin(own)]

    def _serve_page(self, request: Request, path: str) -> None:
        if request.method not in ("GET", "HEAD"):
            self._refuse_method()
        elif self._find_page is None:
            if self._path and path != self._path:
                self._refuse(HTTPStatus.NOT_FOUND, "there is nothing at this path")
            else:
                self._answer(self._server.accept(request))  # it says that an upgrade is required
        elif (page := self._find_page(path)) is None:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        else:
            self._answer_page(request, page)

    def _answer_page(self, request: Request, page: Page) -> None:
        # A browser asks each time, and is told that it has the file already: so nobody ever runs an old script with a new page.
        etag = f'"{page.tag}"'
        known = {each.strip() for each in ",".join(request.headers.get_all("If-None-Match")).split(",")}
        is_known = etag in known
        response = self._server.reject(HTTPStatus.NOT_MODIFIED if is_known else HTTPStatus.OK, "")
        del response.headers["Content-Type"]
        del response.headers["Content-Length"]
        if not is_known:
            response.headers["Content-Type"] = page.content_type
            response.headers["Content-Length"] = str(page.size)
        response.headers["ETag"] = etag
        response.headers["Cache-Control"] = "no-cache"
        response.body = b""
        self._answer(response)
        if request.method == "GET" and not is_known:
            self._page = page

    def _refuse_method(self) -> None:
        response = self._server.reject(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n")
        response.headers["Allow"] = "GET, HEAD"
        self._answer(response)

    def _refuse(self, status: HTTPStatus, text: str) -> None:
        self._answer(self._server.reject(status, text + "\n"))

    def _answer(self, response: Response) -> None:
        """Say this, and no more: a connection that opens no WebSocket gets one answer."""
        response.headers["X-Content-Type-Options"] = "nosniff"
        # Not through the library: it can't answer any more when something has come behind the request.
        self._answers.append(response.serialize())
        self._protocol.data_to_send()
        self._failure = LayerError(
            f"no WebSocket was opened, the answer was {response.status_code} {response.reason_phrase}"
        )
