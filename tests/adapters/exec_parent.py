"""A process that starts a child by the URL it is given, calls it, says so, and waits until it is killed."""

from __future__ import annotations

import sys

import anyio
from tests.adapters.common import Add, tools

from duologue import connect


async def main() -> None:
    async with connect(sys.argv[2], wireformat="msgpack") as peer:
        print(await peer.remote(tools).call(Add(a=1, b=2)), flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
