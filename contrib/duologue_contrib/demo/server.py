"""The demo's second process: `python -m duologue_contrib.demo.server asyncio`.

It writes one line to stdout, a JSON map of wire formats to URLs, and serves until its stdin ends. The other end of that
pipe is in the process that started it, and ends with that process, however it ends.
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import AsyncExitStack

import anyio

from duologue import CallBudget, PluginError, serve
from duologue_contrib.demo.services import Counts, server_services

WIREFORMATS = ("cbor", "msgpack", "json")
"""All that come with the library."""

ANYWHERE = "tcp://127.0.0.1:0"

SHARED = "shared"
"""Instead of a wire format: the server whose connections, in json, share one budget."""

BUDGET = 100
"""Calls that run at once. It is the default for each connection, too."""


async def main() -> None:
    """Serve in each wire format that is installed, until stdin ends."""
    counts = Counts()
    logger = logging.getLogger("duologue")
    logger.addHandler(counts)
    logger.propagate = False
    services = server_services(counts)
    urls: dict[str, str] = {}
    async with AsyncExitStack() as stack:
        for wireformat in WIREFORMATS:
            try:
                server = await stack.enter_async_context(serve(ANYWHERE, services, wireformat=wireformat))
            except PluginError:
                continue  # an extra is missing: the client finds out by itself, and says so
            urls[wireformat] = server.url
        shared = serve(ANYWHERE, services, wireformat="json", budget=CallBudget(BUDGET))
        urls[SHARED] = (await stack.enter_async_context(shared)).url
        sys.stdout.write(json.dumps(urls) + "\n")
        sys.stdout.flush()
        # Nobody writes there, so it is readable when it has ended.
        await anyio.wait_readable(sys.stdin.fileno())


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
