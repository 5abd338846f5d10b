"""The part of the suite for adapters that is about connecting: again, to nobody, cancelled meanwhile, a thousand times."""

from __future__ import annotations

import gc
import os
import re
import threading
from typing import Any

import anyio
import anyio.lowlevel

from duologue import (
    CloseReason,
    ConnectFailed,
    ConnectionClosed,
    ConnectionLost,
    Limits,
    Peer,
    connect,
    serve,
)
from duologue_contrib.testing.adapter_services import Actor, Add, until
from duologue_contrib.testing.adapter_stage import AdapterStage, bounded, expect, hold_until
from duologue_contrib.testing.needed import pytest

_IMPATIENT = Limits(handshake_timeout=1.0)
"""For transports that can't tell nobody from somebody who takes his time."""

_AT_ONCE = 10

_POOLED = re.compile(r"(?i)worker|^trio thread| from |^asyncio_")
"""Threads that event loops keep for later, by their names: nobody's in particular, so they are not counted."""


class LifeTests(AdapterStage):
    """What comes before a connection, and what is left after it."""

    @bounded
    async def test_reconnected_as_a_new_peer(self) -> None:
        """Who comes again is somebody new: the old peer is closed, and its calls find no way into the new connection."""
        there, arrived, failed = Actor(), list[Peer](), list[Exception]()
        async with self.served(there, on_peer=arrived.append) as server:
            peers: list[Peer] = []
            for _ in range(3):
                async with anyio.create_task_group() as group, self.connecting(server.url) as client:
                    peers.append(client)
                    await expect(client, Add(a=1, b=2), 3)
                    group.start_soon(hold_until, client, (ConnectionClosed, ConnectionLost), failed)
                    await until(lambda: there.running == 1)
                await until(lambda: there.running == 0)
            assert len(failed) == 3
            assert len({id(peer) for peer in arrived}) == 3
            for peer in peers + arrived:
                assert not peer.is_open
                await peer.wait_closed()
            await until(lambda: not tuple(server.peers))

    @bounded
    async def test_several_at_once(self) -> None:
        """The peers of a server are apart: each gets its own answers, and the end of one is not that of another."""
        async with self.served(Actor()) as server:
            async with self.connecting(server.url) as one:
                async with self.connecting(server.url) as two, self.connecting(server.url) as three:
                    for number, peer in enumerate((one, two, three)):
                        await expect(peer, Add(a=number, b=1), number + 1)
                    assert len(tuple(server.peers)) == 3
                    await two.close()
                    await expect(three, Add(a=3, b=1), 4)
                await until(lambda: len(tuple(server.peers)) == 1)
                await expect(one, Add(a=4, b=1), 5)

    @bounded
    async def test_nobody_there(self) -> None:
        """To connect where nobody serves is a `ConnectFailed` with the URL, soon."""
        async with self.served() as server:
            url = server.url
        with pytest.raises(ConnectFailed) as caught:
            async with self.connecting(url, limits=_IMPATIENT):
                pytest.fail("somebody serves there")
        assert caught.value.url == url

    @bounded
    async def test_an_address_that_is_taken(self) -> None:
        """To serve where somebody else does is a `ConnectFailed`, and the one who was there first goes on."""
        async with self.served(Actor()) as server:
            with pytest.raises(ConnectFailed):
                async with self.served(url=server.url):
                    pytest.fail("two serve at one address")
            async with self.connecting(server.url) as client:
                await expect(client, Add(a=1, b=2), 3)

    @bounded
    async def test_unknown_options(self) -> None:
        """A keyword that the adapter does not know is a `TypeError` that names it, whether it serves or connects."""
        options: dict[str, Any] = {"no_such_option": 1}
        async with self.served() as server:
            options |= self.connect_options
            with pytest.raises(TypeError, match="no_such_option"):
                async with connect(server.url, wireformat=self.wireformats[0], **options):
                    pytest.fail("it connects")
            assert not tuple(server.peers)
        options = {"no_such_option": 1, **self.serve_options}
        with pytest.raises(TypeError, match="no_such_option"):
            async with serve(self.listen_url(), wireformat=self.wireformats[0], **options):
                pytest.fail("it serves")

    @bounded
    async def test_cancelled_while_connecting(self) -> None:
        """Cancelled before, during and after connecting, at any await of it: nothing is left, and the next one gets in."""
        async with self.served(Actor()) as server:
            for passes in range(30):
                async with anyio.create_task_group() as group:

                    async def block() -> None:
                        async with self.connecting(server.url) as peer:
                            await peer.wait_closed()

                    group.start_soon(block)
                    for _ in range(passes):
                        await anyio.lowlevel.checkpoint()
                    group.cancel_scope.cancel()
            await until(lambda: not tuple(server.peers))
            async with self.connecting(server.url) as client:
                await expect(client, Add(a=1, b=2), 3)

    @bounded
    async def test_a_server_that_is_cancelled(self) -> None:
        """A server's block is cancelled: its clients are cut off, and its address can be served again at once."""
        url = self.listen_url()

        async def block(task_status: anyio.abc.TaskStatus[str] = anyio.TASK_STATUS_IGNORED) -> None:
            async with self.served(Actor(), url=url) as server:
                task_status.started(server.url)
                await anyio.sleep_forever()

        for _ in range(3):
            async with anyio.create_task_group() as group:
                url = await group.start(block)
                with anyio.CancelScope(shield=True):
                    async with self.connecting(url) as client:
                        await expect(client, Add(a=1, b=2), 3)
                        group.cancel_scope.cancel()
                        assert await client.wait_closed() is not CloseReason.CLOSED_LOCALLY

    @bounded
    async def test_many_connections(self) -> None:
        """A thousand connections opened and closed, some in an orderly way and some not: no task, descriptor, thread or peer is left."""
        async with self.served(Actor()) as server:

            async def once(number: int) -> None:
                with anyio.CancelScope() as scope:
                    async with self.connecting(server.url) as client:
                        await expect(client, Add(a=number, b=1), number + 1)
                        if number % 10 == 0:
                            scope.cancel()
                            await anyio.lowlevel.checkpoint()

            async def many(count: int) -> None:
                for start in range(0, count, _AT_ONCE):
                    async with anyio.create_task_group() as group:
                        for number in range(start, min(start + _AT_ONCE, count)):
                            group.start_soon(once, number)
                await until(lambda: not tuple(server.peers))

            await once(1)  # what is made once and kept is made now
            idle = _Held()
            await many(2 * _AT_ONCE)
            # A last word may have a second or so to leave, and holds its peer meanwhile.
            with anyio.move_on_after(min(5.0, self.patience / 4)):
                await until(lambda: _Held().is_at_most(idle))
            before = _Held()
            await many(self.connections)
            with anyio.move_on_after(min(10.0, self.patience / 4)):
                await until(lambda: _Held().is_at_most(before))
            after = _Held()
            assert after.is_at_most(before), f"before {before}, and after {self.connections} more: {after}"


class _Held:
    """What a process holds."""

    def __init__(self) -> None:
        gc.collect()
        self.tasks = len(anyio.get_running_tasks())
        self.descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
        self.threads = sum(not _POOLED.search(each.name) for each in threading.enumerate())
        self.peers = sum(isinstance(each, Peer) for each in gc.get_objects())

    def is_at_most(self, other: _Held) -> bool:
        return all(value <= vars(other)[name] for name, value in vars(self).items())

    def __repr__(self) -> str:
        return ", ".join(f"{value} {name}" for name, value in vars(self).items())
