"""The part of the suite for adapters that is about more than either end can take at once."""

from __future__ import annotations

from collections import Counter
from functools import partial

from duologue import Limits, Peer, SendTimeout
from duologue_contrib.testing.adapter_services import Actor, Add, Echo, Hold, Note, suite, until
from duologue_contrib.testing.adapter_stage import AdapterStage, all_of, bounded, expect
from duologue_contrib.testing.needed import pytest

_PIECE = 64 * 1024
_PUSHED = 100
"""Pieces that each end pushes at the other: more than what fits into any buffer of ours."""

_NARROW = Limits(sends=2, sends_bytes=2 * _PIECE, outbox_high=2 * _PIECE, outbox_low=_PIECE)
"""So little that an end stops reading, or taking more to write, after a few pieces."""


class PressureTests(AdapterStage):
    """Budgets and backpressure: nothing grows, nothing is lost, and nobody waits for ever."""

    @bounded
    async def test_more_calls_than_the_budget(self) -> None:
        """Fifty calls at a budget of five: five run at once, and all are answered."""
        there = Actor()
        async with self.connected(there, limits=Limits(calls=5)) as (client, _):
            names = [str(number) for number in range(50)]

            async def release() -> None:
                await until(lambda: there.running == 5)
                there.release.set()

            await all_of([release, *(partial(expect, client, Hold(name=name), name) for name in names)])
        assert there.most == 5, f"{there.most} ran at once"
        assert Counter(there.ended) == Counter(names), "not each call has run once"

    @bounded
    async def test_a_slow_reader(self) -> None:
        """To a reader that has stopped a bounded amount is sent, then senders wait; when it goes on all of it arrives, in order."""
        there = Actor()
        there.reads = type(there.reads)()
        async with self.connected(there, limits=_NARROW) as (client, _):
            sent = await self._fill(client)
            assert there.noted == [], "it was to have stopped"
            there.reads.set()
            for number in range(sent, sent + 10):
                await client.remote(suite).send(Note(number=number, filler="x" * _PIECE))
            await until(lambda: len(there.noted) >= sent + 10)
            await expect(client, Add(a=1, b=2), 3)
        assert there.noted == list(range(sent + 10)), "not what was sent, or not in that order"
        assert there.noted_bytes == (sent + 10) * _PIECE, "not whole"

    async def _fill(self, client: Peer) -> int:
        """Send until the next one would have to wait. Gives how many were taken."""
        filler, sent = "x" * _PIECE, 0
        while True:
            try:
                await client.remote(suite).send(Note(number=sent, filler=filler), timeout=0.5)
            except SendTimeout:
                return sent
            sent += 1
            if sent * _PIECE > self.in_flight:
                pytest.fail(
                    f"{sent * _PIECE} bytes were taken for a reader that has stopped: nothing makes the sender wait"
                )

    @bounded
    async def test_both_ends_push(self) -> None:
        """Both ends send megabytes at each other, more than all buffers hold: neither waits for the other, and all arrives."""
        here, there = Actor(), Actor()
        async with self.connected(there, here, limits=_NARROW) as peers:

            async def push(peer: Peer) -> None:
                for number in range(_PUSHED):
                    await peer.remote(suite).send(Note(number=number, filler="x" * _PIECE))

            await all_of(partial(push, peer) for peer in peers)
            await until(lambda: len(here.noted) >= _PUSHED and len(there.noted) >= _PUSHED)
        for end in (here, there):
            assert end.noted == list(range(_PUSHED)), "not what was sent, or not in that order"
            assert end.noted_bytes == _PUSHED * _PIECE, "not whole"

    @bounded
    async def test_large_answers_both_ways(self) -> None:
        """Calls and answers of nearly a megabyte, several in each direction at once: both ends write and read at the same time."""
        text = "x" * 900_000
        async with self.connected(Actor(), Actor()) as peers:
            await all_of(partial(expect, peer, Echo(text=text), text) for peer in peers * 5)
