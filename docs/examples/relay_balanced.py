"""A relay with load balancing: three workers, one of which dies, one relay before them, and a client that knows only the relay.

    python docs/examples/relay_balanced.py

Workers, relay and client are a process each. The client speaks WebSocket with the relay, the relay TCP with the workers.
"""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from duologue import (
    LeastOutstanding,
    Message,
    Namespace,
    Peer,
    RelayMap,
    RelayTargetLost,
    RemoteError,
    Services,
    connect,
    serve,
)


class Resize(Message[str]):
    """Some work. The answer says who did it."""

    picture: str


class Quit(Message[None]):
    """Its handler ends the process, as a crash would."""


images = Namespace("images", [Resize, Quit])


# -- workers ------------------------------------------------------------------------------------------------


async def run_worker(name: str) -> None:
    """Serve until killed, and print where."""
    services = Services(images)

    @services.handler
    async def resize(msg: Resize) -> str:
        await anyio.sleep(0.01)
        return name

    @services.handler
    async def quit_(msg: Quit) -> None:
        os._exit(1)

    async with serve("tcp://127.0.0.1:0", services, wireformat="msgpack") as server:
        print(server.url, flush=True)
        await server.wait_closed()


# -- the relay ----------------------------------------------------------------------------------------------


async def run_relay(*workers: str) -> None:
    """Pass on what comes to the worker that has the least to do. It decodes nothing, and knows no handler."""
    balancer = LeastOutstanding()

    async def watch(peer: Peer) -> None:
        async for event in peer.events():
            if isinstance(event, RelayTargetLost):
                print("the relay has lost", event.target, file=sys.stderr, flush=True)

    async with AsyncExitStack() as stack:
        for number, url in enumerate(workers, start=1):
            worker = await stack.enter_async_context(
                connect(url, wireformat="msgpack", name=f"worker {number}")
            )
            balancer.add(worker)
        async with (
            anyio.create_task_group() as group,
            serve(
                "ws://127.0.0.1:0",
                RelayMap(balancer, images, timeout=10),
                wireformat="msgpack",
                origins="any",
                on_peer=lambda peer: group.start_soon(watch, peer),
            ) as server,
        ):
            print(server.url, flush=True)
            await server.wait_closed()


# -- the client ---------------------------------------------------------------------------------------------


async def use(url: str) -> None:
    """A hundred pictures, with a worker that dies on the way."""
    async with connect(url, wireformat="msgpack") as peer:
        remote = peer.remote(images)
        print("before:", sorted(Counter([await remote.call(Resize("a.png")) for _ in range(30)])))
        try:
            await remote.call(Quit())
        except RemoteError as error:
            print("a call was lost:", error.kind.value)
        done = Counter[str]()

        async def work() -> None:
            for _ in range(10):
                done[await remote.call(Resize("b.png"))] += 1

        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(work)
        print("after:", done.total(), "pictures by", len(done), "workers")


# -- all of them ----------------------------------------------------------------------------------------------


@asynccontextmanager
async def process(*arguments: str) -> AsyncGenerator[str, None]:
    """A process of its own, which is killed with the block: the URL that it prints."""
    async with await anyio.open_process([sys.executable, __file__, *arguments], stderr=None) as running:
        assert running.stdout is not None
        try:
            yield (await BufferedByteReceiveStream(running.stdout).receive_until(b"\n", 1000)).decode()
        finally:
            with suppress(ProcessLookupError):  # one of them is dead already
                running.kill()


async def main() -> None:
    """Start them, and use them."""
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(process("worker", name)) for name in ("anna", "bert", "carl")]
        relay = await stack.enter_async_context(process("relay", *urls))
        await use(relay)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["worker", name]:
            anyio.run(run_worker, name)
        case ["relay", *workers]:
            anyio.run(run_relay, *workers)
        case _:
            anyio.run(main)
