"""Payloads of raw calls: bytes, or what can be copied into bytes."""

from __future__ import annotations

from array import array

import pytest

from duologue import Limits, PeerSettings, RemoteError
from duologue.plugins import find_wireformat
from duologue_adapters import pair


@pytest.mark.parametrize("payload", ["text", None, 5, [1, 2]], ids=["text", "none", "int", "list"])
async def test_what_is_not_bytes_is_refused_and_leaves_no_call_behind(
    anyio_backend: object, payload: object
) -> None:
    """A payload of another type is the caller's mistake: a `TypeError`, and nothing is pending after it."""
    settings = PeerSettings(wireformat=find_wireformat("json"), limits=Limits())
    async with pair(settings, settings) as (one, _):
        with pytest.raises(TypeError, match="payload is bytes"):
            await one.call_raw(5, payload)  # type: ignore[arg-type]
        assert "0 calls out" in repr(one)


async def test_a_view_of_wide_items_counts_its_bytes(anyio_backend: object) -> None:
    """A memoryview whose items are not bytes is copied: its frame says how many bytes it has, and the connection lives."""
    settings = PeerSettings(wireformat=find_wireformat("json"), limits=Limits())
    async with pair(settings, settings) as (one, _):
        for _attempt in range(2):
            with pytest.raises(RemoteError, match="UnknownService"):
                await one.call_raw(5, memoryview(array("I", [1, 2, 3])))  # type: ignore[arg-type]
