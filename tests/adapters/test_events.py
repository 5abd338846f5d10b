"""Those who watch a peer: any number, each bounded, and none of them holds up anything."""

from __future__ import annotations

import logging
import weakref

import anyio
import pytest
from tests.adapters.common import (
    Add,
    Fail,
    State,
    Tools,
    collect,
    connected,
    events_of,
    next_event,
    tools,
    turn,
    until,
)

from duologue import (
    CloseReason,
    EventsMissed,
    FailureKind,
    Limits,
    Peer,
    PeerClosed,
    RemoteError,
    RequestFailed,
)


async def unknown_call(client: Peer, sid: int = 4711) -> None:
    """A call that fails at the other end: one event there."""
    with pytest.raises(RemoteError):
        await client.call_raw(sid, b"")


async def test_each_observer_sees_all(url: str) -> None:
    """Several observers: each sees every event from when it began, in order, up to the last one, and then ends."""
    async with connected(url) as (client, server):
        first = server.events()
        await unknown_call(client, 1)
        second = server.events()
        await unknown_call(client, 2)
        await client.close()
        await server.wait_closed()
        seen = [[event async for event in each] for each in (first, second)]
    for events, sids in zip(seen, ([1, 2], [2]), strict=True):
        *failures, end = events
        assert [event.sid for event in failures if isinstance(event, RequestFailed)] == sids
        assert isinstance(end, PeerClosed)
        assert end.reason is CloseReason.CLOSED_BY_REMOTE


async def test_an_observer_that_comes_too_late(url: str) -> None:
    """Whoever begins to watch when all is over is told just that, as often as it asks."""
    async with connected(url) as (client, server):
        await client.close()
        await server.wait_closed()
        for _ in range(2):
            [event] = await events_of(server)
            assert isinstance(event, PeerClosed)


async def test_watching_while_things_happen(url: str) -> None:
    """An observer that waits is woken for each event; one that is cancelled while it waits misses nothing."""
    async with connected(url) as (client, server), anyio.create_task_group() as group:
        events = server.events()
        with anyio.move_on_after(0.01):
            await next_event(events)
        seen: list[int] = []

        async def watch() -> None:
            async for event in events:
                if isinstance(event, RequestFailed):
                    seen.append(event.sid)

        group.start_soon(watch)
        for sid in range(1, 6):
            await unknown_call(client, sid)
            await until(lambda sid=sid: len(seen) == sid)  # type: ignore[misc]
        await client.close()
    assert seen == [1, 2, 3, 4, 5]


@pytest.mark.fault(64)
async def test_weak_point_23_an_observer_that_does_not_read(url: str) -> None:
    """It delays nobody: the oldest events go, and when it reads it is told how many; the others miss nothing."""
    there = Tools()
    async with connected(url, there.services, limits=Limits(observer_queue=5)) as (client, server):
        slow, quick = server.events(), server.events()
        for sid in range(1, 21):
            await unknown_call(client, sid)
            event = await next_event(quick)
            assert isinstance(event, RequestFailed)
            assert event.sid == sid
        assert await client.remote(tools).call(Add(a=1, b=1)) == 2
        missed = await next_event(slow)
        assert isinstance(missed, EventsMissed)
        assert missed.count == 15
        for sid in range(16, 21):
            event = await next_event(slow)
            assert isinstance(event, RequestFailed)
            assert event.sid == sid
        # The last event comes through in any case.
        for sid in range(30, 40):
            await unknown_call(client, sid)
        await client.close()
        await server.wait_closed()
        missed, *failures, end = [event async for event in slow]
        assert isinstance(missed, EventsMissed)
        assert missed.count + len(failures) == 10
        assert isinstance(end, PeerClosed)


@pytest.mark.fault(64)
async def test_an_observer_that_is_forgotten(url: str) -> None:
    """An observer that nobody holds any more is none: nothing is kept for it."""
    async with connected(url) as (client, server):
        events = server.events()
        observer = weakref.ref(events)
        collect()
        assert observer() is not None
        del events
        collect()
        assert observer() is None
        await unknown_call(client)
        await until(lambda: State(server).is_idle)


async def test_failed_sends_are_seen(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing goes back for a one-way message that fails: the event is where one can see it."""
    there = Tools()
    caplog.set_level(logging.CRITICAL, "duologue")
    async with connected(url, there.services) as (client, server):
        events = server.events()
        await client.remote(tools).send(Fail())
        event = await next_event(events)
        assert isinstance(event, RequestFailed)
        assert (event.kind, event.cid, event.service) == (FailureKind.HANDLER_FAILED, 0, "tools::Fail")
        assert "tools::Fail" in repr(event)


async def test_an_observer_may_close(url: str) -> None:
    """Closing the peer out of the loop that watches it: the loop sees the end, too."""
    async with connected(url) as (client, server), anyio.create_task_group() as group:
        seen: list[str] = []

        async def watch() -> None:
            async for event in server.events():
                seen.append(type(event).__name__)
                await server.close("seen enough")

        group.start_soon(watch)
        await turn(2)
        with pytest.raises(RemoteError):
            await client.call_raw(1, b"")
        await client.wait_closed()
    assert seen == ["RequestFailed", "PeerClosed"]
