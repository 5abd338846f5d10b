"""What the suite for adapters has to be told, and how its tests serve and connect."""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import anyio
import anyio.abc

from duologue import Limits, Message, Peer, Server, WireFormat, connect, serve
from duologue_contrib.testing.adapter_services import Actor, Hold, suite, until
from duologue_contrib.testing.needed import pytest

ENGINES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "asyncio": ("asyncio", {"use_uvloop": False}),
    "uvloop": ("asyncio", {"use_uvloop": True}),
    "trio": ("trio", {}),
}
"""The event loops, in the words of anyio."""

MIB = 1 << 20

_LIMITS = Limits()

S = TypeVar("S", bound="AdapterStage")
P = ParamSpec("P")


class AdapterStage:
    """Says what is under test. `url` is all that most adapters need to say."""

    url: ClassVar[str]
    """Where to serve. A server's own `url` is what the other end connects to, so this may leave the choice to the system, as port 0 does."""

    serve_options: ClassVar[Mapping[str, Any]] = {}
    """Further keywords for `serve`, such as a certificate."""

    connect_options: ClassVar[Mapping[str, Any]] = {}
    """Further keywords for `connect`."""

    wireformats: ClassVar[tuple[str | WireFormat, ...]] = ("msgpack", "cbor", "json")
    """Names or objects. What has to do with frames is tested with each, the rest with the first."""

    engines: ClassVar[tuple[str, ...]] = tuple(ENGINES)
    """Of `asyncio`, `uvloop` and `trio`, those on which the adapter runs. What is not installed is skipped."""

    is_in_process: ClassVar[bool] = False
    """Whether both ends are always in one process, so that none of them can be killed."""

    has_halves: ClassVar[bool] = True
    """Whether an end can say that nothing more comes from it, and go on reading. Without that, closing takes a second longer."""

    connections: ClassVar[int] = 1000
    """How many are opened and closed to see whether anything is left. Fewer where opening one takes long."""

    in_flight: ClassVar[int] = 32 * MIB
    """Bytes that may be on their way to a reader that has stopped: the buffers of both ends, and what the system takes in between."""

    patience: ClassVar[float] = 60.0
    """Seconds after which a test hangs for sure. Nearly all take some milliseconds."""

    def listen_url(self) -> str:
        """The URL for a new server. For transports that need another one each time."""
        return self.url

    def raw_stream(self, url: str) -> AbstractAsyncContextManager[anyio.abc.ByteStream]:
        """A connection to a server without any of this library at its near end, whose bytes are those that the peer there reads.

        Leaving the block cuts it, as rudely as the transport can be cut. `send_eof` ends its half, where the transport
        `has_halves`. By default the tests that need it are skipped.
        """
        pytest.skip(f"{type(self).__name__} does not say how to open a raw connection")

    # -- for the tests ------------------------------------------------------------------------------

    @pytest.fixture
    def anyio_backend(self, request: pytest.FixtureRequest) -> Any:
        """Of the class, so that no fixture around it, with engines of its own, has a say."""
        return request.param

    @pytest.fixture
    def wireformat(self, request: pytest.FixtureRequest) -> Any:
        """Likewise."""
        return request.param

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Each test on each engine, and where it asks for one, with each wire format."""
        if "anyio_backend" in metafunc.fixturenames:
            params = [pytest.param(ENGINES[name], id=name, marks=_needs(name)) for name in self.engines]
            metafunc.parametrize("anyio_backend", params, indirect=True)
        if "wireformat" in metafunc.fixturenames:
            ids = [each if isinstance(each, str) else each.name for each in self.wireformats]
            metafunc.parametrize("wireformat", self.wireformats, ids=ids, indirect=True)

    @asynccontextmanager
    async def served(
        self,
        there: Actor | None = None,
        *,
        url: str = "",
        wireformat: str | WireFormat = "",
        limits: Limits = _LIMITS,
        on_peer: Callable[[Peer], Awaitable[None] | None] | None = None,
    ) -> AsyncGenerator[Server]:
        """A server of an actor, or of nothing."""
        async with serve(
            url or self.listen_url(),
            there.services if there is not None else None,
            wireformat=wireformat or self.wireformats[0],
            limits=limits,
            on_peer=on_peer,
            **self.serve_options,
        ) as server:
            yield server

    def connecting(
        self,
        url: str,
        here: Actor | None = None,
        *,
        wireformat: str | WireFormat = "",
        limits: Limits = _LIMITS,
    ) -> AbstractAsyncContextManager[Peer]:
        """A connection to a server."""
        return connect(
            url,
            here.services if here is not None else None,
            wireformat=wireformat or self.wireformats[0],
            limits=limits,
            **self.connect_options,
        )

    @asynccontextmanager
    async def connected(
        self,
        there: Actor | None = None,
        here: Actor | None = None,
        *,
        wireformat: str | WireFormat = "",
        limits: Limits = _LIMITS,
    ) -> AsyncGenerator[tuple[Peer, Peer]]:
        """A server with one client: the client's peer, and the server's peer of it."""
        arrived: list[Peer] = []
        async with (
            self.served(there, wireformat=wireformat, limits=limits, on_peer=arrived.append) as server,
            self.connecting(server.url, here, wireformat=wireformat, limits=limits) as client,
        ):
            await until(lambda: len(arrived) == 1)
            yield client, arrived[0]


def bounded(
    test: Callable[Concatenate[S, P], Coroutine[Any, Any, None]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, None]]:
    """A test that waits for ever fails, by its own cancellation."""

    @functools.wraps(test)
    async def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> None:
        with anyio.move_on_after(self.patience) as scope:
            await test(self, *args, **kwargs)
        if scope.cancelled_caught:
            pytest.fail(f"something waits that should not: no end within {self.patience:g} s")

    return run


async def all_of(calls: Iterable[Callable[[], Coroutine[Any, Any, object]]]) -> None:
    """Do all of it at once, to the end."""
    async with anyio.create_task_group() as group:
        for call in calls:
            group.start_soon(call)


R = TypeVar("R")


async def expect(peer: Peer, message: Message[R], answer: R) -> None:
    """Call, and have this very answer."""
    given = await peer.remote(suite).call(message)
    if given != answer:
        pytest.fail(f"{_short(message)} was answered with {_short(given)}, and not with {_short(answer)}")


async def hold_until(
    peer: Peer, kinds: type[Exception] | tuple[type[Exception], ...], seen: list[Exception]
) -> None:
    """A call that waits there, and must end with an error of these kinds here."""
    with pytest.raises(kinds) as caught:
        await peer.remote(suite).call(Hold(name="held"), timeout=None)
    seen.append(caught.value)


def _needs(engine: str) -> list[pytest.MarkDecorator]:
    """Skips an engine that is not installed."""
    missing = engine != "asyncio" and importlib.util.find_spec(engine) is None
    return [pytest.mark.skipif(missing, reason=f"{engine} is not installed")]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:100]}... ({len(text)} characters)"
