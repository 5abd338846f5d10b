"""The two functions that most programs begin with: they find the plug-ins, and return what the adapter gives."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, NoReturn, TypeVar

from duologue.adapter import Adapter, PeerSettings, ServerSettings, ServicesFactory
from duologue.peer import Peer, Server
from duologue.plugins import find_adapter, find_wireformat
from duologue.protocol.budget import CallBudget
from duologue.protocol.limits import Limits
from duologue.served import ServiceMaps
from duologue.services import ServiceMap
from duologue.wireformat import WireFormat

T = TypeVar("T")

_LIMITS = Limits()
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOST_AND_PORT = re.compile(r"[^/:]+:[0-9]+$")


def connect(
    url: str,
    services: ServiceMap | Sequence[ServiceMap] | ServicesFactory | None = None,
    *,
    wireformat: str | WireFormat,
    limits: Limits = _LIMITS,
    budget: CallBudget | None = None,
    name: str = "",
    **options: Any,
) -> AbstractAsyncContextManager[Peer]:
    """Connect to a peer: `async with connect("tcp://127.0.0.1:7000", wireformat="cbor") as peer`.

    `services` is what this end serves on the connection: a map, a list of maps, or a function that makes one for the new peer. `wireformat`
    is a name or an object, the same at both ends. `budget` shares the permits for the remote's calls between
    connections; `name` is for people. Further keywords are options of the URL's adapter.

    Raises `UnknownScheme`, `UnknownWireFormat` and `PluginError` here; entering raises `ConnectFailed`,
    `HandshakeTimeout`. Go on with `peer.remote(namespace)`.
    """
    _check(limits, budget)
    settings = PeerSettings(
        services=_services(services),
        wireformat=_wireformat(wireformat),
        limits=limits,
        budget=budget,
        name=name,
        options=options,
    )
    return _Block("connect", "peer", _adapter(url).connect(url, settings))


def serve(
    url: str,
    services: ServiceMap | Sequence[ServiceMap] | ServicesFactory | None = None,
    *,
    wireformat: str | WireFormat,
    on_peer: Callable[[Peer], Awaitable[None] | None] | None = None,
    limits: Limits = _LIMITS,
    budget: CallBudget | None = None,
    name: str = "",
    **options: Any,
) -> AbstractAsyncContextManager[Server]:
    """Listen for peers: `async with serve("tcp://127.0.0.1:7000", services, wireformat="cbor") as server`.

    The arguments are those of `connect`, and hold for each peer. `on_peer` is called with every new one.

    Raises `UnknownScheme`, `UnknownWireFormat` and `PluginError` here; entering raises `ConnectFailed` if the address
    can't be had. Go on with `server.url`, `server.peers` and `await server.wait_closed()`.
    """
    _check(limits, budget)
    if on_peer is not None and not callable(on_peer):
        raise TypeError(f"on_peer={on_peer!r}: give a function, which is called with each new peer")
    settings = ServerSettings(
        services=_services(services),
        wireformat=_wireformat(wireformat),
        on_peer=on_peer,
        limits=limits,
        budget=budget,
        name=name,
        options=options,
    )
    return _Block("serve", "server", _adapter(url).serve(url, settings))


class _Block(AbstractAsyncContextManager[T]):
    """What an adapter gives, for `async with` and nothing else: who forgets that is told."""

    def __init__(self, function: str, name: str, block: AbstractAsyncContextManager[T]) -> None:
        self._usage = f"write `async with {function}(...) as {name}:`"
        self._block = block

    async def __aenter__(self) -> T:
        return await self._block.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._block.__aexit__(kind, exc, traceback)

    def __await__(self) -> Generator[Any, Any, NoReturn]:
        raise TypeError(self._usage)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"there is no {name!r} before the block is entered: {self._usage}")


def _check(limits: Limits, budget: CallBudget | None) -> None:
    """Refuse here what would else show up with the first connection, or the first call of it."""
    given: Any = limits, budget  # by callers without a type checker, anything
    if not isinstance(given[0], Limits):
        raise TypeError(
            f"limits={limits!r}: give Limits(...), with what is to be different from its defaults"
        )
    if given[1] is not None and not isinstance(given[1], CallBudget):
        raise TypeError(f"budget={budget!r}: give CallBudget(...), the same one to all that share it")


def _adapter(url: str) -> Adapter:
    given: Any = url  # by callers without a type checker, anything
    if not isinstance(given, str):
        raise TypeError(f"url={url!r}: give a text such as tcp://127.0.0.1:7000")
    match = _SCHEME.match(url)
    # `localhost:7000` looks like a URL of the scheme `localhost`, and nobody means it so.
    if match is None or _HOST_AND_PORT.match(url):
        raise ValueError(f"{url!r} is not a URL with a scheme: write, for example, tcp://127.0.0.1:7000")
    try:
        os.fsencode(url)
    except UnicodeEncodeError as exc:
        raise ValueError(f"{url!r} is not a URL: it has a character that stands for nothing") from exc
    return find_adapter(match[1].lower())


def _wireformat(wireformat: str | WireFormat) -> WireFormat:
    match wireformat:
        case str():
            return find_wireformat(wireformat)
        case WireFormat():
            return wireformat
        case _:
            raise TypeError(f"wireformat={wireformat!r}: give a name, such as 'json', or a WireFormat object")


def _services(
    services: ServiceMap | Sequence[ServiceMap] | ServicesFactory | None,
) -> ServiceMap | ServicesFactory | None:
    if services is None or isinstance(services, ServiceMap) or callable(services):
        return services
    given: Any = services  # by callers without a type checker, anything
    if isinstance(given, list | tuple):
        return ServiceMaps(*services)
    raise TypeError(
        f"services={services!r}: give Services(...) with its handlers, or a function that makes them for a new peer"
    )
