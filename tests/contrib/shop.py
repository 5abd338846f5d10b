"""What the tests of `duologue call` and `duologue serve` have served: `shop:services`, from the folder of this file."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

import anyio
import anyio.lowlevel

from duologue import Context, Message, Namespace, Peer, Services


class Add(Message[int]):
    a: int
    b: int = 0


class Count(Message[int]):
    """How many there were on this connection."""


class Fail(Message[None]):
    pass


class Fill(Message[int]):
    """The size of what came."""

    data: bytes


class Floats(Message[list[float]]):
    pass


class Freeze(Message[None]):
    """Its handler blocks the event loop."""


class Hang(Message[None]):
    pass


class Kill(Message[None]):
    """Its handler ends the process, without any goodbye."""


class Named(Message[dict[int, bytes]], newtype=True):
    key: int


class Nothing(Message[None]):
    pass


class Note(Message[None]):
    """Its handler writes the text to the output, and closes the connection."""

    text: str


@dataclass
class Place:
    x: int
    y: int = 0


class Put(Message[bytes], omit_defaults=True):
    data: bytes
    place: Place = Place(0)  # nobody changes it
    tags: frozenset[str] = frozenset()


class Swap(Message[tuple[int, int]], as_tuple=True):
    left: int
    right: int


class Wait(Message[str]):
    """Its handler ends when the server has begun to."""


shop = Namespace(
    "shop",
    [Add, Count, Fail, Fill, Floats, Freeze, Hang, Kill, Named, Nothing, Note, Put, Swap, Wait],
)
services = Services(shop)


class WrongAdd(Message[list[str]]):
    """What the answer is not."""

    a: int


wrong = Namespace("shop", [WrongAdd], names={WrongAdd: "Add"})
nothing = 5


def for_peer(peer: Peer) -> Services:
    """State of one connection."""
    made = Services(shop)
    calls = 0

    @made.handler
    async def count(msg: Count) -> int:
        nonlocal calls
        calls += 1
        return calls

    return made


async def for_peer_later(peer: Peer) -> Services:
    return services


def say(word: str) -> None:
    """To the test, which waits for it."""
    print(word, flush=True)


@services.handler
async def add(msg: Add) -> int:
    return msg.a + msg.b


def inside() -> None:
    raise RuntimeError("as it happens")


@services.handler
async def fail(msg: Fail) -> None:
    inside()


@services.handler
async def fill(msg: Fill) -> int:
    return len(msg.data)


@services.handler
async def floats(msg: Floats) -> list[float]:
    return [0.5, float("nan"), float("-inf")]


@services.handler(inline=True)
def freeze(msg: Freeze) -> None:
    say("freezing")
    time.sleep(600)


@services.handler
async def hang(msg: Hang) -> None:
    say("hanging")
    await anyio.sleep_forever()


@services.handler
async def kill(msg: Kill) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@services.handler
async def named(msg: Named) -> dict[int, bytes]:
    return {msg.key: b"\x00\xff"}


@services.handler
async def do_nothing(msg: Nothing) -> None:
    pass


@services.handler
async def note(msg: Note, ctx: Context) -> None:
    for _ in range(10):
        await anyio.lowlevel.checkpoint()
    say(msg.text)
    await ctx.peer.close()


@services.handler
async def put(msg: Put) -> bytes:
    return msg.data


@services.handler
async def swap(msg: Swap) -> tuple[int, int]:
    return msg.right, msg.left


@services.handler
async def wait(msg: Wait) -> str:
    say("waiting")
    # The signals are set back to the default when the first has come.
    while signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:  # noqa: ASYNC110  # nobody tells a handler
        await anyio.sleep(0.01)
    return "and yet"
