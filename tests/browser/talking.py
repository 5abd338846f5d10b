"""A server in the test's own event loop, with the page that the tests of the client are made with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from tests.contrib.browser.talk import Talker

from duologue import Limits, Peer
from duologue_contrib.browser import PageServer, serve_page

FOLDER = Path(__file__).parent / "page"
SOON = 10.0
"""Seconds for what happens at once, on a busy machine. Every timeout of the library that could help is longer."""


@dataclass
class Talking:
    """A served page, the peers that its server has had, and what its handlers saw."""

    served: PageServer
    peers: list[Peer]
    talker: Talker
    _came: dict[int, anyio.Event] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.served.url

    @property
    def folder(self) -> Path:
        return FOLDER

    async def peer(self, number: int = 0) -> Peer:
        """The first page that has connected, or a later one: waits for it."""
        if len(self.peers) <= number:
            with anyio.fail_after(SOON):
                await self._came.setdefault(number, anyio.Event()).wait()
        return self.peers[number]

    def take(self, peer: Peer) -> None:
        self.peers.append(peer)
        if event := self._came.get(len(self.peers) - 1):
            event.set()


@asynccontextmanager
async def talking(
    wireformat: str = "cbor", *, url: str = "http://127.0.0.1:0", limits: Limits = Limits()
) -> AsyncIterator[Talking]:
    talker = Talker()
    made: list[Talking] = []
    async with serve_page(
        url,
        FOLDER,
        talker.services,
        wireformat=wireformat,
        limits=limits,
        on_peer=lambda peer: made[0].take(peer),
    ) as served:
        made.append(Talking(served, [], talker))
        yield made[0]
