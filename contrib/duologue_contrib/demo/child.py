"""The same services at the other end of an `exec:` URL: `python -m duologue_contrib.demo.child asyncio`, on stdin and stdout."""

from __future__ import annotations

import sys

import anyio

from duologue import connect
from duologue_contrib.demo.server import quiet_counts
from duologue_contrib.demo.services import server_services


async def main() -> None:
    """Serve the one who has started this process, until it closes."""
    async with connect("stdio:", server_services(quiet_counts()), wireformat="json") as peer:
        await peer.wait_closed()


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
