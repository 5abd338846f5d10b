"""The demo's second process: `python -m duologue_contrib.demo.server asyncio DIRECTORY`.

It writes one line to stdout, an `Offer` as JSON, and serves until its stdin ends. The other end of that pipe is in the process
that started it, and ends with that process, however it ends. The directory is for its socket files and its key, and is
removed with all in it.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TypedDict

import anyio

from duologue import CallBudget, ConnectFailed, Peer, PluginError, Services, serve
from duologue_contrib.demo.certificate import throwaway_key_pair
from duologue_contrib.demo.services import Counts, server_services
from duologue_contrib.demo.transports import DIRECTORY, Transport, listening, serve_options

SHARED = "shared"
"""Instead of a scheme: the server whose connections, over TCP and in json, share one budget."""

BUDGET = 100
"""Calls that run at once. It is the default for each connection, too."""


class Offer(TypedDict):
    """Where the server listens."""

    urls: dict[str, str]
    """By what `name_of` makes of scheme and wire format."""
    problems: dict[str, str]
    """Why it does not, by the same names. Of what only lacks an extra the client finds out by itself."""
    certificate: str
    """The one to trust, PEM."""


def name_of(scheme: str, wireformat: str) -> str:
    """A key of `Offer.urls`."""
    return f"{scheme} {wireformat}"


def quiet_counts() -> Counts:
    """Counts what is logged, so that it is not shown."""
    counts = Counts()
    logger = logging.getLogger("duologue")
    logger.addHandler(counts)
    logger.propagate = False
    return counts


async def main(directory: str) -> None:
    """Serve on each transport that is installed, until stdin ends."""
    services = server_services(quiet_counts())
    offer = Offer(urls={}, problems={}, certificate=_certificate(directory))
    try:
        async with AsyncExitStack() as stack:
            for transport, wireformat in listening():
                await _listen(stack, offer, transport, wireformat, services, directory)
            shared = serve("tcp://127.0.0.1:0", services, wireformat="json", budget=CallBudget(BUDGET))
            offer["urls"][name_of(SHARED, "json")] = (await stack.enter_async_context(shared)).url
            sys.stdout.write(json.dumps(offer) + "\n")
            sys.stdout.flush()
            # Nobody writes there, so it is readable when it has ended.
            await anyio.wait_readable(sys.stdin.fileno())
    finally:
        # The other process does so as well, unless it was killed.
        shutil.rmtree(directory, ignore_errors=True)


def _certificate(directory: str) -> str:
    """Made anew, and left where `serve` reads it. The key is seen by nobody else: the directory is this user's own."""
    pair = throwaway_key_pair()
    options = serve_options("tls", directory)
    Path(options["certificate"]).write_text(pair.certificate, encoding="ascii")
    descriptor = os.open(options["key"], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(pair.key)
    return pair.certificate


async def _listen(
    stack: AsyncExitStack,
    offer: Offer,
    transport: Transport,
    wireformat: str,
    services: Callable[[Peer], Services],
    directory: str,
) -> None:
    name = name_of(transport.scheme, wireformat)
    url = transport.listen.replace(DIRECTORY, directory)
    options = serve_options(transport.scheme, directory)
    try:
        server = await stack.enter_async_context(serve(url, services, wireformat=wireformat, **options))
    except PluginError:
        return
    except ConnectFailed as exc:
        offer["problems"][name] = str(exc)
        return
    offer["urls"][name] = server.url


if __name__ == "__main__":
    anyio.run(main, sys.argv[2], backend=sys.argv[1])
