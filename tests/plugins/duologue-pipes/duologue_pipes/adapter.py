"""`fifo:///folder`: named pipes in a folder that both processes can write to. No option."""

from __future__ import annotations

from pathlib import Path

from duologue import Adapter, ConnectFailed, PeerSettings, ServerSettings, hookimpl
from duologue_adapters import Engine, Link, LinkAdapter, Listener
from duologue_pipes.pipes import Door, come_in


class FifoAdapter(LinkAdapter):
    """Named pipes."""

    schemes = ("fifo",)

    async def open_link(self, engine: Engine, url: str, settings: PeerSettings) -> Link:
        return engine.pipe_link(*await come_in(folder_in(url)))

    async def listen(self, engine: Engine, url: str, settings: ServerSettings) -> Listener:
        return FifoListener(engine, url, Door(folder_in(url)))


class FifoListener(Listener):
    """A link for each who comes in by the door."""

    def __init__(self, engine: Engine, url: str, door: Door) -> None:
        self.url = url
        self._engine = engine
        self._door = door

    async def accept(self) -> Link:
        return self._engine.pipe_link(*await self._door.next_one())

    def close(self) -> None:
        self._door.close()


def folder_in(url: str) -> Path:
    """The folder in a URL. Raises `ConnectFailed`."""
    path = url.partition(":")[2].removeprefix("//")
    if not path.startswith("/"):
        raise ConnectFailed(url, "write fifo:///folder, with the whole path of the folder")
    return Path(path)


@hookimpl
def duologue_adapter() -> Adapter:
    """The plug-in."""
    return FifoAdapter()
