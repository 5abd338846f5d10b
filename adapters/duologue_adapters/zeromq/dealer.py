"""The client's end: a DEALER with one link."""

from __future__ import annotations

import os

import zmq

from duologue import ConnectFailed
from duologue_adapters.ports import Engine, Link, Waiter
from duologue_adapters.zeromq.keys import Keys
from duologue_adapters.zeromq.link import MessageLink
from duologue_adapters.zeromq.messages import LinkError, parse
from duologue_adapters.zeromq.session import Session
from duologue_adapters.zeromq.sockets import Pump, Socket, monitor_of, new_socket


async def open_link(engine: Engine, url: str, endpoint: str, keys: Keys | None, heartbeat: float) -> Link:
    """A link that the server has confirmed. Raises `ConnectFailed`."""
    try:
        socket = new_socket(zmq.DEALER)
    except zmq.ZMQError as exc:
        raise ConnectFailed(url, str(exc)) from exc
    monitor: Socket | None = None
    try:
        if keys is not None:
            keys.set_on(socket)
            # The library would try the same key again, without end and without a word, unless it is asked: before it begins.
            monitor = monitor_of(socket, zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        socket.setsockopt(zmq.IPV6, "[" in endpoint)
        socket.connect(endpoint)
    except zmq.ZMQError as exc:
        if monitor is not None:
            socket.disable_monitor()
            monitor.close()
        socket.close()
        raise ConnectFailed(url, str(exc)) from exc
    dealer = _Dealer(engine, socket, monitor, url, keys, heartbeat)
    link = dealer.link
    try:
        await dealer.opened()
        if link.lost is not None:
            error = ConnectionError(link.lost)
            raise ConnectFailed(url, link.lost, is_permanent=dealer.is_refused) from error
    except BaseException:
        link.abort()
        raise
    finally:
        dealer.ask_no_more()
    return link


class _Dealer:
    """Moves messages between the socket and its link."""

    def __init__(
        self,
        engine: Engine,
        socket: Socket,
        monitor: Socket | None,
        url: str,
        keys: Keys | None,
        heartbeat: float,
    ) -> None:
        self._engine = engine
        self._socket = socket
        self._is_connected = False
        self._waiter: Waiter = engine.waiter()
        self.is_refused = False
        """The server does not authorize the key of this end."""
        self.dropped = 0
        """Messages of another incarnation, which is not this connection."""
        # The number is new each time, so that what was meant for one connection is never taken for another's (row 22).
        session = Session(os.urandom(8), engine.now(), heartbeat)
        self.link = MessageLink(
            engine,
            session,
            send=self._send,
            ended=self._ended,
            address=url,
            extra={} if keys is None else {"public_key": keys.server.decode()},
        )
        self._monitor: Pump | None = None
        if monitor is not None:
            self._monitor = Pump(engine, monitor, received=self._refused, looked=lambda _: None)
        self._pump = Pump(engine, socket, received=self._received, looked=self._looked)

    def ask_no_more(self) -> None:
        """It is open, or will never be."""
        if self._monitor is not None and not self._monitor.is_closed:
            self._socket.disable_monitor()
            self._monitor.close()

    def _refused(self, _: list[zmq.Frame]) -> None:
        self.is_refused = True
        self.link.lose(
            "the server does not authorize this end's key: add its public_key to authorized_keys there"
        )

    async def opened(self) -> None:
        """Wait until the server has confirmed, or refused."""
        await self._waiter

    def _send(self, message: bytes) -> str:
        return self._pump.send((message,))

    def _ended(self, link: MessageLink) -> None:
        self.ask_no_more()  # before the socket is closed
        self._pump.close()
        self._tell()

    def _tell(self) -> None:
        if not self._waiter.done():
            self._waiter.set_result(None)

    def _received(self, frames: list[zmq.Frame]) -> None:
        link = self.link
        try:
            if len(frames) != 1:
                raise LinkError("a message of more than one part")
            message = parse(frames[0].bytes)
        except LinkError as exc:
            link.fail(str(exc))
            return
        if message.incarnation == link.session.incarnation:
            link.receive(message, self._engine.now())
        else:
            self.dropped += 1

    def _looked(self, is_alive: bool) -> None:
        link = self.link
        link.settle()
        if link.lost is not None:
            return
        # A DEALER takes messages while it is connected. The library would connect again, to what may be another server,
        # and that is another connection.
        if is_alive is not self._is_connected:
            if self._is_connected:
                link.cut("the connection is gone, or the other end does not read")
                return
            self._is_connected = True
            link.session.open()
            link.flush()
        if link.session.is_open:
            self._tell()
