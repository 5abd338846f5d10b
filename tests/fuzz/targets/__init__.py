"""What is fuzzed: for each target a function that takes any bytes, and raises only if something is wrong with the library."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

Target = Callable[[bytes], None]

NAMES = ("frames", "connection", "story", "cbor", "messagepack", "json", "websocket", "zeromq")
"""All of them. Each is looked for where it is needed, since what it needs must be instrumented before it is imported."""

_PAYLOADS = {
    "cbor": ("duologue_wireformats.cbor", "Cbor"),
    "messagepack": ("duologue_wireformats.messagepack", "MessagePack"),
    "json": ("duologue_wireformats.json_text", "Json"),
}


def find(name: str) -> Target:
    """The target of a name."""
    if name in _PAYLOADS:
        module, wireformat = _PAYLOADS[name]
        made: Target = import_module("tests.fuzz.targets.payloads").target(
            getattr(import_module(module), wireformat)
        )
        return made
    found: Target = import_module(f"tests.fuzz.targets.{name}").run
    return found
