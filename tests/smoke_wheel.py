"""A plain `pip install duologue`, without extras, can serve and connect. `.ci/run` runs this with the built wheel.

Not a pytest test: it must run where nothing but the wheel and its dependencies is installed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from importlib.metadata import entry_points, version
from importlib.resources import files

import duologue
from duologue import DuologueError, Message, Namespace, Services, connect, serve

PACKAGES = ("duologue", "duologue_adapters", "duologue_wireformats", "duologue_contrib")
OF_EXTRAS = ("cbor2", "msgpack", "websockets", "zmq", "uvloop", "typer")


class Add(Message[int]):
    a: int
    b: int


class Log(Message[None]):
    line: str


calc = Namespace("calc", [Add, Log])


def check_installation() -> None:
    """It is the wheel that is looked at, whole, and without any extra."""
    assert duologue.__file__.startswith(sys.prefix), f"not the installed package: {duologue.__file__}"
    found = [name for name in OF_EXTRAS if importlib.util.find_spec(name)]
    assert not found, f"extras are installed, so this shows nothing: {found}"
    for package in PACKAGES:
        assert files(package).joinpath("py.typed").is_file(), f"the wheel lacks py.typed of {package}"
    client = files("duologue_contrib.browser") / "client"
    for name in ("duologue.mjs", "duologue.d.mts", "packages/cborg/LICENSE", "packages/msgpack/LICENSE"):
        assert client.joinpath(name).is_file(), f"the wheel lacks {name} of the client for pages"
    for group in ("duologue.adapters", "duologue.wireformats"):
        assert entry_points(group=group), f"the wheel lacks the entry points of {group}"


async def check_calls(wireformat: str) -> None:
    """Both ends in one process, over a real socket."""
    services = Services(calc)
    logged = asyncio.Event()

    @services.handler
    async def add(msg: Add) -> int:
        return msg.a + msg.b

    @services.handler
    async def log(msg: Log) -> None:
        assert msg.line == "hello"
        logged.set()

    async with (
        serve("tcp://127.0.0.1:0", services, wireformat=wireformat) as server,
        connect(server.url, wireformat=wireformat) as peer,
    ):
        remote = peer.remote(calc)
        assert await remote.call(Add(a=1, b=2)) == 3
        await remote.send(Log(line="hello"))
        await asyncio.wait_for(logged.wait(), timeout=10)


async def check_missing_extra() -> None:
    """Who asks for what is not installed is told what to install."""
    told = ""
    try:
        async with connect("tcp://127.0.0.1:1", wireformat="cbor"):
            pass
    except DuologueError as error:
        told = str(error)
    assert "duologue[cbor]" in told, f"does not say which extra to install: {told}"


if __name__ == "__main__":
    check_installation()
    for wireformat in ("json", "msgpack"):
        asyncio.run(check_calls(wireformat))
    asyncio.run(check_missing_extra())
    print(
        f"duologue {version('duologue')} serves and connects on Python {sys.version.split()[0]}, without extras"
    )
