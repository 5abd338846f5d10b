"""A client in a process of its own: it says one thing, and ends."""

from __future__ import annotations

import sys

import anyio
from tests.adapters.common import Say, tools

from duologue import connect


async def main() -> None:
    async with connect(sys.argv[2], wireformat="json") as peer:
        await peer.remote(tools).call(Say(text="last"))


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
