"""The server's end: a ROUTER with a link for each identity."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import zmq

from duologue import ConnectFailed
from duologue_adapters.ports import Engine, Link, Listener, Waiter
from duologue_adapters.zeromq.addresses import url_of
from duologue_adapters.zeromq.authenticator import authenticator
from duologue_adapters.zeromq.binding import bind, remover
from duologue_adapters.zeromq.keys import Keys
from duologue_adapters.zeromq.link import MessageLink
from duologue_adapters.zeromq.messages import Kind, LinkError, Message, aborting, parse
from duologue_adapters.zeromq.session import Session
from duologue_adapters.zeromq.sockets import Pump, Socket, new_socket

BACKLOG = 1024
"""Connections that wait to be accepted. More are refused."""


async def listen(engine: Engine, url: str, endpoint: str, keys: Keys | None, heartbeat: float) -> Listener:
    """A ROUTER that is bound. Raises `ConnectFailed`."""
    domain = b""
    try:
        socket = new_socket(zmq.ROUTER)
        try:
            if keys is not None:
                domain = authenticator.admit(keys.authorized)
                keys.set_on(socket, domain)
            socket.setsockopt(zmq.IPV6, "[" in endpoint)
            endpoint = await bind(engine, socket, endpoint)
            return RouterListener(engine, socket, url_of(endpoint), heartbeat, _at_end(endpoint, domain))
        except BaseException:
            socket.close()
            authenticator.dismiss(domain)
            raise
    except (zmq.ZMQError, OSError) as exc:
        raise ConnectFailed(url, f"can't listen there: {exc}") from exc


def _at_end(endpoint: str, domain: bytes) -> Callable[[], None]:
    remove = remover(endpoint)

    def closed() -> None:
        remove()
        authenticator.dismiss(domain)

    return closed


class RouterListener(Listener):
    """Tells the messages of the identities apart. What none of the links can use is dropped, and counted."""

    def __init__(
        self, engine: Engine, socket: Socket, url: str, heartbeat: float, closed: Callable[[], None]
    ) -> None:
        self.url = url
        self.dropped = 0
        """Messages of identities that have no connection, or not this one, and refused attempts to open one."""
        self._engine = engine
        self._heartbeat = heartbeat
        self._links: dict[bytes, MessageLink] = {}
        self._touched: dict[MessageLink, None] = {}
        """Links that received something since they were last settled."""
        self._waiting: deque[MessageLink] = deque()
        self._waiter: Waiter | None = None
        self._is_closing = False
        self._pump = Pump(engine, socket, received=self._received, looked=self._looked, closed=closed)

    async def accept(self) -> Link:
        while not self._waiting:
            self._waiter = self._engine.waiter()
            await self._waiter
        return self._waiting.popleft()

    def close(self) -> None:
        # The socket carries those links that are left, too, so it stays as long as they do.
        self._is_closing = True
        for link in tuple(self._waiting):
            link.abort()
        self._close_if_idle()

    def _close_if_idle(self) -> None:
        if self._is_closing and not self._links:
            self._pump.close()

    # -- messages ---------------------------------------------------------------------------------------

    def _received(self, frames: list[zmq.Frame]) -> None:
        identity = frames[0].bytes
        link = self._links.get(identity)
        try:
            if len(frames) != 2:
                raise LinkError(
                    "a message of more than one part" if len(frames) > 2 else "a message of no part"
                )
            message = parse(frames[1].bytes)
        except LinkError as exc:
            if link is None:
                self.dropped += 1
            else:
                link.fail(str(exc))
            return
        if link is not None and link.session.incarnation == message.incarnation:
            link.receive(message, self._engine.now())
            self._touched[link] = None
        elif message.kind is Kind.OPEN:
            self._open(identity, message, frames[1])
        else:
            self.dropped += 1  # of a connection that has ended, or never was (row 22)

    def _looked(self, is_alive: bool) -> None:
        touched, self._touched = self._touched, {}
        for link in touched:
            link.settle()

    # -- links ------------------------------------------------------------------------------------------

    def _open(self, identity: bytes, message: Message, frame: zmq.Frame) -> None:
        before = self._links.get(identity)
        if before is not None:
            before.lose("the other end has begun anew")
        session = Session(message.incarnation, self._engine.now(), self._heartbeat)
        try:
            if self._is_closing:
                raise LinkError("the server closes")
            if len(self._waiting) >= BACKLOG:
                raise LinkError("too many connections wait already")
            session.set_window(message)
        except LinkError as exc:
            self.dropped += 1
            self._send(identity, aborting(message.incarnation, str(exc)))
            return
        key = _property(frame, "User-Id")
        link = MessageLink(
            self._engine,
            session,
            send=partial(self._send, identity),
            ended=partial(self._ended, identity),
            address=_property(frame, "Peer-Address") if self.url.startswith("zmq+tcp:") else self.url,
            extra={"public_key": key} if key else {},
        )
        self._links[identity] = link
        self._waiting.append(link)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _send(self, identity: bytes, message: bytes) -> str:
        return self._pump.send((identity, message))

    def _ended(self, identity: bytes, link: MessageLink) -> None:
        del self._links[identity]
        if link in self._waiting:
            self._waiting.remove(link)
        self._close_if_idle()


def _property(frame: zmq.Frame, name: str) -> str:
    """What the library knows about who sent a message: nothing within the process."""
    try:
        return str(frame.get(name))
    except zmq.ZMQError:
        return ""
