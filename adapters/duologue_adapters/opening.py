"""Opening links, whatever there is to be done before a peer may use them: connecting, and the handshakes of layers."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

import anyio

from duologue import ConnectFailed, HandshakeTimeout
from duologue_adapters.layered import LayeredLink
from duologue_adapters.ports import Engine, Layer, LayerError, Link, Listener

LayerFactory = Callable[[], Layer]
"""Makes the layer for one new link."""


def is_permanent(error: Exception) -> bool:
    """Whether an error of opening a link would come again. Of the system's none must: who is not there may come back."""
    return isinstance(error, LayerError) and error.is_permanent


@contextmanager
def connecting(
    url: str,
    seconds: float,
    reason: Callable[[Exception], str] = str,
    permanent: Callable[[Exception], bool] = is_permanent,
) -> Generator[None]:
    """A block in which a client opens its link, in so many seconds; all that goes wrong in it becomes `ConnectFailed`.

    `reason` says what an error means, where its own text does not: of a `TimeoutError` that is a hint, and may be empty.
    `permanent` says whether trying again is useless.
    """
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError as exc:
        raise HandshakeTimeout(url, seconds, reason(exc)) from exc
    except (OSError, LayerError) as exc:
        raise ConnectFailed(url, reason(exc), is_permanent=permanent(exc)) from exc


async def open_layers(engine: Engine, link: Link, *factories: LayerFactory) -> Link:
    """The link with layers on it, the lowest first, when all their handshakes are done.

    Raises `LayerError`; then, or if this is cancelled, the link is cut. For how long it may take the caller cares:
    `connecting` at a client, the server for the links that it accepts.
    """
    try:
        for factory in factories:
            layered = LayeredLink(engine, link, factory())
            await layered.open()
            link = layered
    except BaseException:
        link.abort()
        raise
    return link


class LayeredListener(Listener):
    """Puts layers on each link that another listener accepts. The server runs their handshakes beside each other."""

    has_handshake = True

    def __init__(self, engine: Engine, below: Listener, url: str, *factories: LayerFactory) -> None:
        self._engine = engine
        self._below = below
        self._factories = factories
        self.url = url

    async def accept(self) -> Link:
        return await self._below.accept()

    async def open(self, link: Link) -> Link:
        return await open_layers(self._engine, await self._below.open(link), *self._factories)

    def close(self) -> None:
        self._below.close()
