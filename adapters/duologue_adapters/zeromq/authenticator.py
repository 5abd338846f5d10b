"""The library asks, within the process, whether a client with a certain key may come in (ZAP, rfc.zeromq.org/spec/27)."""

from __future__ import annotations

import itertools
import threading

import zmq
from zmq.utils import z85

from duologue_adapters.zeromq.sockets import Socket, context

_ZAP = "inproc://zeromq.zap.01"
_STOP = "inproc://duologue.zap.stop"


class Authenticator:
    """Answers for all servers of the process that have keys.

    A thread, since there is one such address in the process while servers may run on any event loop; it lives as long as
    there is such a server.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._authorized: dict[bytes, frozenset[bytes]] = {}
        self._thread: threading.Thread | None = None
        self._stop: Socket

    def admit(self, keys: frozenset[bytes]) -> bytes:
        """Let these in, at a server with the domain that this returns. Raises `zmq.ZMQError`."""
        with self._lock:
            domain = b"duologue-%d" % next(self._numbers)
            if self._thread is None:
                self._start()
            self._authorized[domain] = keys
            return domain

    def dismiss(self, domain: bytes) -> None:
        """That server is closed."""
        with self._lock:
            self._authorized.pop(domain, None)
            thread = self._thread
            if thread is not None and not self._authorized:
                self._thread = None
                with self._stop:
                    self._stop.send(b"")
                thread.join()  # it is at work on one answer at most, and the next one needs its address

    def _start(self) -> None:
        answers, stopped = context().socket(zmq.REP), context().socket(zmq.PAIR)
        self._stop = context().socket(zmq.PAIR)
        try:
            answers.bind(_ZAP)
            stopped.bind(_STOP)
            self._stop.connect(_STOP)
        except zmq.ZMQError:
            for socket in (answers, stopped, self._stop):
                socket.close(0)
            raise
        self._thread = threading.Thread(
            target=self._run, args=(answers, stopped), name="duologue zap", daemon=True
        )
        self._thread.start()

    def _run(self, answers: Socket, stopped: Socket) -> None:
        with answers, stopped:
            poller = zmq.Poller()
            poller.register(answers, zmq.POLLIN)
            poller.register(stopped, zmq.POLLIN)
            while not any(socket is stopped for socket, _ in poller.poll()):
                answers.send_multipart(self._answer(answers.recv_multipart()))
            # The library closes sockets later, in a thread of its own, and the next one needs the addresses now.
            answers.unbind(_ZAP)
            stopped.unbind(_STOP)

    def _answer(self, request: list[bytes]) -> list[bytes]:
        version, number, domain, _, _, mechanism, *credentials = request
        key = z85.encode(credentials[0]) if mechanism == b"CURVE" else b""
        if key in self._authorized.get(domain, ()):
            return [version, number, b"200", b"OK", key, b""]
        return [version, number, b"400", b"this key is not authorized", b"", b""]


authenticator = Authenticator()
"""The one of the process."""
