"""Those who watch a client: bounded, never waited for, and told the end."""

from __future__ import annotations

import gc
import logging
from typing import Any

import anyio
import pytest
from tests.adapters.common import turn

from duologue import CloseReason, EventsMissed
from duologue_contrib.reconnect import AttemptFailed, Connecting, Disconnected, GaveUp
from duologue_contrib.reconnect.events import Audience


def audience(limit: int = 256, callback: Any = None) -> Audience:
    return Audience(limit, callback, "someone")


@pytest.mark.fault(64)
async def test_a_watcher_that_does_not_read() -> None:
    """Only the newest events are kept for it, and it is told how many it missed."""
    all_of_them = audience(2)
    watcher = all_of_them.watcher()
    for number in range(5):
        all_of_them.tell(Connecting(number))
    all_of_them.end()
    missed, *rest = [event async for event in watcher]
    assert isinstance(missed, EventsMissed)
    assert (missed.count, rest) == (3, [Connecting(3), Connecting(4)])


async def test_watchers_wait_and_are_woken() -> None:
    """Two tasks read from one watcher: each event comes once, and the end ends both."""
    all_of_them = audience()
    watcher = all_of_them.watcher()
    seen: list[Any] = []

    async def read() -> None:
        async for event in watcher:
            seen.append(event)

    async with anyio.create_task_group() as group:
        group.start_soon(read)
        group.start_soon(read)
        await turn(3)
        all_of_them.tell(Connecting(1))
        await turn(3)
        all_of_them.tell(Connecting(2))
        await turn(3)
        all_of_them.end()
    assert seen == [Connecting(1), Connecting(2)]


async def test_who_comes_late() -> None:
    """It learns that the client gave up, which is not going to be told again, and then the end."""
    all_of_them = audience()
    error = ValueError("x")
    all_of_them.tell(GaveUp(error))
    all_of_them.end()
    assert [event async for event in all_of_them.watcher()] == [GaveUp(error)]


async def test_a_watcher_is_forgotten() -> None:
    """Nobody holds one that is not read any more."""
    all_of_them = audience()
    all_of_them.watcher()
    gc.collect()
    assert len(all_of_them._watchers) == 0


async def test_a_callback_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and nobody else is the worse for it."""

    def fail(_: object) -> None:
        raise ValueError("in the callback")

    all_of_them = audience(callback=fail)
    watcher = all_of_them.watcher()
    all_of_them.tell(Connecting(1))
    assert await anext(watcher) == Connecting(1)
    assert "on_event failed" in caplog.text
    assert "in the callback" in caplog.text


@pytest.mark.fault(81)
async def test_what_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A loss is a warning, an attempt is for those who look closer, and giving up is an error. One line each, in which
    the other end can't forge another.
    """
    caplog.set_level(logging.INFO, "duologue.reconnect")
    all_of_them = audience()
    all_of_them.tell(Disconnected(CloseReason.TRANSPORT_FAILED, "reset\nERROR forged \x1b[2J", 1.0))
    all_of_them.tell(Disconnected(CloseReason.CLOSED_BY_REMOTE, "", 1.0))
    all_of_them.tell(AttemptFailed(2, ValueError("nobody\x07there"), 1.5))
    all_of_them.log_end(ValueError("no use"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "someone: transport failed (reset?ERROR forged ?[2J)"),
        ("WARNING", "someone: closed by remote"),
        ("INFO", "someone: attempt 2 failed, trying again in 1.5 s: nobody?there"),
        ("ERROR", "someone: gave up: no use"),
    ]
