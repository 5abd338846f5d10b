"""The command `duologue serve`."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import anyio
import typer

import duologue
from duologue import WireFormat, find_wireformat
from duologue_contrib.command_line.call import check_seconds
from duologue_contrib.command_line.endings import Mistake, entered, told
from duologue_contrib.command_line.imports import Served, imported_services
from duologue_contrib.command_line.logs import Failures, log_to_stderr
from duologue_contrib.command_line.options import options_for
from duologue_contrib.command_line.signals import FirstSignal


class Loop(StrEnum):
    """The event loops."""

    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"
    TRIO = "trio"


def serve(
    services: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:NAME",
            help="The Services, or a function of the new peer that makes them. Modules of this folder are found, too.",
        ),
    ],
    listen: Annotated[
        list[str],
        typer.Option(
            metavar="URL", help="Where to listen, such as tcp://127.0.0.1:0. May be given several times."
        ),
    ],
    wireformat: Annotated[str, typer.Option(help="cbor, msgpack, json: the same as the other end.")] = "json",
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            show_default=False,
            help="An option of the transport, such as origins=any; ws:origins=any is for ws:// alone.",
        ),
    ] = None,
    grace: Annotated[
        float,
        typer.Option(
            metavar="SECONDS", help="At the end, how long handlers may run on. A second signal ends at once."
        ),
    ] = 5.0,
    loop: Annotated[Loop, typer.Option(help="The event loop.")] = Loop.ASYNCIO,
) -> None:
    """Serve what a module has, until SIGINT or SIGTERM. Prints each address where it really listens, in a line of its own."""
    with told("serve"):
        check_seconds("--grace", grace)
        options = options_for(listen, option or [])
        chosen = find_wireformat(wireformat)
        if loop is not Loop.ASYNCIO and importlib.util.find_spec(loop.value) is None:
            raise Mistake(f"--loop {loop.value} needs {loop.value}: pip install {loop.value}")
        served = imported_services(services)
        log_to_stderr()
        anyio.run(
            _serve,
            list(zip(listen, options, strict=True)),
            served,
            chosen,
            grace,
            backend="trio" if loop is Loop.TRIO else "asyncio",
            backend_options={"use_uvloop": True} if loop is Loop.UVLOOP else {},
        )


async def _serve(
    listen: Sequence[tuple[str, Mapping[str, Any]]], served: Served, wireformat: WireFormat, grace: float
) -> None:
    with FirstSignal() as signal, Failures() as failures:
        async with AsyncExitStack() as stack:
            servers = [
                await entered(
                    stack,
                    partial(
                        duologue.serve,
                        url,
                        served,
                        wireformat=wireformat,
                        on_peer=failures.follow,
                        **options,
                    ),
                )
                for url, options in listen
            ]
            typer.echo("\n".join(server.url for server in servers))
            async with anyio.create_task_group() as group:
                group.start_soon(failures.log)
                await signal.wait()
                async with anyio.create_task_group() as closing:
                    for server in servers:
                        closing.start_soon(partial(server.close, grace=grace))
                group.cancel_scope.cancel()
