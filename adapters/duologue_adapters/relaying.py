"""Passes requests of one connection on to others: where they go, and what a failure means, core has decided.

A relayed call is no task. It is an entry among the calls of the other connection, and is told of the answer as a caller
would be. Only a function that takes its time to pick a peer, and a peer that is no driver's, need a task.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from duologue import Peer, RelayRequest, RelayTargetLost
from duologue.protocol.connection import Connection
from duologue.protocol.errors import DuologueError
from duologue.protocol.events import IncomingRequest
from duologue.protocol.pending import OutgoingCall, OutgoingSend
from duologue.protocol.routes import RequestFault
from duologue.relay import SEND_PATIENCE, Balancer, Pick, RelayRoute, check_target, relay_failure
from duologue_adapters.context import current_request
from duologue_adapters.engines.endings import end_of_process_in
from duologue_adapters.ports import Engine, Job

if TYPE_CHECKING:
    from duologue_adapters.driver import DriverPeer


class Relaying:
    """What one peer is asked, and others are to answer."""

    __slots__ = ("_connection", "_engine", "_now", "_peer", "_targets")

    def __init__(self, peer: DriverPeer, engine: Engine, connection: Connection) -> None:
        self._peer = peer
        self._engine = engine
        self._now = engine.now
        self._connection = connection
        self._targets: dict[DriverPeer, Callable[[], None]] = {}
        """Peers that were relayed to, each with what takes back the wish to be told of its end."""
        peer.when_closed(self._end)

    def start(self, request: IncomingRequest) -> None:
        """Pass a request on."""
        route = request.route
        assert isinstance(route, RelayRoute)
        target: Any = route.target
        if target is None:
            assert route.pick is not None
            try:
                target = self._pick(route.pick, RelayRequest(self._peer, route.name, request))
            except BaseException as exc:
                self.failed(request, exc)
                if (end := end_of_process_in(exc)) is not None:
                    raise end from exc
                return
        if isinstance(target, type(self._peer)):
            self.pass_on(request, route, target)
        elif inspect.isawaitable(target) or isinstance(target, Peer):
            request.handler = relayed = RelayedByTask(self, request)
            relayed.begin(self._engine, target)
        else:
            try:
                check_target(self._peer, target)
            except Exception as exc:
                self.failed(request, exc)

    def pass_on(self, request: IncomingRequest, route: RelayRoute, target: DriverPeer) -> None:
        """Make it a call, or a send, of the other connection."""
        try:
            if target not in self._targets:
                check_target(self._peer, target)
                self._watch(target)
            relayed = Relayed(self, request, target)
            if request.cid:
                nested = self._connection.outgoing.pending.owed > 0
                relayed.item = call = target.begin_call(
                    request.sid, request.payload, route.timeout, nested, relayed
                )
                if call.id or call.is_ended:
                    request.payload = b""
                else:
                    call.tells_of_room = True
                    if not self._connection.hold(request, self._now()):
                        target.give_up(call)
                        self._peer.touch()
                        return
            else:
                relayed.item = target.begin_send(request.sid, request.payload, SEND_PATIENCE, relayed)
                if relayed.item is None:
                    self.succeeded(request, b"")
                    return
            request.handler = relayed
        except (DuologueError, RequestFault) as exc:
            self.failed(request, exc)

    def accepted(self, request: IncomingRequest) -> None:
        """It has found room at the other peer."""
        if not request.is_ended:
            self._connection.relayed(request, self._now())
            self._peer.touch()

    def succeeded(self, request: IncomingRequest, answer: bytes) -> None:
        """It is answered; a one-way message is on its way."""
        if request.cid:
            self._connection.respond(request, answer, self._now(), True)
        else:
            self._connection.done(request, self._now(), True)
        self._peer.touch()

    def failed(self, request: IncomingRequest, exc: BaseException) -> None:
        """It could not be passed on, or the other peer failed."""
        error = exc.__cause__ if isinstance(exc, RequestFault) else exc
        self._connection.fail(request, relay_failure(exc), self._now(), error)
        self._peer.touch()

    def cancelled(self, request: IncomingRequest) -> None:
        """The connection that it came by has ended."""
        if not request.is_ended:
            self._connection.done(request, self._now())
            self._peer.touch()

    def enter(self, request: IncomingRequest) -> None:
        """What runs here and now is the request's."""
        request.peer = self._peer
        current_request.set(request)

    @property
    def peer(self) -> DriverPeer:
        """The one that asks."""
        return self._peer

    def _pick(self, pick: Pick, request: RelayRequest) -> object:
        if isinstance(pick, Balancer):
            return pick(request)
        # Not in the driver's own context: what a function leaves there, the next would find.
        return self._engine.context.copy().run(pick, request)

    def _watch(self, target: DriverPeer) -> None:
        if target.closed is None:
            self._targets[target] = target.when_closed(self._lost)

    def _lost(self, peer: Peer) -> None:
        target: Any = peer
        del self._targets[target]
        closed = target.closed
        name = peer.info.name or peer.info.address
        self._peer.tell(RelayTargetLost(name, closed.reason, closed.detail))

    def _end(self, _: Peer) -> None:
        for forget in self._targets.values():
            forget()
        self._targets.clear()


class Relayed:
    """One request on its way to another peer, and the waiter for what comes of it there."""

    __slots__ = ("_relaying", "_request", "_target", "item")

    def __init__(self, relaying: Relaying, request: IncomingRequest, target: DriverPeer) -> None:
        self._relaying = relaying
        self._request = request
        self._target = target
        self.item: OutgoingCall | OutgoingSend | None = None
        """What it is at the other connection."""

    def done(self) -> bool:
        """A waiter's question. If the request has ended, what comes is let go."""
        return self._request.is_ended

    def set_result(self, outcome: Any, /) -> None:
        """The answer, or the error. None: a one-way message has found room."""
        if isinstance(outcome, BaseException):
            self._relaying.failed(self._request, outcome)
        else:
            self._relaying.succeeded(self._request, outcome)

    def accepted(self) -> None:
        """A call has found room."""
        self._relaying.accepted(self._request)

    def cancel(self) -> None:
        """Whoever asked is gone."""
        if self.item is not None and not self.item.is_ended:
            self._target.give_up(self.item)
        self._relaying.cancelled(self._request)

    def __await__(self) -> Any:
        raise TypeError("nobody waits for what is relayed")


class RelayedByTask(Relayed):
    """A request for which a peer is still to be picked, or that goes to a peer that is no driver's."""

    __slots__ = ("_job",)

    def __init__(self, relaying: Relaying, request: IncomingRequest) -> None:
        super().__init__(relaying, request, relaying.peer)
        self._job: Job | None = None

    def begin(self, engine: Engine, target: Peer | Awaitable[object]) -> None:
        """Start the task."""
        self._job = engine.start(self._run(engine, target))

    async def _run(self, engine: Engine, target: Peer | Awaitable[object]) -> None:
        relaying, request = self._relaying, self._request
        relaying.enter(request)
        try:
            await self._relay(target)
        except BaseException as exc:
            end = engine.end_in(exc)
            if not request.is_ended:
                relaying.failed(request, exc)
            if end is exc:
                raise
            if end is not None:
                raise end from exc

    async def _relay(self, target: Peer | Awaitable[object]) -> None:
        relaying, request = self._relaying, self._request
        route = request.route
        assert isinstance(route, RelayRoute)
        picked = target if isinstance(target, Peer) else await target
        peer = check_target(relaying.peer, picked)
        if isinstance(peer, type(relaying.peer)):
            if not request.is_ended:
                relaying.pass_on(request, route, peer)
        elif request.cid:
            relaying.succeeded(
                request, await peer.call_raw(request.sid, request.payload, timeout=route.timeout)
            )
        else:
            await peer.send_raw(request.sid, request.payload, timeout=SEND_PATIENCE)
            relaying.succeeded(request, b"")

    def cancel(self) -> None:
        """Whoever asked is gone."""
        if self._job is not None:
            # A task that is cancelled before its first step never gets to say that it has ended.
            self._job.add_done_callback(lambda _: self._relaying.cancelled(self._request))
            self._job.cancel()
