"""Many requests whose handlers do not wait: they take turns with all else that the event loop has to do."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import cast

import anyio
import pytest
from tests.adapters.common import (
    QUICK,
    State,
    closed_event,
    collect,
    first_peer,
    frame,
    raw_client,
    turn,
    until,
)
from tests.adapters.notes import COUNT, Note, Notes, Quick, burst, busy, noting
from tests.adapters.relays import TCP

from duologue import CloseReason, Limits, PubSub, serve


@pytest.mark.fault(48)
@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("is_call", [False, True])
async def test_others_have_their_turn(is_call: bool, inline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """When they have run for long enough others go on, and then the rest is run, in order; nothing is lost."""
    monkeypatch.setattr("duologue_adapters.time_slice.LENGTH", 0.0)
    notes = Notes(inline=inline)
    seen: list[int] = []
    async with serve(TCP, notes.services, wireformat="msgpack") as server, raw_client(server.url) as raw:
        peer = await first_peer(server)

        async def look() -> None:
            while len(notes.got) < COUNT:
                seen.append(len(notes.got))
                await turn()

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            await raw.send(burst(peer, is_call=is_call))
        assert notes.got == list(range(COUNT))
        assert len(set(seen)) > COUNT // 4
        if is_call:
            assert [(await raw.frame())[1] for _ in range(COUNT)] == list(range(1, COUNT + 1))
        await until(lambda: State(peer).is_idle)


@pytest.mark.fault(48)
@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("how", ["ordered calls", "ordered messages", "one permit"])
async def test_one_that_begins_when_another_ends(
    how: str, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where each that ends lets the next one begin, by its turn or its permit, others have their turn, too."""
    monkeypatch.setattr("duologue_adapters.time_slice.LENGTH", 0.0)
    is_call, permits = how != "ordered messages", 1 if how == "one permit" else 100
    notes, seen = Notes(inline=inline, ordered=permits > 1), set[int]()
    async with (
        serve(TCP, notes.services, wireformat="msgpack", limits=Limits(calls=permits)) as server,
        raw_client(server.url) as raw,
    ):
        peer = await first_peer(server)
        await raw.send(burst(peer, is_call=is_call))
        while len(notes.got) < COUNT:
            seen.add(len(notes.got))
            await turn()
        assert notes.got == list(range(COUNT))
        assert len(seen) > COUNT // 4
        if is_call:
            assert [(await raw.frame())[1] for _ in range(COUNT)] == list(range(1, COUNT + 1))
        await until(lambda: State(peer).is_idle and not busy(peer))


@pytest.mark.fault(48)
async def test_what_is_published_does_not_stop_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst of messages to be published is the case that matters: each of them costs as much as there are subscribers."""
    monkeypatch.setattr("duologue_adapters.time_slice.LENGTH", 0.0)
    topic, got, seen = PubSub(noting), list[int](), set[int]()
    topic.listen(lambda message: got.append(cast("Note", message).number))
    async with serve(TCP, topic, wireformat="msgpack") as server, raw_client(server.url) as raw:
        await raw.send(burst(await first_peer(server), is_call=False))
        while len(got) < COUNT:
            seen.add(len(got))
            await turn()
    assert got == list(range(COUNT))
    assert len(seen) > COUNT // 4


@pytest.mark.parametrize("inline", [False, True])
async def test_the_end_comes_behind_what_is_left(inline: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A remote sends and hangs up: all of it is handled before the end is told."""
    monkeypatch.setattr("duologue_adapters.time_slice.LENGTH", 0.0)
    notes = Notes(inline=inline)
    async with serve(TCP, notes.services, wireformat="msgpack", limits=QUICK) as server:
        async with raw_client(server.url) as raw:
            peer = await first_peer(server)
            await raw.send(burst(peer, is_call=False))
        event = await closed_event(peer)
        assert notes.got == list(range(COUNT))
        assert event.reason is CloseReason.CLOSED_BY_REMOTE


@pytest.mark.parametrize("inline", [False, True])
@pytest.mark.parametrize("is_call", [False, True])
async def test_a_connection_that_is_cut_with_some_left(
    is_call: bool, inline: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one of them: none that is left is run, nothing is held for any, and the end is told at once."""
    monkeypatch.setattr("duologue_adapters.time_slice.LENGTH", 0.0)
    notes = Notes(inline=inline)
    notes.aborts_at = COUNT // 2
    async with serve(TCP, notes.services, wireformat="msgpack") as server, raw_client(server.url) as raw:
        peer = await first_peer(server)
        await raw.send(burst(peer, is_call=is_call))
        await peer.wait_closed()
        assert notes.got == list(range(COUNT // 2 + 1))
        await until(lambda: State(peer).is_idle and not tuple(server.peers))
        assert not busy(peer)
    collect()


@pytest.mark.fault(48)
@pytest.mark.parametrize("inline", [False, True])
async def test_many_connections_share_the_time(inline: bool) -> None:
    """Ten of them bring more than a slice holds in the same moment, and no pass of the loop is ten times as long for that."""
    at_once, each = 10, 60
    notes = Notes(inline=inline, seconds=0.001)
    most = 0
    async with serve(TCP, notes.services, wireformat="msgpack") as server, AsyncExitStack() as stack:
        raws = [await stack.enter_async_context(raw_client(server.url)) for _ in range(at_once)]
        await until(lambda: len(tuple(server.peers)) == at_once)
        peer = await first_peer(server)
        async with anyio.create_task_group() as group:
            for raw in raws:
                group.start_soon(raw.send, burst(peer, is_call=False, count=each))
            while len(notes.got) < at_once * each:
                before = len(notes.got)
                await turn()
                most = max(most, len(notes.got) - before)
        assert sorted(notes.got) == sorted(list(range(each)) * at_once)
        # With a whole slice for each of them they were 500. The first of them don't know yet that others come.
        assert most < 300
        await until(lambda: not busy(peer))


async def test_what_came_first_is_run_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests that run in place use up one slice after the other: tasks that came before them don't wait for the last of them."""
    monkeypatch.setattr("duologue_adapters.time_slice.LENGTH", 0.01)
    notes, count = Notes(seconds=0.002), 50
    at: list[int] = []

    @notes.services.handler
    async def quick(msg: Quick) -> None:
        at.append(len(notes.got))

    async with serve(TCP, notes.services, wireformat="msgpack") as server, raw_client(server.url) as raw:
        peer = await first_peer(server)
        one = frame(noting.sid(Quick), 0, peer.wireformat.codec(Quick).encode(Quick()))
        await raw.send(count * one + burst(peer, is_call=False))
        await until(lambda: len(notes.got) == COUNT and len(at) == count)
        assert at[-1] < COUNT // 2
        await until(lambda: State(peer).is_idle and not busy(peer))
