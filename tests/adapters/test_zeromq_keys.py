"""Who may connect over ZeroMQ: CURVE keys, and where it may go without them."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import zmq
from tests.adapters.common import Add, Tools, first_peer, threads_now, tools
from zmq.utils import z85

from duologue import ConnectFailed, HandshakeTimeout, Limits, connect, serve
from duologue_adapters.zeromq import keys

SERVER, CLIENT, OTHER = (tuple(key.decode() for key in zmq.curve_keypair()) for _ in range(3))
"""Public and secret keys."""
SERVED: dict[str, Any] = {"public_key": SERVER[0], "secret_key": SERVER[1], "authorized_keys": [CLIENT[0]]}
CLIENT_KEYS = {"server_key": SERVER[0], "public_key": CLIENT[0], "secret_key": CLIENT[1]}
OTHER_KEYS = CLIENT_KEYS | {"public_key": OTHER[0], "secret_key": OTHER[1]}
SOON = Limits(handshake_timeout=0.3)


@pytest.mark.fault(73)
async def test_a_client_with_a_key() -> None:
    """It comes in, and the server knows who it is: the key is in the peer's info."""
    there = Tools()
    async with serve("zmq+tcp://127.0.0.1:0", there.services, wireformat="json", **SERVED) as server:
        async with connect(server.url, wireformat="json", **CLIENT_KEYS) as peer:
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
            assert (await first_peer(server)).info.extra == {"public_key": CLIENT[0]}
            assert peer.info.extra == {"public_key": SERVER[0]}
    assert "duologue zap" not in {each.name for each in threads_now()}


@pytest.mark.fault(73)
@pytest.mark.parametrize(
    "options",
    [{}, CLIENT_KEYS | {"server_key": OTHER[0]}],
    ids=["no key", "another server expected"],
)
async def test_clients_that_may_not_come_in(options: dict[str, Any]) -> None:
    """They don't get as far as a connection, and the one that may is served meanwhile."""
    there = Tools()
    async with serve("zmq+tcp://127.0.0.1:0", there.services, wireformat="json", **SERVED) as server:
        with pytest.raises(HandshakeTimeout):
            async with connect(server.url, wireformat="json", limits=SOON, **options):
                raise AssertionError
        assert not tuple(server.peers)
        async with connect(server.url, wireformat="json", **CLIENT_KEYS) as peer:
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3


@pytest.mark.fault(73)
async def test_a_key_that_is_not_authorized() -> None:
    """The server says so, and the client need not wait until it is timed out, nor try again: the same key is refused again."""
    async with serve("zmq+tcp://127.0.0.1:0", Tools().services, wireformat="json", **SERVED) as server:
        with pytest.raises(ConnectFailed, match="does not authorize this end's key") as caught:
            async with connect(server.url, wireformat="json", **OTHER_KEYS):
                raise AssertionError
        assert caught.value.is_permanent
        assert not isinstance(caught.value, HandshakeTimeout)
        assert not tuple(server.peers)
        async with connect(server.url, wireformat="json", **CLIENT_KEYS) as peer:
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3


@pytest.mark.fault(73)
@pytest.mark.parametrize("insecure", ["no", 0, 1, None])
async def test_insecure_is_true_or_false(insecure: Any) -> None:
    """A text such as "no" is true for Python: it must not open a port."""
    for made in (connect, serve):
        with pytest.raises(TypeError, match=f"insecure={insecure!r}: give True or False"):
            async with made("zmq+tcp://0.0.0.0:7000", wireformat="json", insecure=insecure):
                raise AssertionError


@pytest.mark.fault(73)
async def test_a_server_without_keys() -> None:
    """A client that insists on a server's key does not talk to one that has none."""
    async with serve("zmq+tcp://127.0.0.1:0", wireformat="json") as server:
        with pytest.raises(HandshakeTimeout):
            async with connect(server.url, wireformat="json", limits=SOON, **CLIENT_KEYS):
                raise AssertionError


@pytest.mark.fault(73)
async def test_two_servers_with_keys() -> None:
    """Each lets in its own clients, and none of the other's, as long as it is there."""
    theirs = SERVED | {"authorized_keys": [OTHER[0].encode()]}
    async with serve("zmq+tcp://127.0.0.1:0", wireformat="json", **SERVED) as one:
        async with serve("zmq+tcp://127.0.0.1:0", wireformat="json", **theirs) as other:
            async with connect(other.url, wireformat="json", **OTHER_KEYS):
                pass
            with pytest.raises(ConnectFailed, match="does not authorize"):
                async with connect(one.url, wireformat="json", **OTHER_KEYS):
                    raise AssertionError
        async with connect(one.url, wireformat="json", **CLIENT_KEYS):
            pass


@pytest.mark.fault(73)
@pytest.mark.parametrize("missing", ["secret_key", "public_key", "authorized_keys"])
async def test_half_of_a_servers_keys(missing: str) -> None:
    """Half a configuration must not pass for security."""
    for options in ({k: v for k, v in SERVED.items() if k != missing}, SERVED | {missing: ""}):
        with pytest.raises(TypeError, match=f"{missing} missing"):
            async with serve("zmq+tcp://127.0.0.1:0", wireformat="json", **options):
                raise AssertionError


@pytest.mark.fault(73)
@pytest.mark.parametrize("missing", ["secret_key", "public_key", "server_key"])
async def test_half_of_a_clients_keys(missing: str) -> None:
    """The same for clients."""
    for options in ({k: v for k, v in CLIENT_KEYS.items() if k != missing}, CLIENT_KEYS | {missing: None}):
        with pytest.raises(TypeError, match=f"{missing} missing"):
            async with connect("zmq+tcp://127.0.0.1:1", wireformat="json", **options):
                raise AssertionError


@pytest.mark.parametrize("key", ["short", "x" * 41, "é" * 40, "~" * 40, 7, 3.5, [1] * 40])
def test_what_is_no_key(key: Any) -> None:
    """It is refused with its name, and is not repeated in the text: it may be a secret."""
    for name in ("secret_key", "public_key", "server_key"):
        with pytest.raises((ValueError, TypeError), match=name) as caught:
            keys.client_keys(CLIENT_KEYS | {name: key})
        assert str(key) not in str(caught.value)


def test_keys_that_do_not_belong_together() -> None:
    """A pair is a pair; and a list of keys is a list."""
    with pytest.raises(ValueError, match="not of one pair"):
        keys.client_keys(CLIENT_KEYS | {"public_key": OTHER[0]})
    with pytest.raises(TypeError, match="a list"):
        keys.server_keys(SERVED | {"authorized_keys": CLIENT[0]})
    for wrong in (7, [CLIENT[0], "x"]):
        with pytest.raises((ValueError, TypeError), match="authorized_keys"):
            keys.server_keys(SERVED | {"authorized_keys": wrong})
    assert z85.decode(CLIENT[0])


@pytest.mark.fault(73)
@pytest.mark.parametrize("host", ["0.0.0.0", "*", "192.0.2.1", "[2001:db8::1]", "[::]"])
async def test_no_keys_for_the_network(host: str) -> None:
    """What leaves the machine is refused without keys, at both ends, and the text says what to do."""
    with pytest.raises(ConnectFailed, match="insecure=True"):
        async with serve(f"zmq+tcp://{host}:0", wireformat="json"):
            raise AssertionError
    if host != "*":
        with pytest.raises(ConnectFailed, match="CURVE keys"):
            async with connect(f"zmq+tcp://{host}:7000", wireformat="json"):
                raise AssertionError


async def test_the_sixth_version() -> None:
    """IPv6, where there is any."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        pytest.skip("there is no IPv6 here")
    there = Tools()
    async with serve("zmq+tcp://[::1]:0", there.services, wireformat="json") as server:
        assert server.url.startswith("zmq+tcp://[::1]:")
        async with connect(server.url, wireformat="json") as peer:
            assert await peer.remote(tools).call(Add(a=1, b=2)) == 3
