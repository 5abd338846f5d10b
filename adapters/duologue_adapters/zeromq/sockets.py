"""Sockets of the library, as we set them, and how an engine runs one: without threads or `zmq.asyncio`, in batches."""

from __future__ import annotations

import atexit
import itertools
import os
import threading
import weakref
from collections.abc import Callable, Sequence

import zmq

from duologue_adapters.ports import Engine
from duologue_adapters.zeromq.messages import LEAST_COST, MAX_SIZE, WINDOW

Socket = zmq.Socket[bytes]
Context = zmq.Context[Socket]

BATCH = 64
"""Messages received before others of the loop have their turn."""
LINGER = 1000
"""Milliseconds in which what was sent last may still leave when a socket is closed, in the library's own thread."""
SEND_QUEUE = 2 * (WINDOW // LEAST_COST + 44)
"""Messages that may wait in the library for one peer. The window lets fewer wait, credit and heartbeats counted (twice, as
the library counts what has left in halves of this): one that has more unread does not read, whatever credit it gives."""
RECEIVE_QUEUE = 64
"""Messages of one peer that the library reads ahead. More wait in the network."""

_monitors = itertools.count(1)
_lock = threading.Lock()
_contexts: dict[int, Context] = {}
_sockets: weakref.WeakSet[Socket] = weakref.WeakSet()


def context() -> Context:
    """The context of this process. A forked child needs its own, as threads don't come along."""
    with _lock:
        found = _contexts.get(os.getpid())
        if found is None:
            found = _contexts[os.getpid()] = zmq.Context()
            found.set(zmq.MAX_SOCKETS, found.get(zmq.SOCKET_LIMIT))
            atexit.register(_end_context, os.getpid())
        return found


def _end_context(pid: int) -> None:
    # So that what lingers still leaves. Who is in the middle of using a socket, in another thread, must not be waited for.
    if pid == os.getpid() and all(socket.closed for socket in tuple(_sockets)):
        _contexts.pop(pid).term()


def new_socket(kind: int) -> Socket:
    """A ROUTER or a DEALER with the options that both need."""
    socket = context().socket(kind)
    _sockets.add(socket)
    socket.setsockopt(zmq.LINGER, LINGER)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_SIZE)
    socket.setsockopt(zmq.SNDHWM, SEND_QUEUE)
    socket.setsockopt(zmq.RCVHWM, RECEIVE_QUEUE)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 20_000)
    socket.setsockopt(zmq.HANDSHAKE_IVL, 10_000)
    if kind == zmq.ROUTER:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)  # a peer that has vanished is an error, not silence
        socket.setsockopt(zmq.ROUTER_HANDOVER, 0)  # nobody takes another's identity over
        socket.setsockopt(zmq.BACKLOG, 1024)
    else:
        # Nothing may be queued for a server that is not there, and be received by its successor.
        socket.setsockopt(zmq.IMMEDIATE, 1)
    return socket


def monitor_of(socket: Socket, events: int) -> Socket:
    """A socket with a message for each of these events of another. `disable_monitor` there before either is closed."""
    # The library's own name for it has the number of a descriptor, which the next socket may have while this one is closing.
    endpoint = f"inproc://duologue.monitor.{next(_monitors)}"
    socket.monitor(endpoint, events)
    monitor = context().socket(zmq.PAIR)
    _sockets.add(monitor)
    monitor.connect(endpoint)
    return monitor


class Pump:
    """Runs one socket on an engine, and closes it.

    `received` gets each message; `looked` is called after each batch of them, and is told whether the socket has anything to
    receive, or would take something to send: a DEALER that has neither has no connection.

    The descriptor tells only that something has changed since it was last looked at, so after each wake, and after each
    send, the socket is asked until it has nothing more.
    """

    def __init__(
        self,
        engine: Engine,
        socket: Socket,
        *,
        received: Callable[[list[zmq.Frame]], None],
        looked: Callable[[bool], None],
        closed: Callable[[], None] = lambda: None,
    ) -> None:
        self._engine = engine
        self._socket = socket
        self._received = received
        self._looked = looked
        self._closed = closed
        self._is_scheduled = False
        self.is_closed = False
        self._watch = engine.watch_readable(_number(socket, zmq.FD), self._look)
        self.look_soon()

    def send(self, parts: Sequence[bytes]) -> str:
        """Send a message, and return why it can't be sent, or nothing."""
        if self.is_closed:
            return "the socket is closed"
        self.look_soon()  # even if it fails: it may have used up what the descriptor had to tell
        try:
            for part in parts[:-1]:
                self._socket.send(part, zmq.NOBLOCK | zmq.SNDMORE)
            self._socket.send(parts[-1], zmq.NOBLOCK)
        except zmq.Again:
            # Never to be tried again: a ROUTER does not tell when it could be, and who keeps to the credit never gets here.
            return "the other end is gone, or does not read"
        except zmq.ZMQError as exc:
            return "the other end is gone" if exc.errno == zmq.EHOSTUNREACH else str(exc)
        return ""

    def look_soon(self) -> None:
        """Look what the socket has, in the next pass of the loop."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._engine.call_soon(self._look)

    def close(self) -> None:
        """Close the socket, as soon as nobody watches its descriptor."""
        if not self.is_closed:
            self.is_closed = True
            self._watch.cancel()
            self._watch.add_done_callback(self._close)

    def _close(self, _: object) -> None:
        self._socket.close()
        self._closed()

    def _look(self) -> None:
        self._is_scheduled = False
        is_alive = self._receive_some()
        if not self.is_closed:
            self._looked(is_alive)

    def _receive_some(self) -> bool:
        """Receive a batch, and see to it that the rest follows. Gives what `looked` is to know."""
        for _ in range(BATCH):
            if self.is_closed:
                return False
            try:
                frames = self._receive()
            except zmq.Again:
                break
            self._received(frames)
        if self.is_closed:
            return False
        # To ask for the events is what arms the descriptor again, and is the only time at which it can be trusted.
        events = _number(self._socket, zmq.EVENTS)
        if events & zmq.POLLIN:
            self.look_soon()
        return bool(events & (zmq.POLLIN | zmq.POLLOUT))

    def _receive(self) -> list[zmq.Frame]:
        receive = self._socket.recv
        frames = [receive(zmq.NOBLOCK, copy=False)]
        while frames[-1].more:
            frame = receive(zmq.NOBLOCK, copy=False)
            if len(frames) == 3:
                frames.pop()  # there are too many already
            frames.append(frame)
        return frames


def _number(socket: Socket, option: int) -> int:
    value = socket.getsockopt(option)
    assert isinstance(value, int)
    return value
