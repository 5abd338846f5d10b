"""Plug-ins: found by name, loaded when they are asked for, checked, and every way in which that can fail."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, cast

import pytest

from duologue import Adapter, PluginError, UnknownScheme, UnknownWireFormat, WireFormat, plugins
from duologue.plugins import adapter_registry, wireformat_registry

Install = Callable[..., None]

ADAPTERS = "duologue.adapters"
WIREFORMATS = "duologue.wireformats"

ADAPTER = """
    from contextlib import nullcontext
    from duologue import Adapter, hookimpl

    class Pigeon(Adapter):
        schemes = ("pigeon", "pigeons")
        def connect(self, url, settings):
            return nullcontext((url, settings))
        def serve(self, url, settings):
            return nullcontext((url, settings))

    @hookimpl
    def duologue_adapter():
        return Pigeon()
"""

WIREFORMAT = """
    from duologue import WireFormat, hookimpl

    class Morse(WireFormat):
        name = "morse"
        def codec(self, type_): raise NotImplementedError
        def encode_plain(self, value): raise NotImplementedError
        def decode_plain(self, payload): raise NotImplementedError

    @hookimpl
    def duologue_wireformat():
        return Morse()
"""


class Raven(Adapter):
    schemes = ("raven",)

    def connect(self, url: str, settings: Any) -> Any:
        raise NotImplementedError

    def serve(self, url: str, settings: Any) -> Any:
        raise NotImplementedError


class Braille(WireFormat):
    name = "braille"

    def codec(self, type_: Any) -> Any:
        raise NotImplementedError

    def encode_plain(self, value: Any) -> bytes:
        raise NotImplementedError

    def decode_plain(self, payload: bytes) -> Any:
        raise NotImplementedError


def test_a_plugin_is_loaded_when_it_is_asked_for_and_only_then(install: Install) -> None:
    install("pigeon-post", {ADAPTERS: {"pigeon": "pigeon_post"}}, pigeon_post=ADAPTER)
    install("broken", {ADAPTERS: {"broken": "broken_adapter"}}, broken_adapter="raise SystemError")
    registry = adapter_registry()
    assert {"pigeon", "broken"} <= set(registry.known())
    assert "pigeon_post" not in sys.modules

    adapter = registry.find("pigeon")
    assert isinstance(adapter, Adapter)
    assert registry.find("pigeon") is adapter
    assert "broken_adapter" not in sys.modules


def test_one_module_may_stand_behind_several_names(install: Install) -> None:
    """As with `ws` and `wss`; and another plug-in of the group, already loaded, does not answer in its place."""
    install(
        "pigeon-post", {ADAPTERS: {"pigeon": "pigeon_post", "pigeons": "pigeon_post"}}, pigeon_post=ADAPTER
    )
    other = ADAPTER.replace("pigeon", "owl").replace("Pigeon", "Owl")
    install("owl-post", {ADAPTERS: {"owl": "owl_post"}}, owl_post=other)
    registry = adapter_registry()
    found = {name: type(registry.find(name)).__name__ for name in ("pigeon", "owl", "pigeons")}
    assert found == {"pigeon": "Pigeon", "owl": "Owl", "pigeons": "Pigeon"}


def test_a_wire_format(install: Install) -> None:
    install("morse-code", {WIREFORMATS: {"morse": "morse_code"}}, morse_code=WIREFORMAT)
    assert wireformat_registry().find("morse").name == "morse"


def test_a_scheme_and_a_wire_format_may_have_the_same_name(install: Install) -> None:
    install(
        "both",
        {ADAPTERS: {"pigeon": "pigeon_post"}, WIREFORMATS: {"pigeon": "pigeon_text"}},
        pigeon_post=ADAPTER,
        pigeon_text=WIREFORMAT.replace("morse", "pigeon"),
    )
    assert isinstance(adapter_registry().find("pigeon"), Adapter)
    assert isinstance(wireformat_registry().find("pigeon"), WireFormat)


def test_what_is_installed_meanwhile_is_found(install: Install) -> None:
    """Looking through all distributions takes a while, so it is done again only before saying no."""
    registry = wireformat_registry()
    with pytest.raises(UnknownWireFormat):
        registry.find("morse")
    install("morse-code", {WIREFORMATS: {"morse": "morse_code"}}, morse_code=WIREFORMAT)
    assert registry.find("morse").name == "morse"


def test_an_unknown_name_lists_the_known(install: Install) -> None:
    install("pigeon-post", {ADAPTERS: {"pigeon": "pigeon_post"}}, pigeon_post=ADAPTER)
    with pytest.raises(
        UnknownScheme, match=r"no adapter for 'owl' URLs: known are .*pigeon"
    ) as unknown_scheme:
        adapter_registry().find("owl")
    assert unknown_scheme.value.scheme == "owl"
    assert "pigeon" in unknown_scheme.value.known

    install("morse-code", {WIREFORMATS: {"morse": "morse_code"}}, morse_code=WIREFORMAT)
    with pytest.raises(
        UnknownWireFormat, match=r"no wire format named 'pickle': known are .*morse"
    ) as unknown_format:
        wireformat_registry().find("pickle")
    assert "morse" in unknown_format.value.known


@pytest.mark.fault(82)
def test_there_is_no_pickle() -> None:
    """A codec that makes objects of any class, like pickle, would let the remote run code: there is none to be chosen."""
    for name in ("pickle", "marshal", "yaml"):
        with pytest.raises(UnknownWireFormat):
            plugins.find_wireformat(name)


def test_a_name_that_two_distributions_offer_is_refused(install: Install) -> None:
    """Which one would win depends on the order of the path, so neither does."""
    install("pigeon-post", {ADAPTERS: {"pigeon": "pigeon_post"}}, pigeon_post=ADAPTER)
    install("pigeon-racing", {ADAPTERS: {"pigeon": "pigeon_racing"}}, pigeon_racing=ADAPTER)
    text = "offered by several plug-ins, pigeon_post of pigeon-post and pigeon_racing of pigeon-racing: uninstall one, or let it choose another name"
    with pytest.raises(PluginError, match=text):
        adapter_registry().find("pigeon")


@pytest.mark.parametrize(
    ("owner", "name", "advice"),
    [
        ("duologue", "cbor", r"pip install 'duologue\[cbor\]'"),
        ("duologue", "other", "the installation of duologue is incomplete"),
        ("morse-code", "morse", "install the library, or the extra of morse-code that brings it"),
    ],
)
def test_a_missing_library_says_what_to_install(owner: str, name: str, advice: str, install: Install) -> None:
    # The folder of the test goes first on the path, and of two distributions of one name the first counts.
    install(owner, {WIREFORMATS: {name: "needy"}}, needy="import a_library_that_is_not_there")
    with pytest.raises(
        PluginError, match=f"needy of {owner} can't be imported, since there is no module 'a_lib.*: {advice}"
    ) as info:
        wireformat_registry().find(name)
    assert isinstance(info.value.__cause__, ImportError)


@pytest.mark.parametrize(
    ("scheme", "extra"), [("ws", "websocket"), ("wss", "websocket"), ("zmq+tcp", "zeromq")]
)
def test_a_missing_library_of_an_adapter(scheme: str, extra: str, install: Install) -> None:
    install("duologue", {ADAPTERS: {scheme: "needy"}}, needy="import a_library_that_is_not_there")
    with pytest.raises(PluginError, match=rf"pip install 'duologue\[{extra}\]'"):
        adapter_registry().find(scheme)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("1 / 0", "failed while it was imported: ZeroDivisionError"),
        ("", r"has no function duologue_wireformat\(\) marked with duologue.hookimpl"),
        ("def duologue_wireformat(): ...", r"has no function duologue_wireformat\(\) marked"),
        ("from duologue import hookimpl\n@hookimpl\ndef duologue_adapter(): ...", r"has no function duologue_wireformat\(\)"),
        ("from duologue import hookimpl\n@hookimpl\ndef duologue_wireformat(): ...", r"\(\) of the plug-in .* returned None: it must return"),
        ("from os import nothing", "can't be imported, since cannot import name 'nothing'"),
        (WIREFORMAT.replace("return Morse()", "raise ValueError"), r"duologue_wireformat\(\) of .* failed: ValueError"),
        (WIREFORMAT.replace("wireformat():", "wireformat(name):"), r"duologue_wireformat\(\) of .* failed: PluginValid"),
        (WIREFORMAT.replace("def codec(", "def kodec("), "failed: TypeError.*abstract.*codec"),
        (WIREFORMAT.replace('name = "morse"', ""), "returned is .* which lacks name: it must be an object of a class derived from"),
        (WIREFORMAT.replace("Morse()", "Morse"), "returned is <class '.*'>: it must be an object"),
        (WIREFORMAT.replace("Morse()", "3"), "returned is 3, which lacks name, framing, codec, encode_plain, decode_plain"),
        (WIREFORMAT.replace('"morse"', '"mors"'), "is installed as 'morse', and says it is for 'mors': mend the name"),
        (WIREFORMAT.replace('"morse"', "3"), r"says it is for \(3,\): the names must be texts"),
    ],
)  # fmt: skip
def test_a_plugin_that_does_not_fulfil_the_port(module: str, text: str, install: Install) -> None:
    install("morse-code", {WIREFORMATS: {"morse": "morse_code"}}, morse_code=module)
    registry = wireformat_registry()
    with pytest.raises(PluginError, match=text) as info:
        registry.find("morse")
    assert "the plug-in morse_code of morse-code" in str(info.value)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (ADAPTER.replace("def serve(", "def listen("), "failed: TypeError.*abstract.*serve"),
        (ADAPTER.replace("Pigeon(Adapter)", "Pigeon"), "returned is .*Pigeon.*: it must be an object of a class derived from duologue.Adapter"),
        (ADAPTER.replace('schemes = ("pigeon", "pigeons")', ""), "which lacks schemes: it must be an object"),
        (ADAPTER.replace('("pigeon", "pigeons")', '"pigeon"'), "says it is for 'pigeon': the names must be texts"),
        (ADAPTER.replace('("pigeon", "pigeons")', '("pigeons",)'), "is installed as 'pigeon', and says it is for 'pigeons': mend the name"),
        (ADAPTER.replace("duologue_adapter()", "duologue_wireformat()"), r"has no function duologue_adapter\(\) marked"),
    ],
)  # fmt: skip
def test_an_adapter_that_does_not_fulfil_the_port(module: str, text: str, install: Install) -> None:
    """The same for adapters: each text says what is the matter, and with which plug-in."""
    install("pigeon-post", {ADAPTERS: {"pigeon": "pigeon_post"}}, pigeon_post=module)
    with pytest.raises(PluginError, match=text) as info:
        adapter_registry().find("pigeon")
    assert "the plug-in pigeon_post of pigeon-post" in str(info.value)


def test_an_adapter_whose_schemes_are_a_text(install: Install) -> None:
    """`"ws" in "wss"` is true, so a text must not pass for a tuple."""
    module = ADAPTER.replace('("pigeon", "pigeons")', '"pigeon"')
    install("pigeon-post", {ADAPTERS: {"pig": "pigeon_post"}}, pigeon_post=module)
    with pytest.raises(PluginError, match="says it is for 'pigeon': the names must be texts"):
        adapter_registry().find("pig")


def test_an_object_may_be_a_plugin_as_well_as_a_module(install: Install) -> None:
    install(
        "morse-code",
        {WIREFORMATS: {"morse": "morse_code:plugin"}},
        morse_code=WIREFORMAT
        + "\n    class Plugin:\n        duologue_wireformat = staticmethod(duologue_wireformat)\n    plugin = Plugin()",
    )
    assert wireformat_registry().find("morse").name == "morse"


# -- by hand -----------------------------------------------------------------------------------


def test_registering_by_hand() -> None:
    raven, braille = Raven(), Braille()
    plugins.register_adapter("raven", raven)
    plugins.register_wireformat(braille)
    try:
        assert plugins.find_adapter("raven") is raven
        assert plugins.find_wireformat("braille") is braille
        for register in (
            lambda: plugins.register_adapter("raven", Raven()),
            lambda: plugins.register_wireformat(Braille()),
        ):
            with pytest.raises(PluginError, match=r"is registered already, as .*: unregister it first"):
                register()
    finally:
        plugins.unregister_adapter("raven")
        plugins.unregister_wireformat("braille")
    with pytest.raises(UnknownScheme):
        plugins.find_adapter("raven")
    with pytest.raises(PluginError, match="'raven' was not registered by hand"):
        plugins.unregister_adapter("raven")


def test_what_is_registered_by_hand_is_known() -> None:
    registry = adapter_registry()
    registry.register("raven", Raven())
    assert "raven" in registry.known()


def test_a_name_that_a_plugin_has_can_not_be_taken(install: Install) -> None:
    install("pigeon-post", {ADAPTERS: {"pigeon": "pigeon_post"}}, pigeon_post=ADAPTER)
    registry = adapter_registry()
    with pytest.raises(PluginError, match="'pigeon' is taken by the plug-in pigeon_post of pigeon-post"):
        registry.register("pigeon", Raven())


@pytest.mark.parametrize("scheme", ["", "Raven", "raven:", "7raven", "ra ven"])
def test_what_is_not_a_scheme(scheme: str) -> None:
    with pytest.raises(PluginError, match="is not a URL scheme"):
        plugins.register_adapter(scheme, Raven())


def test_what_is_not_a_plugin() -> None:
    with pytest.raises(
        PluginError, match="what is to be registered as 'raven' is 3, which lacks schemes, connect, serve"
    ):
        plugins.register_adapter("raven", cast("Adapter", 3))
    with pytest.raises(PluginError, match="what is to be registered is 3, which lacks name"):
        plugins.register_wireformat(cast("WireFormat", 3))

    class Nameless(Braille):
        name = ""

    with pytest.raises(PluginError, match="the names must be texts that are not empty"):
        plugins.register_wireformat(Nameless())
