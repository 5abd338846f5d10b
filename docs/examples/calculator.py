"""A calculator: a service in one process, its client in another; calls, one-way messages, and errors that say what happened.

Run it as it stands, with the server in a process of its own, or each alone with any URL:

    python docs/examples/calculator.py
    python docs/examples/calculator.py serve tcp://127.0.0.1:7000
    python docs/examples/calculator.py use tcp://127.0.0.1:7000
"""

from __future__ import annotations

import sys

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from duologue import (
    CallTimeout,
    Case,
    Context,
    Message,
    Namespace,
    Peer,
    RemoteError,
    Services,
    connect,
    serve,
)


class Number(Case, newtype=True):
    """A result."""

    value: float


class DividedByZero(Case):
    """What went wrong is an answer, too: so the caller learns it, and the type checker knows of it."""


class Add(Message[float]):
    """The type in brackets is that of the answer."""

    a: float
    b: float


class Divide(Message[Number | DividedByZero]):
    """It may go wrong."""

    a: float
    b: float


class Remember(Message[None]):
    """Keeps a number for this connection. Sent one way: nobody waits for it."""

    value: float


class Recall(Message[float | None]):
    """Asks for it."""


class Think(Message[None]):
    """Takes for ever."""


calculator = Namespace("calculator", [Add, Divide, Remember, Recall, Think])


def services_of(peer: Peer) -> Services:
    """Called for each new connection: what is kept here belongs to that one alone."""
    services, memory = Services(calculator), list[float]()

    @services.handler
    async def add(msg: Add) -> float:
        return msg.a + msg.b

    @services.handler
    async def divide(msg: Divide) -> Number | DividedByZero:
        return Number(msg.a / msg.b) if msg.b else DividedByZero()

    # One after another, in the order in which they were sent: without that two messages may overtake each other.
    @services.handler(ordered=True)
    async def remember(msg: Remember) -> None:
        memory[:] = [msg.value]

    @services.handler(ordered=True)
    async def recall(msg: Recall) -> float | None:
        return memory[0] if memory else None

    @services.handler
    async def think(msg: Think, ctx: Context) -> None:
        async with ctx.waiting():  # others may run meanwhile
            await anyio.sleep_forever()

    return services


async def run_server(url: str) -> None:
    """Serve until killed. The first line says where: the port 0 is any that is free."""
    async with serve(url, services_of, wireformat="json") as server:
        print(server.url, flush=True)
        await server.wait_closed()


async def use(url: str) -> None:
    """Call this and that."""
    async with connect(url, wireformat="json") as peer:
        remote = peer.remote(calculator)
        print("1 + 2 =", await remote.call(Add(1, 2)))
        for divisor in (4, 0):
            match await remote.call(Divide(10, divisor)):
                case Number(value):
                    print(f"10 / {divisor} =", value)
                case DividedByZero():
                    print(f"10 / {divisor} is nothing")
        for value in (1.5, 2.5):
            await remote.send(Remember(value))
        print("remembered:", await remote.call(Recall()))
        try:
            await remote.call(Think(), timeout=0.1)
        except CallTimeout as error:
            print("no answer in time, executed:", error.executed.value)
        try:
            await peer.call_raw(calculator.sid(Add), b'{"a": "one"}')
        except RemoteError as error:
            print("not understood:", error.kind.value)


async def both() -> None:
    """The server in a process of its own."""
    command = [sys.executable, __file__, "serve", "tcp://127.0.0.1:0"]
    async with await anyio.open_process(command, stderr=None) as process:
        assert process.stdout is not None
        try:
            url = await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 1000)
            await use(url.decode())
        finally:
            process.kill()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", url]:
            anyio.run(run_server, url)
        case ["use", url]:
            anyio.run(use, url)
        case _:
            anyio.run(both)
