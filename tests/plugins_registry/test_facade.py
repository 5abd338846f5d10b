"""`connect` and `serve`: from a URL and a name to the adapter, with everything else handed on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, cast

import pytest

from duologue import (
    Adapter,
    CallBudget,
    ConnectFailed,
    Limits,
    Message,
    Namespace,
    Peer,
    PeerSettings,
    Server,
    ServerSettings,
    ServiceIdError,
    ServiceMaps,
    Services,
    UnknownScheme,
    UnknownWireFormat,
    WireFormat,
    connect,
    plugins,
    serve,
)


class Ping(Message[None]):
    pass


tools = Namespace("tools", [Ping])


class Recorder(Adapter):
    """Gives back what it was given."""

    schemes = ("record",)

    def connect(self, url: str, settings: PeerSettings) -> AbstractAsyncContextManager[Peer]:
        return cast("Any", nullcontext((url, settings)))

    def serve(self, url: str, settings: ServerSettings) -> AbstractAsyncContextManager[Server]:
        return cast("Any", nullcontext((url, settings)))


class Silence(WireFormat):
    name = "silence"

    def codec(self, type_: Any) -> Any:
        raise NotImplementedError

    def encode_plain(self, value: Any) -> bytes:
        raise NotImplementedError

    def decode_plain(self, payload: bytes) -> Any:
        raise NotImplementedError


silence = Silence()


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    plugins.register_adapter("record", Recorder())
    plugins.register_wireformat(silence)
    yield
    plugins.unregister_adapter("record")
    plugins.unregister_wireformat("silence")


async def test_connect_hands_everything_on() -> None:
    services, budget, limits = Services(tools), CallBudget(3), Limits(calls=7)
    options: dict[str, Any] = {"limits": limits, "budget": budget, "name": "left", "colour": "red"}
    async with connect("record://there", services, wireformat="silence", **options) as given:
        url, settings = cast("tuple[str, PeerSettings]", given)
    assert url == "record://there"
    assert (settings.services, settings.wireformat, settings.limits) == (services, silence, limits)
    assert (settings.budget, settings.name, settings.options) == (budget, "left", {"colour": "red"})


async def test_serve_hands_everything_on() -> None:
    def services_of(peer: Peer) -> Services:
        raise NotImplementedError

    def greet(peer: Peer) -> None:
        raise NotImplementedError

    async with serve("record:x", services_of, wireformat=silence, on_peer=greet, backlog=5) as given:
        url, settings = cast("tuple[str, ServerSettings]", given)
    assert url == "record:x"
    assert (settings.services, settings.on_peer, settings.wireformat) == (services_of, greet, silence)
    assert (settings.limits, settings.budget, settings.name) == (Limits(), None, "")
    assert settings.options == {"backlog": 5}


async def test_what_is_not_given_is_by_default() -> None:
    async with connect("RECORD://there", wireformat="silence") as given:
        _, settings = cast("tuple[str, PeerSettings]", given)
    assert (settings.services, settings.limits, settings.options) == (None, Limits(), {})
    assert PeerSettings(wireformat=silence).options == {}


@pytest.mark.parametrize(
    "url", ["", "127.0.0.1:7000", "localhost:7000", "//there", "/run/socket", "7up://there", ":7000"]
)
def test_a_url_without_a_scheme(url: str) -> None:
    for go in (connect, serve):
        with pytest.raises(
            ValueError, match=r"is not a URL with a scheme: write, for example, tcp://127.0.0.1:7000"
        ):
            go(url, wireformat="silence")


def test_a_url_with_a_lone_surrogate() -> None:
    """A lone surrogate stands for nothing; but names of files need not be text, and these stand for bytes of such a name."""
    for go in (connect, serve):
        with pytest.raises(ValueError, match="a character that stands for nothing"):
            go("record://\ud800", wireformat="silence")
        with pytest.raises(AttributeError, match="before the block is entered"):
            go("record://\udc80", wireformat="silence").url  # type: ignore[union-attr]  # noqa: B018


def test_errors_of_connecting_can_be_printed_and_tell_no_password() -> None:
    error = ConnectFailed("ws://me:secret@there:7/\udc80", "not at ws://me:secret@there:7, says it")
    assert str(error) == r"no connection at ws://me:***@there:7/\udc80: not at ws://me:***@there:7, says it"
    assert error.url == "ws://me:secret@there:7/\udc80"
    assert str(ConnectFailed("ws://there:7/@me", "no")) == "no connection at ws://there:7/@me: no"


def test_unknown_schemes_and_wire_formats_are_found_before_anything_is_opened() -> None:
    for go in (connect, serve):
        with pytest.raises(UnknownScheme, match="'gopher'"):
            go("gopher://there", wireformat="silence")
        with pytest.raises(UnknownWireFormat, match="'noise'"):
            go("record://there", wireformat="noise")


@pytest.mark.parametrize("wireformat", [None, b"silence", Silence, 3])
def test_a_wire_format_of_the_wrong_type(wireformat: Any) -> None:
    for go in (connect, serve):
        with pytest.raises(TypeError, match="give a name, such as 'json', or a WireFormat object"):
            go("record://there", wireformat=wireformat)


async def test_who_forgets_the_block_is_told() -> None:
    """Whether it is awaited, or used as if it were what the block gives."""
    for go, usage in ((connect, r"connect\(\.\.\.\) as peer"), (serve, r"serve\(\.\.\.\) as server")):
        block: Any = go("record://there", wireformat="silence")
        with pytest.raises(TypeError, match=f"write `async with {usage}:`"):
            await block
        with pytest.raises(
            AttributeError, match=f"no 'remote' before the block is entered: write `async with {usage}:`"
        ):
            block.remote(tools)


@pytest.mark.parametrize("url", [5, None, b"tcp://127.0.0.1:7000"])
def test_a_url_that_is_no_text(url: Any) -> None:
    for go in (connect, serve):
        with pytest.raises(TypeError, match=r"url=.*: give a text such as tcp://127.0.0.1:7000"):
            go(url, wireformat="silence")


async def test_a_list_of_maps_is_one_map() -> None:
    """And what can't be served together is refused before anything is opened."""
    services = Services(tools)
    async with cast("Any", connect("record://x", [services], wireformat="silence")) as (_, settings):
        assert isinstance(settings.services, ServiceMaps)
        assert set(settings.services.sids()) == set(services.sids())
    with pytest.raises(ServiceIdError, match="is served already"):
        serve("record://x", [services, Services(tools)], wireformat="silence")


@pytest.mark.parametrize("services", [tools, "tools", {Services(tools)}])
def test_services_of_the_wrong_type(services: Any) -> None:
    for go in (connect, serve):
        with pytest.raises(TypeError, match=r"give Services\(\.\.\.\) with its handlers"):
            go("record://there", services, wireformat="silence")


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"limits": 5}, r"give Limits\(\.\.\.\)"),
        ({"limits": {}}, r"give Limits\(\.\.\.\)"),
        ({"budget": 3}, r"give CallBudget\(\.\.\.\)"),
    ],
)
def test_other_things_of_the_wrong_type(wrong: dict[str, Any], text: str) -> None:
    """Said at once, and not by the first connection, or the first call of it."""
    for go in (connect, serve):
        with pytest.raises(TypeError, match=text):
            go("record://there", wireformat="silence", **wrong)
    with pytest.raises(TypeError, match="give a function, which is called with each new peer"):
        serve("record://there", wireformat="silence", on_peer=cast("Any", 5))
