"""Finding adapters and wire formats: a typed registry around two pluggy hooks.

A plug-in is an entry point. Its name is the URL scheme or the name of the wire format, its value a module (or an
object) with the hook implementation:

    [project.entry-points."duologue.wireformats"]
    morse = "morse_code.wireformat"

    @duologue.hookimpl
    def duologue_wireformat() -> WireFormat: ...

They are loaded one at a time, by name, when somebody asks for them: a library that is not installed matters only to
those who want to use it.
"""

from __future__ import annotations

import re

import pluggy

from duologue.adapter import Adapter
from duologue.errors import PluginError, UnknownScheme, UnknownWireFormat
from duologue.registry import PluginInfo, Registry
from duologue.wireformat import WireFormat

_PROJECT = "duologue"
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")

hookspec = pluggy.HookspecMarker(_PROJECT)
hookimpl = pluggy.HookimplMarker(_PROJECT)
"""Marks the function of a plug-in that implements one of the two hooks."""


class AdapterHooks:
    """What a plug-in of the group `duologue.adapters` implements."""

    @hookspec(firstresult=True)
    def duologue_adapter(self) -> Adapter | None:
        """The adapter. Called once for each plug-in, when one of its schemes is used for the first time."""


class WireFormatHooks:
    """What a plug-in of the group `duologue.wireformats` implements."""

    @hookspec(firstresult=True)
    def duologue_wireformat(self) -> WireFormat | None:
        """The wire format. Called once for each plug-in, when it is used for the first time."""


def adapter_registry() -> Registry[Adapter]:
    """A new registry of the adapters that are installed."""
    return Registry(
        port=Adapter,
        parts=("schemes", "connect", "serve"),
        names=lambda adapter: adapter.schemes,
        group="duologue.adapters",
        manager=_manager(AdapterHooks),
        hook="duologue_adapter",
        unknown=UnknownScheme,
        extras={
            "ws": "websocket",
            "wss": "websocket",
            "zmq+tcp": "zeromq",
            "zmq+ipc": "zeromq",
            "zmq+inproc": "zeromq",
        },
    )


def wireformat_registry() -> Registry[WireFormat]:
    """A new registry of the wire formats that are installed."""
    return Registry(
        port=WireFormat,
        parts=("name", "framing", "codec", "encode_plain", "decode_plain"),
        names=lambda wireformat: (wireformat.name,),
        group="duologue.wireformats",
        manager=_manager(WireFormatHooks),
        hook="duologue_wireformat",
        unknown=UnknownWireFormat,
        extras={"cbor": "cbor"},
    )


def _manager(hooks: type) -> pluggy.PluginManager:
    # One manager for each group: the names of plug-ins are shared within one, and `cbor` may be a scheme one day.
    manager = pluggy.PluginManager(_PROJECT)
    manager.add_hookspecs(hooks)
    return manager


_adapters = adapter_registry()
_wireformats = wireformat_registry()


def find_adapter(scheme: str) -> Adapter:
    """The adapter for a URL scheme. Raises `UnknownScheme`, or `PluginError` if it can't be loaded."""
    return _adapters.find(scheme)


def find_wireformat(name: str) -> WireFormat:
    """The wire format of a name. Raises `UnknownWireFormat`, or `PluginError` if it can't be loaded."""
    return _wireformats.find(name)


def installed_plugins() -> list[PluginInfo]:
    """The adapters, then the wire formats, that are there, with what is missing to use them. It imports every one of them."""
    return [*_adapters.listing(), *_wireformats.listing()]


def register_adapter(scheme: str, adapter: Adapter) -> None:
    """Use an adapter for a URL scheme in this process, without a plug-in. Raises `PluginError` if the scheme is taken."""
    if not _SCHEME.fullmatch(scheme):
        raise PluginError(
            f"{scheme!r} is not a URL scheme: lower-case letters, digits, '+', '-' and '.', a letter first, no colon"
        )
    _adapters.register(scheme, adapter)


def register_wireformat(wireformat: WireFormat) -> None:
    """Use a wire format by its name in this process, without a plug-in. Raises `PluginError` if the name is taken."""
    _wireformats.register(getattr(wireformat, "name", ""), wireformat)


def unregister_adapter(scheme: str) -> None:
    """Take back a `register_adapter`; connections that are open stay open."""
    _adapters.unregister(scheme)


def unregister_wireformat(name: str) -> None:
    """Take back a `register_wireformat`; connections that are open stay open."""
    _wireformats.unregister(name)
