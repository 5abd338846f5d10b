"""Requests that others are to answer, where the state machine can't tell by itself who.

A function may have to pick the peer, and may take its time for it; and a peer may be none of ours, which can only be
called. All else that is relayed is never seen here.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable
from functools import partial
from typing import TYPE_CHECKING, Any

from duologue import DuologueError, FailureKind, Peer, RelayRequest
from duologue.protocol.connection import Connection
from duologue.protocol.events import IncomingRequest
from duologue.protocol.relaying import SEND_PATIENCE, check_wireformats, failure_of
from duologue.protocol.routes import RequestFault, Route
from duologue.relay import RelayRoute, check_target
from duologue_adapters.context import current_request
from duologue_adapters.engines.endings import end_of_process_in
from duologue_adapters.ports import Engine

if TYPE_CHECKING:
    from duologue_adapters.driver import Driver


class Relayer:
    """Finds out who is to answer, and hands over."""

    __slots__ = ("_connection", "_engine", "_peer")

    def __init__(self, peer: Driver, engine: Engine, connection: Connection) -> None:
        self._peer = peer
        self._engine = engine
        self._connection = connection

    def start(self, request: IncomingRequest) -> None:
        """Relay a request, at once if that can be."""
        route = request.route
        assert isinstance(route, RelayRoute)
        try:
            target = self._pick(route, request)
            if not inspect.isawaitable(target) and self._hand_over(request, check_target(target)):
                return
        except BaseException as exc:
            self._failed(request, exc)
            if (end := end_of_process_in(exc)) is not None:
                raise end from exc
            return
        request.handler = job = self._engine.start(self._run(request, target))
        if job is not None and inspect.iscoroutine(target):
            # A task that is cancelled before its first step never comes to awaiting it.
            job.add_done_callback(lambda _: target.close())

    def _pick(self, route: RelayRoute, request: IncomingRequest) -> Peer | Awaitable[Peer | None] | None:
        if isinstance(route.target, Peer):
            return route.target
        # Not in the driver's own context: what a function leaves there, the next would find.
        return self._engine.context.copy().run(route.target, RelayRequest(self._peer, route.name, request))

    def _hand_over(self, request: IncomingRequest, target: Peer) -> bool:
        """Let the state machine do it, if it knows the peer."""
        if target.relays is None:
            return False
        self._connection.relay(request, target.relays, self._engine.now())
        self._peer.touch()
        return True

    async def _run(self, request: IncomingRequest, target: Any) -> None:
        request.peer = self._peer
        current_request.set(request)
        try:
            await self._relay(request, target)
        except BaseException as exc:
            end = self._engine.end_in(exc)
            if not request.is_ended:
                self._failed(request, exc)
            if end is exc:
                raise
            if end is not None:
                raise end from exc

    async def _relay(self, request: IncomingRequest, target: Peer | Awaitable[object]) -> None:
        route = request.route
        assert route is not None
        peer = check_target(
            target if isinstance(target, Peer) else await self._in_time(request, route, target)
        )
        if request.is_ended or self._hand_over(request, peer):
            return  # if it has ended, the function took too long, and did not mind being cancelled
        try:
            answer = await self._ask(request, route, peer)
        except DuologueError as exc:
            raise RequestFault(failure_of(exc)) from exc
        self._succeeded(request, answer)

    async def _in_time(self, request: IncomingRequest, route: Route, target: Awaitable[object]) -> object:
        """What a function picks that takes its time: as much as the call at the provider has. Of those that never come to an
        end, a few would be enough for nothing more to be read of the connection.
        """
        seconds = route.relay_timeout if request.cid else SEND_PATIENCE
        if seconds is None:
            return await target
        timer = self._engine.call_at(self._engine.now() + seconds, partial(self._time_out, request))
        try:
            return await target
        finally:
            timer.cancel()

    def _time_out(self, request: IncomingRequest) -> None:
        if request.is_ended:
            return
        job = request.handler
        self._failed(request, RequestFault(FailureKind.TIMEOUT if request.cid else FailureKind.DROPPED))
        if job is not None:
            job.cancel()

    async def _ask(self, request: IncomingRequest, route: Route, peer: Peer) -> bytes:
        """Call or send, as anybody would."""
        if request.is_cancelled:
            return b""  # a function that took its time did not mind being cancelled
        refusal = check_wireformats(self._peer.wireformat.name, peer.wireformat.name, peer.info.name)
        if refusal is not None:
            raise refusal
        if request.cid:
            return await peer.call_raw(request.sid, request.payload, timeout=route.relay_timeout)
        await peer.send_raw(request.sid, request.payload, timeout=SEND_PATIENCE)
        return b""

    def _succeeded(self, request: IncomingRequest, answer: bytes) -> None:
        if request.cid and not request.is_cancelled:
            self._connection.respond(request, answer, self._engine.now())
        else:
            self._connection.done(request, self._engine.now())
        self._peer.touch()

    def _failed(self, request: IncomingRequest, exc: BaseException) -> None:
        if isinstance(exc, RequestFault):
            kind, error = exc.kind, exc.__cause__
        else:
            kind, error = FailureKind.HANDLER_FAILED, exc
        self._connection.fail(request, kind, self._engine.now(), error)
        self._peer.touch()
