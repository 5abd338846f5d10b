"""`fifo:///folder`: named pipes in a folder that both processes can write to. No option."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import anyio
import anyio.abc

from duologue import (
    Adapter,
    ConnectFailed,
    HandshakeTimeout,
    Peer,
    PeerSettings,
    Server,
    ServerSettings,
    hookimpl,
)
from duologue_adapters import peer_over
from duologue_pipes.streams import Door, PipeStream, open_as_client, open_as_server


class FifoAdapter(Adapter):
    """Named pipes."""

    schemes = ("fifo",)

    @asynccontextmanager
    async def connect(self, url: str, settings: PeerSettings) -> AsyncGenerator[Peer, None]:
        folder = folder_of(url, settings)
        seconds = settings.limits.handshake_timeout
        try:
            with anyio.fail_after(seconds):
                stream = await open_as_client(folder)
        except TimeoutError as exc:
            raise HandshakeTimeout(url, seconds) from exc
        except OSError as exc:
            raise ConnectFailed(url, str(exc)) from exc
        async with peer_of(stream, settings) as peer:
            yield peer

    @asynccontextmanager
    async def serve(self, url: str, settings: ServerSettings) -> AsyncGenerator[Server, None]:
        folder = folder_of(url, settings)
        try:
            door = Door(folder)
        except OSError as exc:
            raise ConnectFailed(url, f"can't serve there: {exc}") from exc
        trouble: Exception | None = None
        try:
            async with anyio.create_task_group() as group:
                server = FifoServer(url, folder, door, group, settings)
                group.start_soon(server.accept_all)
                try:
                    yield server
                    with anyio.CancelScope(shield=True):
                        await server.close()
                except Exception as exc:
                    trouble = exc  # it goes on as it is, and not in the group of these tasks
                group.cancel_scope.cancel()
        finally:
            door.close()
        if trouble is not None:
            raise trouble


class FifoServer(Server):
    """Makes a peer of each pair of pipes."""

    def __init__(
        self, url: str, folder: Path, door: Door, group: anyio.abc.TaskGroup, settings: ServerSettings
    ) -> None:
        self._url = url
        self._folder = folder
        self._door = door
        self._group = group
        self._settings = settings
        self._peers: dict[Peer, None] = {}
        self._accepting = anyio.CancelScope()
        self._is_accepting = True
        self._closed = anyio.Event()

    @property
    def url(self) -> str:
        return self._url

    @property
    def peers(self) -> Iterable[Peer]:
        return tuple(self._peers)

    async def accept_all(self) -> None:
        """Let others in until the server closes."""
        with self._accepting:
            while True:
                for name in await self._door.names():
                    if (stream := open_as_server(self._folder, name)) is not None:
                        self._group.start_soon(self._serve, stream)
        self._is_accepting = False
        self._door.close()
        self._settle()

    async def _serve(self, stream: PipeStream) -> None:
        async with peer_of(stream, self._settings) as peer:
            self._peers[peer] = None
            try:
                greeting = self._settings.on_peer(peer) if self._settings.on_peer is not None else None
                if inspect.isawaitable(greeting):
                    await greeting
                if not self._is_accepting:
                    await peer.close("the server closes")
                await peer.wait_closed()
            finally:
                del self._peers[peer]
                self._settle()

    async def close(self, *, grace: float = 0.0) -> None:
        self._accepting.cancel()
        async with anyio.create_task_group() as group:
            for peer in self.peers:
                group.start_soon(lambda peer=peer: peer.close("the server closes", grace=grace))
        await self._closed.wait()

    async def wait_closed(self) -> None:
        await self._closed.wait()

    def _settle(self) -> None:
        if not self._is_accepting and not self._peers:
            self._closed.set()


def peer_of(stream: PipeStream, settings: PeerSettings) -> AbstractAsyncContextManager[Peer]:
    """A peer over pipes that are open."""
    return peer_over(
        stream,
        settings.services,
        wireformat=settings.wireformat,
        limits=settings.limits,
        budget=settings.budget,
        name=settings.name,
    )


def folder_of(url: str, settings: PeerSettings) -> Path:
    """The folder in a URL. Raises `ConnectFailed`, and `TypeError` for options."""
    if settings.options:
        raise TypeError(f"the fifo adapter takes no option, and was given {', '.join(settings.options)}")
    path = url.partition(":")[2].removeprefix("//")
    if not path.startswith("/"):
        raise ConnectFailed(url, "write fifo:///folder, with the whole path of the folder")
    return Path(path)


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return FifoAdapter()
