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


class RunningRequest(Context):
    """A request whose handler runs: what the handler sees as `ctx`, and what its own calls lend the permit of."""

    __slots__ = ("call_id", "peer", "request")

    def __init__(self, peer: DriverPeer, request: IncomingRequest) -> None:
        self.peer = peer
        self.request = request
        self.call_id = request.cid

    def lend(self) -> None:
        """The handler begins to wait for a remote. Raises `Overloaded` if too many do."""
        if not self.peer.lend(self.request):
            raise Overloaded("too many handlers wait for a remote already: calls go round in circles, or raise Limits.lent")

    def unlend(self) -> None:
        """The wait is over."""
        self.peer.unlend(self.request)

    @asynccontextmanager
    async def waiting(self) -> AsyncIterator[None]:
        self.lend()
        try:
            yield
        finally:
            self.unlend()


current_request: ContextVar[RunningRequest | None] = ContextVar("current_request", default=None)
"""The request whose handler runs here, and in the tasks that it started."""


class Dispatcher:
    """Runs the requests of one connection. Each ends with exactly one of `respond`, `fail` and `done`."""

    __slots__ = ("_connection", "_engine", "_peer")

    def __init__(self, peer: DriverPeer, engine: Engine, connection: Connection) -> None:
        self._peer = peer
        self._engine = engine
        self._connection = connection

    def start(self, request: IncomingRequest) -> None:
        """Run a request."""
        route = request.route
        assert route is not None
        if route.mode is Mode.TASK:
            request.handler = self._engine.start(self._run(request, route))
        elif route.mode is Mode.INLINE:
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
        context = RunningRequest(self._peer, request)
        current_request.set(context)
        try:
            answer = await route.run(request.payload, context, request.cid != 0)
        except BaseException as exc:
            self._failed(request, exc)
            if self._engine.propagates(exc):
                raise
        else:
            self._succeeded(request, answer)

    def _run_inline(self, request: IncomingRequest, route: Route) -> None:
        try:
            answer = route.run_sync(request.payload, RunningRequest(self._peer, request), request.cid != 0)
        except BaseException as exc:
            self._failed(request, exc)
            if self._engine.propagates(exc):
                raise
        else:
            self._succeeded(request, answer)

    async def _run_in_thread(self, request: IncomingRequest, route: Route) -> None:
        context = RunningRequest(self._peer, request)
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
        now = self._engine.now()
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
