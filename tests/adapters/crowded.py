"""Servers in a process of their own that runs out of file descriptors: `python -m tests.adapters.crowded PLAN`.

It prints the URLs when all servers are there, and only so many further descriptors can be had from then on.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import sys
import time
from contextlib import AsyncExitStack
from typing import Any

import anyio
from tests.adapters.common import Add

from duologue import Message, Namespace, Services, serve


class Usage(Message[tuple[float, int]]):
    """Seconds of the processor that the process has used, and lines that it has logged."""


crowd = Namespace("crowd", [Add, Usage])


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def emit(self, record: logging.LogRecord) -> None:
        assert "can't accept" in record.getMessage()
        self.count += 1


async def main(plan: list[Any], room: int) -> None:
    lines = Lines()
    logging.getLogger("duologue").addHandler(lines)
    services = Services(crowd)

    @services.handler
    async def add(msg: Add) -> int:
        return msg.a + msg.b

    @services.handler
    async def usage(msg: Usage) -> tuple[float, int]:
        return time.process_time(), lines.count

    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(serve(url, services, wireformat="msgpack", **options))
            for url, options in plan
        ]
        used = len(os.listdir("/proc/self/fd")) - 1
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (used + room, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
        )
        print(json.dumps([server.url for server in servers]), flush=True)
        await anyio.sleep_forever()


if __name__ == "__main__":
    (_name, _options), _plan, _room = json.loads(sys.argv[1])
    anyio.run(main, _plan, _room, backend=_name, backend_options=_options)
