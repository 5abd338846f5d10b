"""Layers with a handshake: a client waits for it, a server runs many beside each other, and nothing of ours leaves before."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import ClassVar, cast

import anyio
import pytest
from tests.adapters.common import Add, Say, Tools, raw_client, raw_server, tools, turn, until
from tests.adapters.layers import (
    Masked,
    Messages,
    bare_links,
    client_layers,
    layered_client,
    layered_serving,
    now,
    open_link,
)

from duologue import CloseReason, ConnectFailed, HandshakeTimeout, Limits, Peer, Server
from duologue_adapters import LayerError
from duologue_adapters.engines import engine_here
from duologue_adapters.opening import connecting, open_layers
from duologue_adapters.server import DriverServer

QUICK = Limits(handshake_timeout=0.1)
MASK = bytes(byte ^ 1 for byte in range(256))
"""Of the lowest layer; the greeting lies right on it."""


class Rude(Messages):
    """Says something else in its greeting's place."""

    GREETING = b"GOOD EVENING"


class Named(Messages):
    """Knows who it talks to when it is open."""

    extra: ClassVar[Mapping[str, str]] = {"greeting": "HELLO"}


def handshakes(server: Server) -> int:
    """How many are under way."""
    return len(cast("DriverServer", server)._handshakes)


async def test_calls_through_opened_layers(url: str) -> None:
    """When `connect` has returned all three layers are open; calls pass in both directions."""
    here, there = Tools(), Tools()
    peers: list[Peer] = []
    async with (
        layered_serving(url, there.services, on_peer=peers.append) as server,
        layered_client(server.url, here.services) as client,
    ):
        await client.remote(tools).send(Say(text="hello"))
        await there.until(lambda: there.said == ["hello"])
        for peer in (client, peers[0]):
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3


async def test_what_comes_right_behind_the_handshake(url: str) -> None:
    """The server speaks first, at once: what comes before the client's peer is there waits for it, and is not lost."""
    here, there = Tools(), Tools()

    async def greet(peer: Peer) -> None:
        for number in range(20):
            await peer.remote(tools).send(Say(text=str(number)))

    async with layered_serving(url, there.services, on_peer=greet) as server:
        async with engine_here() as engine:
            link = await open_layers(engine, await open_link(engine, server.url), *client_layers(now()))
            await turn(20)
            link.abort()
        async with layered_client(server.url, here.services):
            await here.until(lambda: len(here.said) == 20)


async def test_an_end_right_behind_the_handshake(url: str) -> None:
    """The server has gone again before the client's peer is there: that is its end, and no failed connection."""
    async with layered_serving(url, None, on_peer=lambda peer: peer.close()) as server:
        async with layered_client(server.url) as client:
            assert await client.wait_closed() is CloseReason.CLOSED_BY_REMOTE


async def test_what_a_layer_knows_of_the_other_end(url: str) -> None:
    """A layer's `extra` is in the peer's `info`."""
    async with layered_serving(url, None) as server:
        layers = [lambda: Masked(1), lambda: Named(started=now()), lambda: Masked(2)]
        async with layered_client(server.url, None, Limits(), *layers) as client:
            assert client.info.extra == {"greeting": "HELLO"}


@pytest.mark.fault(65)
async def test_a_server_that_never_ends_its_handshake() -> None:
    """It says the first half of its greeting, and no more: `HandshakeTimeout`, and nothing of ours has left but ours."""
    async with raw_server() as (url, accept), anyio.create_task_group() as group:

        async def server() -> None:
            remote = await accept()
            await remote.send(b"HEL".translate(MASK))
            assert (await remote.read_to_end()).translate(MASK) == b"HELLO"

        group.start_soon(server)
        with pytest.raises(HandshakeTimeout) as caught:
            async with layered_client(url, None, QUICK):
                raise AssertionError
        assert (caught.value.url, caught.value.seconds) == (url, 0.1)


async def test_a_server_that_breaks_the_handshake() -> None:
    """`ConnectFailed`, with the layer's words and its error as the cause. Nothing left but the layer's own bytes."""
    async with raw_server() as (url, accept), anyio.create_task_group() as group:
        received: list[bytes] = []

        async def server() -> None:
            remote = await accept()
            await remote.send(b"GOOD EVENING".translate(MASK))
            received.append((await remote.read_to_end()).translate(MASK))
            remote.socket.close()

        group.start_soon(server)
        with pytest.raises(ConnectFailed, match="it does not greet") as caught:
            async with layered_client(url):
                raise AssertionError
        assert isinstance(caught.value.__cause__, LayerError)
        assert not isinstance(caught.value, HandshakeTimeout)
    assert received == [b"HELLOB\0\0\0\0"]


@pytest.mark.parametrize("how", ["end", "reset"])
async def test_a_server_that_hangs_up_in_the_handshake(how: str) -> None:
    """The end of the stream, and a reset, in the middle of the handshake: `ConnectFailed`."""
    async with raw_server() as (url, accept), anyio.create_task_group() as group:

        async def server() -> None:
            remote = await accept()
            await remote.send(b"HEL".translate(MASK))
            await remote.receive()
            if how == "end":
                remote.end_writing()
            else:
                remote.reset()

        group.start_soon(server)
        with pytest.raises(ConnectFailed, match=r"without a goodbye|lost during the handshake"):
            async with layered_client(url):
                raise AssertionError


async def test_connecting_is_cancelled(url: str) -> None:
    """Whoever waits for a handshake can be cancelled, and the link is cut."""
    async with engine_here() as engine, layered_serving(url, None) as server:
        link = await open_link(engine, server.url)
        silent = Messages(started=now())
        silent.data_to_send()
        with anyio.move_on_after(0.05) as scope:
            with connecting(url, 10):
                await open_layers(engine, link, lambda: Masked(1), lambda: silent)
        assert scope.cancelled_caught
        await until(lambda: handshakes(server) == 0)


async def test_a_layer_that_can_not_be_made(url: str) -> None:
    """The factory raises: that goes on as it is, and the link is cut."""

    def broken() -> Masked:
        raise ValueError("no such file")

    async with engine_here() as engine, layered_serving(url, None) as server:
        with pytest.raises(ValueError, match="no such file"):
            await open_layers(engine, await open_link(engine, server.url), broken)
        await until(lambda: handshakes(server) == 0)


@pytest.mark.fault(65)
async def test_slow_handshakes_hold_up_nobody(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Clients that greet slowly, wrongly or not at all: others are served meanwhile, and those are cut, without a word."""
    caplog.set_level(logging.INFO)
    there = Tools()
    limits = Limits(handshake_timeout=1.0)
    async with layered_serving(url, there.services, limits) as server, bare_links(server.url, 5):
        with pytest.raises(ConnectFailed):
            async with layered_client(server.url, None, Limits(), lambda: Masked(1), Rude):
                raise AssertionError
        async with layered_client(server.url) as client:
            assert await client.remote(tools).call(Add(a=1, b=2)) == 3
            assert len(tuple(server.peers)) == 1
            await until(lambda: handshakes(server) == 0)
            assert await client.remote(tools).call(Add(a=1, b=2)) == 3
    assert not caplog.records


@pytest.mark.fault(65)
async def test_a_handshake_byte_by_byte() -> None:
    """Each byte comes in time, all together do not: the time is for the whole handshake."""
    async with layered_serving("tcp", None, QUICK) as server, raw_client(server.url) as raw:
        with anyio.move_on_after(0.05):
            for byte in b"HELL":
                await raw.send(bytes([byte]).translate(MASK))
                await turn(5)
            await anyio.sleep_forever()
        try:
            assert await raw.read_to_end() == b""
        except ConnectionResetError:
            pass  # it was cut with some of ours unread
        assert not tuple(server.peers)


async def test_handshakes_count_as_connections(url: str) -> None:
    """Over `Limits.connections` nobody is accepted: a handshake takes a place until it is cut, or the peer ends."""
    there = Tools()
    limits = Limits(connections=2, handshake_timeout=0.6, discard_timeout=0.05)
    async with layered_serving(url, there.services, limits) as server:
        async with layered_client(server.url), bare_links(server.url):
            await until(lambda: handshakes(server) == 1)
            began = now()
            async with layered_client(server.url) as client:
                assert await client.remote(tools).call(Add(a=1, b=2)) == 3
                assert now() - began > 0.05


async def test_a_closing_server_cuts_handshakes(url: str) -> None:
    """They are nobody's yet, so nobody waits for them."""
    there = Tools()
    async with layered_serving(url, there.services) as server, bare_links(server.url, 3):
        await until(lambda: handshakes(server) == 3)
        with anyio.fail_after(5):
            await server.close()
        assert handshakes(server) == 0


async def test_a_layer_with_a_mistake_of_ours(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A listener's `open` that fails as it should not: logged, the link is cut, and the server serves on."""
    there = Tools()
    async with layered_serving(url, there.services) as server:
        listener = server._listener  # type: ignore[attr-defined]
        factories, listener._factories = listener._factories, (lambda: 1 / 0,)
        with pytest.raises(ConnectFailed):
            async with layered_client(server.url):
                raise AssertionError
        assert "failed here" in caplog.text
        listener._factories = factories
        async with layered_client(server.url) as client:
            assert await client.remote(tools).call(Add(a=1, b=2)) == 3
