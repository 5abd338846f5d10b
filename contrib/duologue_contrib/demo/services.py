"""The handlers of both ends."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from duologue import Context, Peer, Services
from duologue_contrib.demo.messages import (
    SECRET,
    Add,
    Begin,
    CallBack,
    Cue,
    Double,
    Fail,
    Fill,
    Hang,
    Logged,
    MostAtOnce,
    Note,
    Notes,
    Prompt,
    Work,
    client_side,
    server_side,
)
from duologue_contrib.demo.parallel import in_parallel


class Counts(logging.Handler):
    """What is counted over all connections of a server: handlers that work at once, and exceptions in the log."""

    def __init__(self) -> None:
        super().__init__()
        self.logged = 0
        self._working = 0
        self._most = 0
        self._begun = anyio.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """The library logs the traceback of each handler that fails; here it is counted, and not shown."""
        if record.exc_info:
            self.logged += 1

    async def work(self, msg: Work) -> None:
        """One more that works."""
        self._working += 1
        self._most = max(self._most, self._working)
        try:
            await self._begun.wait()
            await anyio.sleep(msg.seconds)
        finally:
            self._working -= 1

    async def begin(self, msg: Begin) -> None:
        """All may go on."""
        self._begun.set()

    async def most_at_once(self, msg: MostAtOnce) -> int:
        """The most since the last time."""
        most, self._most = self._most, 0
        self._begun = anyio.Event()
        return most


class Desk:
    """What the server does for one client: each connection has a desk of its own, since `serve` is given a function."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._notes = 0
        self._expected = 0
        self._enough = anyio.Event()

    def services(self) -> Services:
        """The handlers. Methods are as good as functions."""
        services = Services(server_side)
        services.handler(self.add)
        services.handler(self.note)
        services.handler(self.notes)
        services.handler(self.call_back)
        services.handler(self.fail)
        services.handler(self.logged)
        services.handler(self.fill)
        services.handler(self.hang)
        services.handler(self.prompt)
        services.handler(self._counts.work)
        services.handler(self._counts.begin)
        services.handler(self._counts.most_at_once)
        return services

    async def add(self, msg: Add) -> int:
        """The sum."""
        return msg.a + msg.b

    async def note(self, msg: Note) -> None:
        """Count it."""
        self._notes += 1
        if self._notes == self._expected:
            self._enough.set()

    async def notes(self, msg: Notes) -> int:
        """Handlers run in tasks of their own, so those of notes that came before may not have begun yet."""
        self._expected = msg.expected
        if self._notes < msg.expected:
            await self._enough.wait()
        return self._notes

    async def call_back(self, msg: CallBack, ctx: Context) -> int:
        """Call the one who calls. While this handler waits, its permit is lent to others."""
        remote = ctx.peer.remote(client_side)
        total = 0

        async def ask(number: int) -> None:
            nonlocal total
            answer = await remote.call(Double(number=number))
            total += answer

        await in_parallel(msg.count, msg.at_once, ask)
        return total

    async def fail(self, msg: Fail) -> None:
        """A bug, as they happen."""
        raise RuntimeError(SECRET)

    async def logged(self, msg: Logged) -> int:
        """See there."""
        return self._counts.logged

    async def fill(self, msg: Fill) -> str:
        """As long as wanted, which may be longer than a frame."""
        return "x" * msg.size

    async def hang(self, msg: Hang) -> None:
        """Until it is cancelled, as all handlers are when their connection ends."""
        await anyio.sleep_forever()

    async def prompt(self, msg: Prompt, ctx: Context) -> None:
        """The cue goes back the way that the prompt came."""
        await ctx.peer.remote(client_side).send(Cue())


def server_services(counts: Counts) -> Callable[[Peer], Services]:
    """What `serve` is given: a function that makes the services of a new connection."""
    return lambda peer: Desk(counts).services()


class Caller:
    """What the client does for the server."""

    def __init__(self, cues: int = 1, step: Callable[[], None] = lambda: None) -> None:
        """`step` is called for each number that was doubled."""
        self.all_cues = anyio.Event()
        """So many cues as were to come."""
        self._missing = cues
        self._step = step
        self.services = Services(client_side)
        self.services.handler(self.double)
        self.services.handler(self.cue)

    async def double(self, msg: Double) -> int:
        """Twice the number."""
        self._step()
        return 2 * msg.number

    async def cue(self, msg: Cue) -> None:
        """The server has got all that was sent before the prompt."""
        self._missing -= 1
        if not self._missing:
            self.all_cues.set()
