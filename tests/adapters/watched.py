"""Ends of connections in a process of their own, which says what comes of them: `python -m tests.adapters.watched PLAN`.

It prints, as JSON, a scheme and `serving` with its URL, or `open`; and `closed` with the reason for each connection that ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from tempfile import TemporaryFile
from typing import Any

import anyio
import anyio.to_thread
from tests.adapters.common import ROOT, Tools, environment

from duologue import Peer, connect, serve


def say(*words: str) -> None:
    print(json.dumps(words), flush=True)


async def run(kind: str, scheme: str, url: str, options: dict[str, Any]) -> None:
    there = Tools()

    async def watch(peer: Peer) -> None:
        say(scheme, "closed", (await peer.wait_closed()).name)

    if kind == "serve":
        async with serve(url, there.services, wireformat="msgpack", on_peer=watch, **options) as server:
            say(scheme, "serving", server.url)
            await server.wait_closed()
    else:
        async with connect(url, there.services, wireformat="msgpack", **options) as peer:
            say(scheme, "open", url)
            await watch(peer)


async def main(plan: list[Any]) -> None:
    async with anyio.create_task_group() as group:
        for each in plan:
            group.start_soon(run, *each)


class Watched:
    """Such a process, seen from the one that has started it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    async def told(self, schemes: list[str], what: str) -> dict[str, str]:
        """What it says next of each scheme: it is of that kind, and in any order."""
        found: dict[str, str] = {}
        assert self.process.stdout is not None
        while set(found) != set(schemes):
            line = await anyio.to_thread.run_sync(self.process.stdout.readline, abandon_on_cancel=True)
            scheme, kind, value = json.loads(line)
            assert kind == what, line
            assert scheme not in found, line
            found[scheme] = value
        return found


@asynccontextmanager
async def watched(backend: Any, plan: list[Any]) -> AsyncIterator[Watched]:
    """A process with an end for each that the plan names: kind, scheme, URL, options. It must have no complaint to its end."""
    with (
        TemporaryFile("w+") as errors,
        _started(json.dumps([backend, plan], default=os.fspath), errors) as process,
    ):
        try:
            yield Watched(process)
        finally:
            process.kill()
            process.wait()
            errors.seek(0)
            complaints = errors.read()
        assert complaints == ""


def _started(plan: str, errors: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.adapters.watched", plan],
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        env=environment(),
        cwd=ROOT,
    )


if __name__ == "__main__":
    (_name, _options), _plan = json.loads(sys.argv[1])
    anyio.run(main, _plan, backend=_name, backend_options=_options)
