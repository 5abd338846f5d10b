"""A client in a process of its own: it makes more calls than will be answered, and waits."""

from __future__ import annotations

import sys

import anyio
from tests.adapters.common import Hold, tools

from duologue import connect


async def main() -> None:
    async with connect(sys.argv[2], wireformat="msgpack") as peer, anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(peer.remote(tools).call, Hold(name=str(number)))


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
