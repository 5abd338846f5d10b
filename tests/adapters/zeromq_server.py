"""A server in a process of its own, to be killed: it prints its URL."""

from __future__ import annotations

import sys

import anyio
from tests.adapters.common import Tools

from duologue import serve


async def main() -> None:
    tools = Tools()
    async with serve("zmq+tcp://127.0.0.1:0", tools.services, wireformat="json") as server:
        print(server.url, flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
