"""The remote's services, typed."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Protocol, TypeVar

from duologue.errors import AnswerUnreadable, DecodeError, RegistrationError, RequestError
from duologue.messages import Message
from duologue.namespace import Namespace
from duologue.peer import DEFAULT, PeerInfo, Timeout
from duologue.wireformat import WireFormat

T = TypeVar("T")


class Caller(Protocol):
    """What a `Remote` calls through: a `Peer`, or something that finds one for each call."""

    wireformat: WireFormat

    @property
    @abstractmethod
    def info(self) -> PeerInfo:
        """As `Peer.info`."""

    @abstractmethod
    async def call_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> bytes:
        """As `Peer.call_raw`."""

    @abstractmethod
    async def send_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> None:
        """As `Peer.send_raw`."""


class Remote:
    """The services of a namespace at the other end: `await peer.remote(calc).call(Add(a=1, b=2))`.

    Cheap to make, and keeps nothing alive but the peer. Usually made by `peer.remote(namespace)`.
    """

    __slots__ = ("_call_raw", "_calls", "_namespace", "_peer", "_send_raw")

    def __init__(self, peer: Caller, namespace: Namespace) -> None:
        given: Any = namespace  # by callers without a type checker, anything
        if not isinstance(given, Namespace):
            raise TypeError(f"remote({given!r}): give the Namespace that the messages are in")
        self._peer = peer
        self._namespace = namespace
        self._calls = namespace.calls(peer.wireformat)
        self._call_raw = peer.call_raw
        self._send_raw = peer.send_raw

    @property
    def peer(self) -> Caller:
        """What it calls through: the `Peer` whose `remote` made it."""
        return self._peer

    @property
    def namespace(self) -> Namespace:
        """The messages that it takes."""
        return self._namespace

    async def call(self, message: Message[T], *, timeout: Timeout = DEFAULT) -> T:
        """Send a message, and wait for its answer, at most `timeout` seconds.

        Every `CallError` says by `executed` whether the handler may have run: `CallTimeout`, `RemoteError`,
        `AnswerUnreadable`, `Overloaded`, `ConnectionClosed`, `ConnectionLost`. `EncodeError`, `FrameTooLarge` and
        `RegistrationError` (the message is of another namespace) are raised before anything is sent.
        """
        try:
            sid, encode, decode = self._calls[type(message)]
        except KeyError:
            raise self._refusal(message) from None
        try:
            answer = await self._call_raw(sid, encode(message), timeout=timeout)
        except RequestError as exc:
            self._name(exc, sid)
            raise
        try:
            result: T = decode(answer)
        except DecodeError as exc:
            error = AnswerUnreadable(f"the answer does not decode to the declared type: {exc}")
            self._name(error, sid)
            raise error from exc
        return result

    async def send(self, message: Message[Any], *, timeout: Timeout = DEFAULT) -> None:
        """Send a message, one way: returns when it is in the outbox. Waits at most `timeout` seconds for room there.

        Nothing tells whether it arrives. Raises `SendTimeout`, `Overloaded`, `ConnectionClosed`, `ConnectionLost`,
        and before anything is sent `EncodeError`, `FrameTooLarge` and `RegistrationError`.
        """
        try:
            sid, encode, _ = self._calls[type(message)]
        except KeyError:
            raise self._refusal(message) from None
        try:
            await self._send_raw(sid, encode(message), timeout=timeout)
        except RequestError as exc:
            self._name(exc, sid)
            raise

    def __repr__(self) -> str:
        return f"<Remote {self._namespace.name!r} of {self._peer!r}>"

    def _name(self, error: RequestError, sid: int) -> None:
        """Say in an error what it is about. Some know their peer already."""
        error.service, error.sid = self._namespace.name_of(sid), sid
        error.peer = error.peer or str(self._peer.info)

    def _refusal(self, message: object) -> RegistrationError:
        return self._namespace.refusal(message)
