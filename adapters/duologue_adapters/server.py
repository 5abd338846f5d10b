"""A `Peer` that `connect` gives, and the `Server` that makes peers of the links that it accepts."""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import cast

from duologue import DEFAULT, Peer, PeerSettings, Server, ServerSettings, ServiceMap
from duologue.peer import SERVER_CLOSES, Timeout
from duologue.protocol.received import ByteBudget
from duologue_adapters.context import running_request
from duologue_adapters.engines.endings import end_of_process_in
from duologue_adapters.handshakes import Handshakes
from duologue_adapters.peer import DriverPeer
from duologue_adapters.ports import Engine, Job, Link, Listener, Waiter
from duologue_adapters.waiting import deadline_of, tell_all, wait_among

logger = logging.getLogger("duologue")

ACCEPT_BACKOFF = (0.1, 1.0)
"""Seconds to wait, first and at most, when a link can't be accepted: file descriptors run out, and come back."""


def make_peer(
    engine: Engine, link: Link, settings: PeerSettings, received: ByteBudget | None = None
) -> DriverPeer:
    """A peer over a link, with what it serves; `start` sets it going. `received` is of the server that it belongs to, if any."""
    return DriverPeer(
        engine,
        link,
        settings.wireformat,
        limits=settings.limits,
        budget=settings.budget,
        received=received,
        name=settings.name,
    )


def start_peer(peer: DriverPeer, settings: PeerSettings) -> None:
    """Let a peer begin to read."""
    services = settings.services
    if services is not None and not isinstance(services, ServiceMap):
        services = _made_services(services(peer))
    peer.start(services)


def _made_services(made: object) -> ServiceMap | None:
    if made is None or isinstance(made, ServiceMap):
        return made
    if isinstance(made, Coroutine):
        made.close()
    raise TypeError(
        f"the function for services= returned {made!r}: it must be a `def` that returns Services or None"
    )


@asynccontextmanager
async def running_peer(engine: Engine, link: Link, settings: PeerSettings) -> AsyncGenerator[Peer, None]:
    """A peer for the time of a block. Left normally it closes, and what is in the outbox still leaves; else it aborts."""
    peer = make_peer(engine, link, settings)
    try:
        start_peer(peer, settings)
        yield peer
    except BaseException:
        peer.abort("left by an exception")
        raise
    await engine.finish(peer.close)
    # The engine ends with the block. A layer's goodbye that has not left by then would be missed at the other end.
    await engine.finish(link.wait_said)


class DriverServer(Server):
    """Accepts links, and keeps the peers that it made of them."""

    def __init__(self, engine: Engine, listener: Listener, settings: ServerSettings) -> None:
        self._engine = engine
        self._listener = listener
        self._settings = settings
        self._received = ByteBudget(settings.limits.server_bytes, settings.limits.max_frame)
        self._peers: dict[DriverPeer, None] = {}
        self._handshakes = Handshakes(
            engine, listener, settings.limits.handshake_timeout, self._add, self._one_less
        )
        self._is_closing = False
        self._is_closed = False
        self._accepting: Job | None = None
        self._room: Waiter | None = None
        self._waiters: list[Waiter] = []

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "closing" if self._is_closing else "open"
        return f"<Server {self.url}, {state}, {len(self._peers)} peers, {len(self._handshakes)} in the handshake>"

    @property
    def url(self) -> str:
        return self._listener.url

    @property
    def peers(self) -> Iterable[Peer]:
        return tuple(self._peers)

    def start(self) -> None:
        """Begin to accept links."""
        self._accepting = self._engine.start(self._accept_all())
        if self._accepting is not None:
            # Only when nobody waits for the listener any more may it be closed: its descriptor may be another's at once.
            self._accepting.add_done_callback(self._accepting_ended)

    def _accepting_ended(self, _: object) -> None:
        self._accepting = None
        self._listener.close()
        self._settle()

    async def _accept_all(self) -> None:
        """Accept links until cancelled. Over the limit of connections it waits until one has ended."""
        pause, longest = ACCEPT_BACKOFF
        while True:
            if len(self._peers) + len(self._handshakes) >= self._settings.limits.connections:
                self._room = self._engine.waiter()
                await self._room
                continue
            try:
                link = await self._listener.accept()
            except Exception as exc:  # one that could not come in is no reason to serve nobody
                logger.warning("can't accept a connection now, trying again in %g s: %s", pause, exc)
                await self._engine.sleep(pause)
                pause = min(2 * pause, longest)
            else:
                pause = ACCEPT_BACKOFF[0]
                if self._listener.has_handshake and not self._is_closing:
                    self._handshakes.begin(link)
                else:
                    self._add(link)
                del link  # or who waits for the next one would keep the last one alive, and its peer with it

    def _add(self, link: Link) -> None:
        if self._is_closing:  # it came in the same moment
            link.abort()
            return
        peer = make_peer(self._engine, link, self._settings, self._received)
        self._peers[peer] = None
        peer.when_closed(self._remove)
        try:
            result = self._settings.on_peer(peer) if self._settings.on_peer is not None else None
            if inspect.isawaitable(result):
                self._engine.start(self._greet(peer, result))
            start_peer(peer, self._settings)
        except BaseException as exc:
            if end_of_process_in(exc) is not None:
                raise
            logger.exception(
                "on_peer, or the function that makes services, failed: the connection to %s is closed",
                peer.info,
            )
            peer.abort("this end could not serve it")

    async def _greet(self, peer: DriverPeer, greeting: Awaitable[None]) -> None:
        try:
            await greeting
        except BaseException as exc:
            if (end := self._engine.end_in(exc)) is exc:
                raise
            if end is not None:
                raise end from exc
            logger.exception("on_peer failed: the connection to %s is closed", peer.info)
            peer.abort("this end could not serve it")

    def _remove(self, peer: Peer) -> None:
        self._peers.pop(cast("DriverPeer", peer), None)
        self._one_less()

    def _one_less(self) -> None:
        """There is room for another connection, and the server may have ended with this one."""
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._settle()

    def stop(self) -> None:
        """Listen no more."""
        self._is_closing = True
        if self._accepting is not None:
            self._accepting.cancel()
        self._handshakes.cut_all()
        self._settle()

    async def drain(self, reason: str = SERVER_CLOSES, *, timeout: Timeout = DEFAULT) -> bool:
        deadline_of(timeout, None, 0.0)  # refuses what is none, before anything is stopped
        self.stop()
        is_waited_for = self._is_waited_for()
        peers = tuple(self._peers)
        for peer in peers:
            peer.begin_drain(reason, timeout)
        if not is_waited_for:
            await self.wait_closed()
        return all(peer.is_drained for peer in peers)

    async def close(self, reason: str = SERVER_CLOSES, *, grace: float = 0.0) -> None:
        self.stop()
        is_waited_for = self._is_waited_for()
        for peer in tuple(self._peers):
            peer.begin_close(reason, grace)
        if not is_waited_for:
            await self.wait_closed()

    def _is_waited_for(self) -> bool:
        """Whether the one who runs here is a handler of one of the peers, which must not wait for its own end."""
        running = running_request()
        return running is not None and running.peer in self._peers

    async def wait_closed(self) -> None:
        if not self._is_closed:
            await wait_among(self._waiters, self._engine.waiter())

    def abort(self) -> None:
        """End it here and now, with all its peers."""
        self.stop()
        for peer in tuple(self._peers):
            peer.abort("the server is left by an exception")

    def _settle(self) -> None:
        is_idle = not self._peers and not self._handshakes and self._accepting is None
        if self._is_closing and is_idle and not self._is_closed:
            self._is_closed = True
            tell_all(self._waiters)


@asynccontextmanager
async def running_server(
    engine: Engine, listen: Callable[[], Awaitable[Listener]], settings: ServerSettings
) -> AsyncGenerator[Server, None]:
    """A server for the time of a block."""
    if isinstance(settings.services, ServiceMap):
        settings.services.router(
            settings.wireformat
        )  # what the wire format can't carry is refused now, not to each peer
    server = DriverServer(engine, await listen(), settings)
    server.start()
    try:
        yield server
    except BaseException:
        server.abort()
        raise
    await engine.finish(server.close)
