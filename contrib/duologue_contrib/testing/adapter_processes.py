"""The part of the suite for adapters that needs a second process, which is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.to_thread

from duologue import CloseReason, ConnectionLost, Executed, Peer
from duologue_contrib.testing.adapter_services import Actor, Add, suite, until
from duologue_contrib.testing.adapter_stage import AdapterStage, bounded, expect, hold_until
from duologue_contrib.testing.needed import pytest

_CALLS = 20


class ProcessTests(AdapterStage):
    """`kill -9`: the other process can neither say goodbye nor clean up. Skipped where both ends are always in one process."""

    def child_command(self, role: str, url: str, options: Mapping[str, Any], engine: str) -> list[str]:
        """The command of a process that serves at `url`, or connects there: `role` is "serve" or "connect".

        This one is for adapters that are installed as plug-ins, with options that JSON can carry (paths too). For others, have
        a program of your own call `duologue_contrib.testing.play_child`, which says what such a process does.
        """
        wireformat = self.wireformats[0]
        plan = {
            "role": role,
            "url": url,
            "options": dict(options),
            "engine": engine,
            "wireformat": wireformat if isinstance(wireformat, str) else wireformat.name,
        }
        return [
            sys.executable,
            "-m",
            "duologue_contrib.testing.adapter_child",
            json.dumps(plan, default=os.fspath),
        ]

    @asynccontextmanager
    async def _child(
        self, role: str, url: str, options: Mapping[str, Any], engine: str
    ) -> AsyncGenerator[tuple[subprocess.Popen[str], str]]:
        """Another process, and the first line that it writes: for a server, its URL."""
        if self.is_in_process:
            pytest.skip("both ends are always in one process")
        with self._started(role, url, options, engine) as process:
            try:
                assert process.stdout is not None
                line = await anyio.to_thread.run_sync(process.stdout.readline, abandon_on_cancel=True)
                if not line:
                    pytest.fail(f"the other process ended before it was ready to {role}")
                yield process, line.strip()
            finally:
                process.kill()

    def _started(self, role: str, url: str, options: Mapping[str, Any], engine: str) -> subprocess.Popen[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("COV")}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        # It ends when its stdin does, so with this process, however that ends.
        command = self.child_command(role, url, options, engine)
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    @bounded
    async def test_a_server_is_killed(self, anyio_backend: tuple[str, Any]) -> None:
        """The server's process is killed under calls that wait: each ends at once, and may have run. Its address can be served again."""
        engine = anyio_backend[0]
        async with self._child("serve", self.listen_url(), self.serve_options, engine) as (process, url):
            async with self.connecting(url) as client:
                await expect(client, Add(a=1, b=2), 3)
                failed: list[Exception] = []
                async with anyio.create_task_group() as group:
                    for _ in range(_CALLS):
                        group.start_soon(hold_until, client, ConnectionLost, failed)
                    # When the second of these is answered, all that was called before it has arrived there.
                    await expect(client, Add(a=2, b=2), 4)
                    await expect(client, Add(a=3, b=2), 5)
                    process.kill()
                executed = {error.executed for error in failed if isinstance(error, ConnectionLost)}
                assert (len(failed), executed) == (_CALLS, {Executed.UNKNOWN})
                reason = await client.wait_closed()
                assert reason is not CloseReason.CLOSED_LOCALLY
        async with self._child("serve", url, self.serve_options, engine) as (_, again):
            async with self.connecting(again) as client:
                await expect(client, Add(a=1, b=2), 3)

    @bounded
    async def test_a_client_is_killed(self, anyio_backend: tuple[str, Any]) -> None:
        """The client's process is killed while its call is handled: the handler is cancelled, the peer is gone, others are served."""
        there, arrived = Actor(), list[Peer]()
        async with self.served(there, on_peer=arrived.append) as server:
            async with self._child("connect", server.url, self.connect_options, anyio_backend[0]) as (
                process,
                _,
            ):
                await until(lambda: there.running == 1)
                process.kill()
                await until(lambda: len(there.cancelled) == 1)
                assert await arrived[0].wait_closed() is not CloseReason.CLOSED_LOCALLY
            await until(lambda: not tuple(server.peers))
            async with self.connecting(server.url) as client:
                await client.remote(suite).call(Add(a=1, b=2))
