"""What is measured against each other. A subject's file is imported only in the processes that run it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from benchmarks.runtimes import Asyncio, Runtime, Trio
from benchmarks.subjects.base import Subject

_MODULES: dict[str, tuple[str, Callable[[], Runtime]]] = {
    "handwritten": ("handwritten", Asyncio),
    "rawecho": ("rawecho", Asyncio),
    "duologue": ("ours", Asyncio),
    "handwritten-uvloop": ("handwritten", lambda: Asyncio(uvloop=True)),
    "duologue-uvloop": ("ours", lambda: Asyncio(uvloop=True)),
    "duologue-trio": ("ours", Trio),
    "grpcaio": ("grpcaio", Asyncio),
    "rpyc": ("remotepython", Asyncio),
    "pycapnp": ("capnproto", Asyncio),
}

SUBJECTS = tuple(_MODULES)


def make_subject(name: str, wireformat: str) -> Subject:
    """Import a subject and make it; raises ImportError where something that it needs isn't installed."""
    module, runtime = _MODULES[name]
    if name.endswith("-uvloop"):
        import_module("uvloop")
    if name.endswith("-trio"):
        import_module("trio")
    make = cast("Callable[[Runtime, str], Subject]", import_module(f".{module}", __name__).make)
    return make(runtime(), wireformat)
