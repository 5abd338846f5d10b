"""A chat in this process, and members of it that see all they are told in the order in which it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count
from typing import Any

from messages import LIMITS, Join, Joined, NickSet, Said, SetNick, chat, screen
from rooms import Chat
from server import services_for

from duologue import Message, Peer, PubSub, connect, serve
from duologue_contrib.pubsub import Messages, listen

_numbers = count(1)


class Seat:
    """One member."""

    def __init__(self, peer: Peer, told: Messages[Message[Any]]) -> None:
        self.peer = peer
        self._told = told

    async def call(self, message: Message[Any]) -> Any:
        return await self.peer.remote(chat).call(message)

    async def told(self) -> Message[Any]:
        """The next thing."""
        return await anext(self._told)

    async def hears(self) -> tuple[str, str]:
        """What somebody says next: who, and what. Nothing else may come before it."""
        said = await self.told()
        assert isinstance(said, Said)
        return said.line.by.nick, said.line.text

    @property
    def untold(self) -> int:
        """What has come and was not looked at."""
        return self._told.waiting


class House:
    """The server: members may come in any wire format, by any transport."""

    def __init__(self, urls: dict[str, str]) -> None:
        self._urls = urls

    def url(self, wireformat: str) -> str:
        return self._urls[wireformat]

    @asynccontextmanager
    async def seat(
        self, nick: str = "", *rooms: str, wireformat: str = "cbor", key: str = "", queue: int = 1000
    ) -> AsyncIterator[Seat]:
        """A member with a nick, in some rooms."""
        here = PubSub(screen)
        url = self.url(wireformat)
        async with (
            listen(here, queue=queue, policy="close") as told,
            connect(url, here, wireformat=wireformat, limits=LIMITS) as peer,
        ):
            seat = Seat(peer, told)
            if nick:
                assert await seat.call(SetNick(nick, key)) == NickSet(nick)
            for room in rooms:
                assert isinstance(await seat.call(Join(room)), Joined)
            yield seat


@asynccontextmanager
async def house(now: Callable[[], float] | None = None) -> AsyncIterator[House]:
    """CBOR through memory, and MessagePack by TCP, as the page and the terminal have WebSocket and TCP."""
    services = services_for(Chat(now or count(0, 10).__next__))
    urls = {"cbor": f"mem://chat-{next(_numbers)}", "msgpack": "tcp://127.0.0.1:0"}
    async with AsyncExitStack() as stack:
        for name, url in urls.items():
            server = await stack.enter_async_context(
                serve(url, services, wireformat=name, limits=LIMITS, name="chat")
            )
            urls[name] = server.url
        yield House(urls)
