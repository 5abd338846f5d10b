"""A server in a process of its own is killed with SIGKILL and started again, over and over, under calls that never stop."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import anyio
import pytest
from tests.adapters.common import until
from tests.contrib.reconnect.counting import Count, CountingServer, counting, counting_server
from tests.contrib.reconnect.stage import Seen

from duologue import CallError, Executed, Limits
from duologue_contrib.reconnect import Backoff, Connected, ReconnectingClient, Retry, reconnecting

QUICK = Backoff(first=0.005, longest=0.02)
"""A server is there again after some milliseconds, so that it can be killed often."""

CALLERS, HELD = 6, 4
"""Callers that call one thing after another; calls that are being handled when the server is killed."""


class Book:
    """What callers were told about each of their calls."""

    def __init__(self) -> None:
        self.answered: list[int] = []
        self.failed: dict[int, Executed] = {}
        self.numbers = iter(range(10**9))

    async def call(self, client: ReconnectingClient, retry: Retry, *, is_held: bool = False) -> None:
        number = next(self.numbers)
        try:
            answer = await client.remote(counting, retry=retry).call(
                Count(number=number, is_held=is_held), timeout=None
            )
        except CallError as exc:
            self.failed[number] = exc.executed
        else:
            assert answer == number
            self.answered.append(number)


TRANSPORTS = {
    "tcp": ("tcp://127.0.0.1:0", {}, 50),
    "ws": ("ws://127.0.0.1:0", {"origins": []}, 15),
    "unix": ("unix://{}/socket", {}, 15),
}
"""Where, with what, and how many times it is killed."""


@pytest.mark.fault(53)
@pytest.mark.parametrize("transport", list(TRANSPORTS))
async def test_no_call_runs_twice(transport: str, tmp_path: Path, anyio_backend: tuple[str, Any]) -> None:
    """Half of the callers have calls made again that certainly did not run. Whatever was killed when, no call was executed
    twice; each that was answered was executed, none that was said not to be; and of those of which nothing is known, some were.
    """
    url, options, kills = TRANSPORTS[transport]
    book, seen = Book(), Seen()
    with counting_server(url.format(tmp_path), options, tmp_path / "executed", anyio_backend[0]) as server:
        await server.start()
        async with reconnecting(
            await server.url(),
            wireformat="json",
            first="wait",
            backoff=QUICK,
            on_event=seen,
            limits=Limits(owed=CALLERS + HELD - 2),  # so that some calls have not left when it breaks
        ) as client:
            async with anyio.create_task_group() as group:
                for number in range(CALLERS):
                    group.start_soon(_call_on, client, book, list(Retry)[number % 2])
                for _ in range(kills):
                    await _kill_and_restart(server, client, book)
                group.cancel_scope.cancel()
        executed = server.executed()
    assert len(seen.of(Connected)) > kills
    _check(book, executed, at_least_unknown=kills)


async def _call_on(client: ReconnectingClient, book: Book, retry: Retry) -> None:
    while True:
        await book.call(client, retry)


async def _kill_and_restart(server: CountingServer, client: ReconnectingClient, book: Book) -> None:
    """Kill the server while it is at work for us, and see that answers come again."""
    before = client.peer
    async with anyio.create_task_group() as group:
        for number in range(HELD):
            group.start_soon(lambda retry=list(Retry)[number % 2]: book.call(client, retry, is_held=True))  # type: ignore[misc]
        failed, answered = len(book.failed), len(book.answered)
        await until(lambda: len(book.answered) >= answered + CALLERS)
        server.kill()
        await until(lambda: len(book.failed) > failed)
        await server.start()
        await until(lambda: client.peer is not None and client.peer is not before)
        # A call that is held is made again where it did not run, and would be held for ever.
        group.cancel_scope.cancel()


def _check(book: Book, executed: Counter[int], *, at_least_unknown: int) -> None:
    twice = {number for number, times in executed.items() if times > 1}
    assert not twice
    assert set(book.answered) <= set(executed)
    told = Counter(book.failed.values())
    assert told[Executed.YES] == 0
    assert not {number for number, what in book.failed.items() if what is Executed.NO} & set(executed)
    unknown = {number for number, what in book.failed.items() if what is Executed.UNKNOWN}
    assert len(unknown) >= at_least_unknown
    assert unknown & set(executed), "a server that was killed had executed some of them"


async def test_a_call_that_may_run_twice_does(tmp_path: Path, anyio_backend: tuple[str, Any]) -> None:
    """The same with `IDEMPOTENT`: the held call is executed once by each server, until one answers. So the test above would
    have found it.
    """
    with counting_server("tcp://127.0.0.1:0", {}, tmp_path / "executed", anyio_backend[0]) as server:
        await server.start()
        async with reconnecting(await server.url(), wireformat="json", first="wait", backoff=QUICK) as client:
            remote = client.remote(counting, retry=Retry.IDEMPOTENT)
            async with anyio.create_task_group() as group:
                group.start_soon(lambda: remote.call(Count(number=7, is_held=True), timeout=None))
                for times in (1, 2, 3):
                    await until(lambda times=times: server.executed()[7] == times)  # type: ignore[misc]
                    server.kill()
                    await server.start()
                group.cancel_scope.cancel()
