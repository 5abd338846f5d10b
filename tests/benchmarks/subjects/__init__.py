"""What is measured against each other. A subject's file is imported only in the processes that run it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import cast

from benchmarks.runtimes import Asyncio, Runtime, Trio
from benchmarks.subjects.base import Subject

_TRANSPORTS = ("unix", "tls", "ws", "wss", "zmq+tcp", "zmq+ipc")
"""The library's schemes beside `tcp`, which goes without saying."""

_LOOPS: dict[str, Callable[[], Runtime]] = {
    "": Asyncio,
    "-uvloop": lambda: Asyncio(uvloop=True),
    "-trio": Trio,
}

_DUOLOGUE = {
    f"duologue{transport and '-'}{transport}{loop}": (transport or "tcp", runtime)
    for transport in ("", *_TRANSPORTS)
    for loop, runtime in _LOOPS.items()
}
"""The library over each of its transports, on each loop."""

_OTHERS: dict[str, tuple[str, Callable[[], Runtime]]] = {
    "duologue-relay": ("relay", Asyncio),
    "handwritten": ("handwritten", Asyncio),
    "handwritten-uvloop": ("handwritten", _LOOPS["-uvloop"]),
    "rawecho": ("rawecho", Asyncio),
    "websocketecho": ("websocketecho", Asyncio),
    "websocketecho-uvloop": ("websocketecho", _LOOPS["-uvloop"]),
    "zeromqecho": ("zeromqecho", Asyncio),
    "zeromqecho-uvloop": ("zeromqecho", _LOOPS["-uvloop"]),
    "grpcaio": ("grpcaio", Asyncio),
    "rpyc": ("remotepython", Asyncio),
    "pycapnp": ("capnproto", Asyncio),
}

DEFAULT = (
    "handwritten",
    "rawecho",
    "duologue",
    "duologue-relay",
    "handwritten-uvloop",
    "duologue-uvloop",
    "duologue-trio",
    "grpcaio",
    "rpyc",
    "pycapnp",
    # Those that have a floor between them stand side by side, since they run one after the other.
    "duologue-unix",
    "duologue-tls",
    "websocketecho",
    "duologue-ws",
    "duologue-wss",
    "zeromqecho",
    "duologue-zmq+tcp",
    "duologue-zmq+ipc",
)
"""What runs if nothing else is asked for."""

SUBJECTS = (*DEFAULT, *(name for name in (*_DUOLOGUE, *_OTHERS) if name not in DEFAULT))


def make_subject(name: str, wireformat: str) -> Subject:
    """Import a subject and make it; raises ImportError where something that it needs isn't installed."""
    if name.endswith("-uvloop"):
        import_module("uvloop")
    if name.endswith("-trio"):
        import_module("trio")
    if name in _DUOLOGUE:
        from benchmarks.subjects import ours

        scheme, runtime = _DUOLOGUE[name]
        return ours.make(runtime(), wireformat, scheme)
    module, runtime = _OTHERS[name]
    make = cast("Callable[[Runtime, str], Subject]", import_module(f".{module}", __name__).make)
    return make(runtime(), wireformat)
