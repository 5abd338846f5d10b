"""A client to whom something is done: `python -m tests.torture.visitor PLAN`, with the engine, a URL and options.

It makes ten calls that are never answered, and says `open`; for each line of its input it makes one that is, and says `answered`; and
when its connection has ended it says why, and ends.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import anyio
import anyio.to_thread
from tests.torture.messages import Add, Hold, tools

from duologue import CallError, Peer, connect


async def main(url: str, options: dict[str, Any]) -> None:
    async with connect(url, wireformat="msgpack", **options) as peer, anyio.create_task_group() as group:
        assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
        for _ in range(10):
            group.start_soon(_hold, peer)
        group.start_soon(_answer, peer)
        print("open", flush=True)
        reason = await peer.wait_closed()
        print(reason.name, flush=True)
        group.cancel_scope.cancel()
    os._exit(0)  # a thread still waits for input


async def _hold(peer: Peer) -> None:
    try:
        await peer.remote(tools).call(Hold(), timeout=None)
    except CallError:
        pass  # that is why this process is here


async def _answer(peer: Peer) -> None:
    while await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
        assert await peer.remote(tools).call(Add(a=1, b=2), timeout=60) == 3
        print("answered", flush=True)


if __name__ == "__main__":
    (_name, _backend), _url, _options = json.loads(sys.argv[1])
    anyio.run(main, _url, _options, backend=_name, backend_options=_backend)
