"""The part of the suite for adapters that is about messages: they arrive whole, once, in order, in both directions."""

from __future__ import annotations

from functools import partial

from duologue import FrameTooLarge, Limits, Peer, WireFormat
from duologue_contrib.testing.adapter_services import Actor, Add, Back, Echo, Note, suite, until
from duologue_contrib.testing.adapter_stage import AdapterStage, all_of, bounded, expect
from duologue_contrib.testing.needed import pytest

_SIZES = (0, 1, 23, 24, 25, 1000, 4096, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 300_000)
"""Around those at which buffers, headers and packets tend to end."""


class CallTests(AdapterStage):
    """Calls and sends."""

    @bounded
    async def test_calls(self, wireformat: str | WireFormat) -> None:
        """Calls are answered, and each answer is that of its call, whatever its size, one by one and all at once."""
        async with self.connected(Actor(), wireformat=wireformat) as (client, _):
            await expect(client, Add(a=1, b=-2), -1)
            texts = [chr(ord("a") + number) * size for number, size in enumerate(_SIZES)]
            for text in texts:
                await expect(client, Echo(text=text), text)
            await all_of(partial(expect, client, Echo(text=text), text) for text in texts * 3)

    @bounded
    async def test_sends(self, wireformat: str | WireFormat) -> None:
        """One-way messages of all sizes arrive, each once, in the order in which they were sent, by themselves and many together."""
        there = Actor()
        async with self.connected(there, wireformat=wireformat) as (client, _):
            for number in range(10):
                await client.remote(suite).send(Note(number=number))
                await until(partial(_has_noted, there, number + 1))
            for number in range(10, 300):
                filler = "x" * (_SIZES[number % len(_SIZES)] // 10)
                await client.remote(suite).send(Note(number=number, filler=filler))
            await until(partial(_has_noted, there, 300))
        assert there.noted == list(range(300)), "not what was sent, or not in that order"

    @bounded
    async def test_both_ends_call(self, wireformat: str | WireFormat) -> None:
        """Both ends call each other at the same time, and call back while they handle a call."""
        async with self.connected(Actor(), Actor(), wireformat=wireformat) as peers:
            calls = [
                partial(expect, peer, kind(text=f"{number} " * 50), f"{number} " * 50)
                for number in range(50)
                for peer in peers
                for kind in (Echo, Back)
            ]
            await all_of(calls)

    @bounded
    async def test_a_frame_at_the_limit(self, wireformat: str | WireFormat) -> None:
        """A frame of exactly 1 MiB, the largest that there may be, arrives, in both directions."""
        async with self.connected(Actor(), Actor(), wireformat=wireformat) as peers:
            for peer in peers:
                message = _message_of(peer, Limits().max_frame)
                await expect(peer, message, message.text)

    @bounded
    async def test_a_frame_over_the_limit(self, wireformat: str | WireFormat) -> None:
        """A frame of one byte more is refused here, with both numbers, before anything is sent; the connection goes on."""
        there = Actor()
        async with self.connected(there, wireformat=wireformat) as (client, _):
            limit = Limits().max_frame
            message = _message_of(client, limit + 1)
            with pytest.raises(FrameTooLarge) as caught:
                await client.remote(suite).call(message)
            assert (caught.value.size, caught.value.limit) == (limit + 1, limit)
            with pytest.raises(FrameTooLarge):
                await client.remote(suite).send(Note(number=1, filler=message.text))
            await expect(client, Add(a=1, b=2), 3)
            assert there.noted == [], "what was refused has arrived"


def _has_noted(there: Actor, count: int) -> bool:
    return len(there.noted) >= count


def _message_of(peer: Peer, size: int) -> Echo:
    """A message whose frame has exactly this size in the wire format of the peer."""
    overhead = peer.wireformat.framing.overhead
    codec = peer.wireformat.codec(Echo)
    length = size - overhead - 100
    for _ in range(10):
        missing = size - overhead - len(codec.encode(Echo(text="x" * length)))
        if not missing:
            return Echo(text="x" * length)
        length += missing
    raise pytest.skip.Exception(f"{peer.wireformat.name} has no message whose frame is exactly {size} bytes")
