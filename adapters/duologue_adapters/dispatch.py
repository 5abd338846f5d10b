"""Runs the remote's requests: in a task, in place, or in a thread. What is run, and when, the core has decided."""

from __future__ import annotations

from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from duologue import Context, FailureKind, Overloaded
from duologue.protocol.connection import Connection
from duologue.protocol.events import IncomingRequest
from duologue.protocol.routes import Mode, RequestFault, Route
from duologue_adapters.ports import Engine

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from duologue_adapters.driver import DriverPeer


current_request: ContextVar[tuple[DriverPeer, IncomingRequest] | None] = ContextVar("current_request", default=None)
"""The request whose handler runs here, and in the tasks that it started: the one whose permit its calls lend (F1)."""


def lend(running: tuple[DriverPeer, IncomingRequest]) -> None:
    """The handler begins to wait for a remote. Raises `Overloaded` if too many do."""
    peer, request = running
    if not peer.lend(request):
        raise Overloaded("too many handlers wait for a remote already: calls go round in circles, or raise Limits.lent")


def unlend(running: tuple[DriverPeer, IncomingRequest]) -> None:
    """The wait is over."""
    peer, request = running
    peer.unlend(request)


class RequestContext(Context):
    """What a handler sees as `ctx`."""

    __slots__ = ("_running", "call_id", "peer")

    def __init__(self, peer: DriverPeer, request: IncomingRequest) -> None:
        self._running = (peer, request)
        self.peer = peer
        self.call_id = request.cid

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        lend(self._running)
        try:
            yield
        finally:
            unlend(self._running)


_TASK, _INLINE = Mode.TASK, Mode.INLINE  # a member of an enum is slow to look up on some versions


class Dispatcher:
    """Runs the requests of one connection. Each ends with exactly one of `respond`, `fail` and `done`."""

    __slots__ = ("_connection", "_engine", "_now", "_peer", "_start")

    def __init__(self, peer: DriverPeer, engine: Engine, connection: Connection) -> None:
        self._peer = peer
        self._engine = engine
        self._start = engine.start
        self._now = engine.now
        self._connection = connection

    def start(self, request: IncomingRequest) -> None:
        """Run a request."""
        route = request.route
        assert route is not None
        mode = route.mode
        if mode is _TASK:
            request.handler = self._start(self._run(request, route))
        elif mode is _INLINE:
            self._run_inline(request, route)
        else:
            request.handler = self._engine.start(self._run_in_thread(request, route))

    def cancel(self, request: IncomingRequest) -> None:
        """The connection ends: the handler's time is over."""
        if request.is_ended or request.handler is None:
            return
        # A task that is cancelled before its first step never gets to say that it has ended.
        in_thread = request.route is not None and request.route.mode is Mode.THREAD
        if not in_thread:
            request.handler.add_done_callback(lambda _: self._end_cancelled(request))
        request.handler.cancel()

    async def _run(self, request: IncomingRequest, route: Route) -> None:
        current_request.set((self._peer, request))
        context = RequestContext(self._peer, request) if route.wants_context else None
        try:
            answer = await route.run(request.payload, context, request.cid != 0)
        except BaseException as exc:
            self._failed(request, exc)
            if self._engine.propagates(exc):
                raise
        else:
            if request.cid:
                self._connection.respond(request, answer, self._now())
            else:
                self._connection.done(request, self._now())
            if not self._peer.is_driving:
                self._peer.touch()

    def _run_inline(self, request: IncomingRequest, route: Route) -> None:
        context = RequestContext(self._peer, request) if route.wants_context else None
        try:
            answer = route.run_sync(request.payload, context, request.cid != 0)
        except BaseException as exc:
            self._failed(request, exc)
            if self._engine.propagates(exc):
                raise
        else:
            self._succeeded(request, answer)

    async def _run_in_thread(self, request: IncomingRequest, route: Route) -> None:
        context = RequestContext(self._peer, request) if route.wants_context else None
        outcome: list[bytes | BaseException] = []

        def function() -> bytes:
            try:
                answer = route.run_sync(request.payload, context, request.cid != 0)
            except BaseException as exc:
                outcome.append(exc)
                raise
            outcome.append(answer)
            return answer

        def ended() -> None:
            # The thread itself says that it has ended: it holds its permit until then, cancelled or not (F8).
            if isinstance(result := outcome[0] if outcome else b"", BaseException):
                self._failed(request, result)
            else:
                self._succeeded(request, result)

        try:
            await self._engine.run_in_thread(function, ended)
        except BaseException as exc:
            if not outcome and not request.is_ended and not request.is_cancelled:
                self._failed(request, exc)  # it could not even be started
            if self._engine.propagates(exc):
                raise

    def _succeeded(self, request: IncomingRequest, answer: bytes) -> None:
        now = self._now()
        if request.cid:
            self._connection.respond(request, answer, now)
        else:
            self._connection.done(request, now)
        self._peer.touch()

    def _failed(self, request: IncomingRequest, exc: BaseException) -> None:
        if isinstance(exc, RequestFault):
            kind, error = exc.kind, exc.__cause__
        else:
            kind, error = FailureKind.HANDLER_FAILED, exc
        self._connection.fail(request, kind, self._engine.now(), error)
        self._peer.touch()

    def _end_cancelled(self, request: IncomingRequest) -> None:
        if not request.is_ended:
            self._connection.done(request, self._engine.now())
            self._peer.touch()
