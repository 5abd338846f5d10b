"""The other process of the suite for adapters: `python -m duologue_contrib.testing.adapter_child PLAN`, until its stdin ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any

import anyio
import anyio.to_thread

from duologue import connect, serve
from duologue_contrib.testing.adapter_services import Actor, Hold, suite


async def play_child(role: str, url: str, wireformat: Any, options: Mapping[str, Any]) -> None:
    """Serve at a URL, or connect there, until stdin ends: for programs that `AdapterSuite.child_command` names.

    One that serves (`role` is "serve") writes its URL in a line to stdout. One that connects calls a service
    whose handler never ends, and writes a line as soon as it is connected.
    """
    async with anyio.create_task_group() as group:
        group.start_soon(_play, role, url, wireformat, options)
        await anyio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        group.cancel_scope.cancel()


async def _play(role: str, url: str, wireformat: Any, options: Mapping[str, Any]) -> None:
    if role == "serve":
        async with serve(url, Actor().services, wireformat=wireformat, **options) as server:
            _say(server.url)
            await anyio.sleep_forever()
    else:
        async with connect(url, wireformat=wireformat, **options) as peer:
            _say("connected")
            await peer.remote(suite).call(Hold(name="of another process"), timeout=None)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _main() -> None:
    plan = json.loads(sys.argv[1])
    anyio.run(
        play_child, plan["role"], plan["url"], plan["wireformat"], plan["options"], backend=plan["engine"]
    )


if __name__ == "__main__":
    _main()
