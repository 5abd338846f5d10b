"""What users hold: a client that has one connection after another, and calls through the current one."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum
from typing import NoReturn, TypeVar, cast

from duologue import (
    DEFAULT,
    CallError,
    CallTimeout,
    ConnectionClosed,
    ConnectionLost,
    Executed,
    Limits,
    Namespace,
    Peer,
    PeerInfo,
    Remote,
    SendTimeout,
    Timeout,
    WireFormat,
)
from duologue_contrib.reconnect.errors import NotConnected
from duologue_contrib.reconnect.events import Audience, ClientEvent
from duologue_contrib.reconnect.keeper import Keeper
from duologue_contrib.reconnect.waiting import Gate

T = TypeVar("T")

_NO_CONNECTION = "no connection within the timeout"


class Retry(StrEnum):
    """Whether a call whose connection ends under it is made again on the next connection, while it has time."""

    NEVER = "never"
    """It raises `ConnectionLost`, and its `executed` says what is known."""
    NOT_EXECUTED = "not executed"
    """Only if `executed` is no, so that its handler certainly never started."""
    IDEMPOTENT = "idempotent"
    """Whatever is known. You say by this that it does no harm if the handler runs more than once."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"retry={value!r}: give {', '.join(f'Retry.{each.name}' for each in cls)}")


class ReconnectingClient:
    """Calls through the current connection; without one a call waits for the next, as long as its timeout lets it.

    Made by `reconnecting`. Each connection has a `Peer` of its own.
    """

    def __init__(
        self,
        keeper: Keeper,
        gate: Gate,
        audience: Audience,
        *,
        wireformat: WireFormat,
        limits: Limits,
        name: str,
        waits: bool,
    ) -> None:
        self.wireformat = wireformat
        self._keeper = keeper
        self._gate = gate
        self._audience = audience
        self._limits = limits
        self._name = name
        self._waits = waits

    def __repr__(self) -> str:
        state = repr(self.peer) if self.peer is not None else "not connected"
        return f"<ReconnectingClient {state}, {self._gate.waiting} calls wait for a connection>"

    @property
    def peer(self) -> Peer | None:
        """This end of the current connection; None if there is none. To close it is to connect again."""
        return self._keeper.peer

    @property
    def info(self) -> PeerInfo:
        """Who is at the other end of the current connection."""
        peer = self._keeper.peer
        return PeerInfo(self._name) if peer is None else peer.info

    @property
    def waiting(self) -> int:
        """How many calls and sends wait for a connection now."""
        return self._gate.waiting

    def remote(self, namespace: Namespace, *, retry: Retry = Retry.NEVER) -> Remote:
        """The remote's services of a namespace, typed, whichever connection there is: `await client.remote(calc).call(Add(1, 2))`.

        Raises `RegistrationError` if the wire format can't carry one of its types, `ValueError` for no `Retry`.
        """
        retry = Retry(retry)  # its text will do as well, and is another object
        return Remote(self if retry is Retry.NEVER else _Retrying(self, retry), namespace)

    async def call_raw(
        self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT, retry: Retry = Retry.NEVER
    ) -> bytes:
        """Call a service with an encoded message, and return the encoded answer. The wait for a connection is within `timeout`.

        Raises what `Peer.call_raw` raises, and `NotConnected`, `ReconnectFailed`; `ValueError` for no `Retry`.
        """
        peer = self._keeper.current()
        if peer is not None and retry is Retry.NEVER:
            return await peer.call_raw(sid, payload, timeout=timeout)
        return await self._through(
            lambda peer, left: peer.call_raw(sid, payload, timeout=left),
            _seconds(timeout, self._limits.call_timeout),
            retry,
            lambda: CallTimeout(Executed.NO, _NO_CONNECTION),
        )

    async def send_raw(
        self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT, retry: Retry = Retry.NEVER
    ) -> None:
        """Send an encoded message, one way: returns when it is in the outbox of a connection. What is there when that
        connection ends may be lost. The wait for a connection is within `timeout`.

        Raises what `Peer.send_raw` raises, and `NotConnected`, `ReconnectFailed`; `ValueError` for no `Retry`.
        """
        peer = self._keeper.current()
        if peer is not None and retry is Retry.NEVER:
            return await peer.send_raw(sid, payload, timeout=timeout)
        return await self._through(
            lambda peer, left: peer.send_raw(sid, payload, timeout=left),
            _seconds(timeout, self._limits.send_timeout),
            retry,
            lambda: SendTimeout(_NO_CONNECTION),
        )

    async def wait_connected(self) -> Peer:
        """The peer of the current connection; without one wait for the next.

        Raises `ReconnectFailed`, `ConnectionClosed` if there will be none, `Overloaded` if too many wait.
        """
        while (peer := self._keeper.current()) is None:
            await self._gate.wait(None)
        return peer

    def events(self) -> AsyncIterator[ClientEvent]:
        """What happens, from now on, to the end of the client. Any number may listen; nobody waits for them."""
        return self._audience.watcher()

    async def close(self, reason: str = "", *, grace: float = 0.0) -> None:
        """Connect no more, and close the connection that is up, as `Peer.close` does. Calls that wait end at once."""
        peer = self._keeper.peer
        self._keeper.begin_close(reason)
        if peer is not None:
            await peer.close(reason, grace=grace)
        else:
            await self._keeper.over.wait()

    async def wait_closed(self) -> None:
        """Wait until the client is closed. Raises `ReconnectFailed` if it has given up."""
        await self._keeper.over.wait()
        if self._keeper.has_given_up:
            raise self._keeper.end_error()

    async def _through(
        self,
        use: Callable[[Peer, float | None], Awaitable[T]],
        seconds: float | None,
        retry: Retry,
        timed_out: Callable[[], CallError | SendTimeout],
    ) -> T:
        retry = Retry(retry)
        began = time.monotonic()
        may_have_run = False
        try:
            while True:
                left = None if seconds is None else max(0.0, began + seconds - time.monotonic())
                peer = self._keeper.current()
                if peer is None:
                    if not self._waits:
                        raise NotConnected from self._keeper.last_error
                    if not await self._gate.wait(left):
                        raise timed_out()
                    continue
                try:
                    return await use(peer, left)
                except (ConnectionLost, ConnectionClosed) as error:
                    # Either way the peer is not open any more, so that the next turn waits.
                    is_safe = error.executed is Executed.NO and retry is not Retry.NEVER
                    if not is_safe and retry is not Retry.IDEMPOTENT:
                        raise
                    may_have_run = may_have_run or error.executed is not Executed.NO
        except CallError as error:
            if may_have_run and error.executed is Executed.NO:
                error.executed = Executed.UNKNOWN  # no, this time; but not before
            raise


class _Retrying:
    """What a `Remote` calls through whose calls may be made again."""

    def __init__(self, client: ReconnectingClient, retry: Retry) -> None:
        self.wireformat = client.wireformat
        self._client = client
        self._retry = retry

    @property
    def info(self) -> PeerInfo:
        return self._client.info

    async def call_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> bytes:
        return await self._client.call_raw(sid, payload, timeout=timeout, retry=self._retry)

    async def send_raw(self, sid: int, payload: bytes, *, timeout: Timeout = DEFAULT) -> None:
        await self._client.send_raw(sid, payload, timeout=timeout, retry=self._retry)


def _seconds(timeout: Timeout, default: float | None) -> float | None:
    """What was given as a timeout. Raises `ValueError`, as a peer would."""
    if timeout is DEFAULT:
        return default
    seconds = cast("float | None", timeout)
    if seconds is not None and not seconds >= 0:
        raise ValueError(
            f"a timeout of {seconds!r}: give seconds, 0 for not waiting, or None for waiting for ever"
        )
    return seconds
