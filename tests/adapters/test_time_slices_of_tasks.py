"""Handlers that have a task of their own, since they were seen to wait: they take turns like those that never do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Container
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.adapters.common import RawRemote, State, collect, first_peer, frame, raw_client, turn, until
from tests.adapters.notes import COUNT, Note, Notes, burst, busy, engine_slices, noting
from tests.adapters.relays import TCP

from duologue import Context, Peer, Server, serve

FIRST = COUNT


class Waiting(Notes):
    """Its handler waits for the first request, and for all those whose numbers are told."""

    def __init__(self) -> None:
        super().__init__(inline=False)
        self.waits: Container[int] = (FIRST,)

    async def note_in_task(self, msg: Note, ctx: Context) -> int:
        if msg.number in self.waits:
            await turn(10)  # enough for that to be seen, on each loop
        return self.note(msg, ctx)

    @asynccontextmanager
    async def known_to_wait(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[tuple[Server, Peer, RawRemote]]:
        """A server, its peer and the remote. The handler was seen to wait, and from now on a slice is over at once."""
        async with serve(TCP, self.services, wireformat="msgpack") as server, raw_client(server.url) as raw:
            peer = await first_peer(server)
            payload = peer.wireformat.codec(Note).encode(Note(FIRST))
            await raw.send(frame(noting.sid(Note), COUNT + 1, payload))
            await raw.frame()
            assert self.got == [FIRST]
            self.got.clear()
            monkeypatch.setattr(engine_slices(peer), "length", 0.0)
            yield server, peer, raw


@pytest.mark.fault(48)
@pytest.mark.parametrize("is_call", [False, True])
async def test_who_has_waited_before_takes_turns_too(is_call: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that was seen to wait need not wait the next time: others have their turn all the same, and nothing is lost."""
    notes, seen = Waiting(), set[int]()
    async with notes.known_to_wait(monkeypatch) as (_server, peer, raw):

        async def look() -> None:
            while len(notes.got) < COUNT:
                seen.add(len(notes.got))
                await turn()

        async with anyio.create_task_group() as group:
            group.start_soon(look)
            await raw.send(burst(peer, is_call=is_call))
        assert sorted(notes.got) == list(range(COUNT))
        assert len(seen) > COUNT // 4
        if is_call:
            assert {(await raw.frame())[1] for _ in range(COUNT)} == set(range(1, COUNT + 1))
        await until(lambda: State(peer).is_idle and not busy(peer))


@pytest.mark.parametrize("is_call", [False, True])
async def test_who_waits_again_when_time_is_over(is_call: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some of those that are left wait once more: each is run once, and answered."""
    notes = Waiting()
    async with notes.known_to_wait(monkeypatch) as (_server, peer, raw):
        notes.waits = range(0, COUNT, 3)
        await raw.send(burst(peer, is_call=is_call))
        if is_call:
            assert {(await raw.frame())[1] for _ in range(COUNT)} == set(range(1, COUNT + 1))
        await until(lambda: len(notes.got) >= COUNT and State(peer).is_idle and not busy(peer))
        assert sorted(notes.got) == list(range(COUNT))


@pytest.mark.parametrize("is_call", [False, True])
async def test_a_cut_with_some_left_that_wait(is_call: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for handlers that were seen to wait: none is run after the end, and nothing is held for any."""
    notes = Waiting()
    async with notes.known_to_wait(monkeypatch) as (server, peer, raw):
        notes.aborts_at = COUNT // 4
        await raw.send(burst(peer, is_call=is_call))
        await peer.wait_closed()
        count = len(notes.got)
        await until(lambda: State(peer).is_idle and not tuple(server.peers))
        await turn(10)
        assert len(notes.got) == count < COUNT
        assert not busy(peer)
    collect()
