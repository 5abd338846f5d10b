"""A client that keeps its connection: it logs in on each one, and its calls wait while the server is away.

Run it as it stands: it starts a server in a process of its own, kills it, and starts another.

    python docs/examples/reconnecting_client.py
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress

import anyio
from anyio.abc import Process

from duologue import CallError, Message, Namespace, Peer, Remote, Services, serve
from duologue_contrib.reconnect import (
    AttemptFailed,
    Backoff,
    ClientEvent,
    Connected,
    Disconnected,
    GaveUp,
    ReconnectFailed,
    ReconnectingClient,
    Retry,
    reconnecting,
)


class LogIn(Message[None]):
    """Who calls. The server wants to know before anything else, on each connection."""

    user: str


class Deposit(Message[int]):
    """Not to be done twice. The answer is the balance."""

    amount: int


class Balance(Message[int]):
    """Only looks, so it may be done as often as one likes."""


class Stall(Message[None]):
    """Its handler never ends."""


bank = Namespace("bank", [LogIn, Deposit, Balance, Stall])


# -- the server, a process of its own -----------------------------------------------------------------------


def services_of(peer: Peer) -> Services:
    """What is served on one connection, and what is known of it."""
    services, users, deposits = Services(bank), list[str](), list[int]()

    @services.handler
    async def log_in(msg: LogIn) -> None:
        users.append(msg.user)

    @services.handler
    async def deposit(msg: Deposit) -> int:
        assert users, "log in first"
        deposits.append(msg.amount)
        return sum(deposits)

    @services.handler
    async def balance(msg: Balance) -> int:
        assert users, "log in first"
        return sum(deposits)

    @services.handler
    async def stall(msg: Stall) -> None:
        await anyio.sleep_forever()

    return services


async def run_server(url: str) -> None:
    """Serve until killed."""
    async with serve(url, services_of, wireformat="json"):
        print("the server is up", flush=True)
        await anyio.sleep_forever()


@asynccontextmanager
async def server_process(url: str) -> AsyncGenerator[Process, None]:
    """A new process that serves. With the block it is killed, if it still runs."""
    async with await anyio.open_process([sys.executable, __file__, "serve", url], stderr=None) as process:
        assert process.stdout is not None
        print((await process.stdout.receive()).decode().strip())
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):  # it is dead already
                process.kill()


# -- the client ---------------------------------------------------------------------------------------------


async def log_in(peer: Peer) -> None:
    """Called on each new connection, before any call that waits goes out."""
    await peer.remote(bank).call(LogIn(user="ada"))


def show(event: ClientEvent) -> None:
    """What a program would log, or count."""
    match event:
        case Connected():
            print("connected")
        case Disconnected(reason=reason):
            print("disconnected:", reason.value)
        case AttemptFailed(error=error):
            print("no connection:", type(error).__name__)
        case GaveUp(error=error):
            print("gave up:", type(error).__name__)
        case _:
            pass


async def call_on(client: ReconnectingClient, server: Process, url: str) -> None:
    """Call, lose the server, and call on."""
    calls = client.remote(bank)  # nothing of these is ever done twice
    looks = client.remote(bank, retry=Retry.IDEMPOTENT)  # these may be
    print("balance:", await calls.call(Deposit(amount=5)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stall, calls)
        await looks.call(Balance())  # when this is answered, the call before has arrived
        server.kill()

    # There is no server now. A call waits until there is one, as long as its timeout lets it.
    async with server_process(url):
        print("balance at the new server:", await looks.call(Balance(), timeout=20))
        await client.close("that is all")


async def stall(calls: Remote) -> None:
    """A call that is being handled when the server dies: only its caller can know whether it may be made again."""
    try:
        await calls.call(Stall(), timeout=None)
    except CallError as error:
        print("a call was lost, executed:", error.executed.value)


async def main() -> None:
    """Both ends."""
    patience = Backoff(first=0.05, longest=0.5, max_seconds=20)
    with tempfile.TemporaryDirectory() as folder:
        url = f"unix://{folder}/bank"
        async with (
            server_process(url) as server,
            reconnecting(
                url, wireformat="json", on_connect=log_in, on_event=show, backoff=patience
            ) as client,
        ):
            try:
                await call_on(client, server, url)
            except ReconnectFailed as error:
                sys.exit(f"there will be no connection any more: {error}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        anyio.run(run_server, sys.argv[2])
    else:
        anyio.run(main)
