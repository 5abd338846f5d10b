"""A server in a process of its own whose handlers never end: it prints its URL, then a line for each that began."""

from __future__ import annotations

import sys

import anyio
from tests.adapters.common import Hold, Tools

from duologue import Limits, serve


class _Counting(Tools):
    async def hold(self, msg: Hold) -> str:  # type: ignore[override]
        await anyio.sleep_forever()
        return msg.name


async def main() -> None:
    tools = _Counting()
    limits = Limits(calls=2000, parked=2000)
    url = sys.argv[2] if len(sys.argv) > 2 else "tcp://127.0.0.1:0"
    async with serve(url, tools.services, wireformat="msgpack", limits=limits) as server:
        print(server.url, flush=True)
        await server.wait_closed()


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
