"""What the suite for adapters lets two ends say to each other, and an end that keeps count of it."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from duologue import Context, Message, Namespace, Services


class Add(Message[int]):
    """A small call."""

    a: int
    b: int


class Echo(Message[str]):
    """A call of any size, whose answer has the same."""

    text: str


class Back(Message[str]):
    """Its handler asks the caller for the answer, by `Echo`."""

    text: str


class Note(Message[None]):
    """A one-way message of any size, handled in the order of arrival."""

    number: int
    filler: str = ""


class Tick(Message[None]):
    """A one-way message that is handled in the moment in which it arrives."""

    number: int
    filler: str = ""


class Hold(Message[str]):
    """A call whose handler waits until the test releases it. The answer is the name."""

    name: str


class Quit(Message[str]):
    """A call whose handler closes its own peer."""

    grace: float


suite = Namespace("duologue suite", [Add, Echo, Back, Note, Tick, Hold, Quit])


class Actor:
    """One end's services, and what has come of them."""

    def __init__(self) -> None:
        self.noted: list[int] = []
        """The numbers of the notes that were handled, in that order."""
        self.noted_bytes = 0
        self.ticks: list[int] = []
        """The same of ticks."""
        self.began: list[str] = []
        """The names of the handlers of `Hold` that began, ended and were cancelled."""
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.running = 0
        """Handlers of `Hold` that run now."""
        self.most = 0
        """How many of them there ever were at once."""
        self.release = anyio.Event()
        """Handlers of `Hold` wait for it."""
        self.reads = anyio.Event()
        """Handlers of `Note` wait for it, if it is replaced by one that is not set."""
        self.reads.set()
        self.services = Services(suite)
        self.services.handler(Add, self._add)
        self.services.handler(Echo, self._echo)
        self.services.handler(Back, self._back)
        self.services.handler(Note, self._note, ordered=True)
        self.services.handler(Tick, self._tick, inline=True)
        self.services.handler(Hold, self._hold)
        self.services.handler(Quit, self._quit)

    async def _add(self, msg: Add) -> int:
        return msg.a + msg.b

    async def _echo(self, msg: Echo) -> str:
        return msg.text

    async def _back(self, msg: Back, ctx: Context) -> str:
        return await ctx.peer.remote(suite).call(Echo(text=msg.text))

    async def _note(self, msg: Note) -> None:
        await self.reads.wait()
        self.noted.append(msg.number)
        self.noted_bytes += len(msg.filler)

    def _tick(self, msg: Tick) -> None:
        self.ticks.append(msg.number)

    async def _hold(self, msg: Hold) -> str:
        self.began.append(msg.name)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.release.wait()
        except BaseException:
            self.cancelled.append(msg.name)
            raise
        finally:
            self.running -= 1
        self.ended.append(msg.name)
        return msg.name

    async def _quit(self, msg: Quit, ctx: Context) -> str:
        await ctx.peer.close("a handler said so", grace=msg.grace)
        return "bye"


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so that has no event of its own. The end of the test's patience ends it, too."""
    while not condition():  # noqa: ASYNC110 - it has no event
        await anyio.sleep(0.001)
