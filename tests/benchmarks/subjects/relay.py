"""duologue in the middle: what a call costs a process that lets another one answer it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from benchmarks.cases import PROCESSOR_CASES
from benchmarks.runtimes import Runtime
from benchmarks.subjects.base import HOST, Subject
from benchmarks.subjects.messages import bench
from benchmarks.subjects.ours import Duologue
from duologue import RelayMap, connect, serve

_LIFE = 300
"""Seconds after which the provider ends, whatever else has failed."""


class Relay(Duologue):
    """A server that passes everything on to another process of its own."""

    async def serve(self, ready: Callable[[str], None]) -> None:
        provider, address = _started_provider(self._wireformat)
        with provider:
            async with (
                connect(address, wireformat=self._wireformat, name="provider") as target,
                serve(f"tcp://{HOST}:0", RelayMap(target, bench), wireformat=self._wireformat) as server,
            ):
                ready(server.url)
                await server.wait_closed()


def _started_provider(wireformat: str) -> tuple[subprocess.Popen[bytes], str]:
    """The process that answers, and its address. Its input ends with this process, and it ends with its input."""
    command = [sys.executable, "-m", "benchmarks.child", "server", "duologue", "--ends-with-input"]
    command += [f"--wireformat={wireformat}", f"--life={_LIFE}"]
    provider = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert provider.stdout is not None
    return provider, json.loads(provider.stdout.readline())["address"]


def make(runtime: Runtime, wireformat: str) -> Subject:
    """The subject, in the wire format that the run asks for."""
    relay = Relay(runtime, wireformat, "tcp")
    relay.cases = frozenset({"one", "c64"}) | PROCESSOR_CASES
    return relay
