"""The chat's server: a page over WebSocket in CBOR, terminals over TCP in MessagePack, all in the same rooms.

    python docs/examples/chat/server.py --port 7780

It prints where to open the page, and how to start a terminal client. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
from messages import (
    LIMITS,
    Join,
    Joined,
    Leave,
    NickSet,
    NickTaken,
    NoNick,
    NotInRoom,
    Refused,
    RoomInfo,
    Rooms,
    Say,
    Sent,
    SetNick,
    TooFast,
    TooManyRooms,
    chat,
)
from rooms import Chat

from duologue import ConnectFailed, Peer, Services, serve
from duologue_contrib.browser import serve_page

HERE = Path(__file__).parent
HEARTBEAT = 10.0
"""Seconds of silence after which a connection is asked whether it is alive; as many later it counts as lost."""


def services_for(house: Chat) -> Callable[[Peer], Services]:
    """What makes the services of each new connection."""

    def services_of(peer: Peer) -> Services:
        guest, services = house.arrive(peer), Services(chat)
        peer.when_closed(lambda _: house.depart(guest))

        # Ordered: what a member does happens in the order in which it was sent. Inline: these are a few microseconds each.
        @services.handler(ordered=True, inline=True)
        def set_nick(msg: SetNick) -> NickSet | NickTaken | TooFast | Refused:
            return house.set_nick(guest, msg.nick, msg.key)

        @services.handler(ordered=True, inline=True)
        def join(msg: Join) -> Joined | NoNick | TooManyRooms | TooFast | Refused:
            return house.join(guest, msg.room)

        @services.handler(ordered=True, inline=True)
        def leave(msg: Leave) -> None:
            house.leave(guest, msg.room)

        @services.handler(ordered=True, inline=True)
        def say(msg: Say) -> Sent | NotInRoom | TooFast | Refused:
            return house.say(guest, msg.room, msg.text)

        @services.handler(ordered=True, inline=True)
        def rooms(msg: Rooms) -> list[RoomInfo]:
            return house.rooms()

        return services

    return services_of


def terminal_command(url: str) -> str:
    """To be typed in the same folder."""
    return shlex.join([os.path.relpath(each) for each in (sys.executable, HERE / "terminal.py")] + [url])


async def run(host: str, port: int, terminal_port: int) -> None:
    """Serve until Ctrl-C. Raises `ConnectFailed` if a port can't be had."""
    services_of = services_for(Chat())
    async with (
        serve_page(
            f"http://{host}:{port}",
            HERE / "page",
            services_of,
            wireformat="cbor",
            limits=LIMITS,
            heartbeat=HEARTBEAT,
        ) as page,
        serve(
            f"tcp://{host}:{terminal_port}",
            services_of,
            wireformat="msgpack",
            limits=LIMITS,
            heartbeat=HEARTBEAT,
        ) as terminals,
    ):
        print("page:    ", page.url)
        print("terminal:", terminal_command(terminals.url))
        print("Ctrl-C ends it.", flush=True)
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            await anext(signals)


def main() -> None:
    """Read the options, and serve."""
    parser = argparse.ArgumentParser(description="A chat for a page and for terminals.")
    parser.add_argument("--host", default="127.0.0.1", help="where to listen: this machine alone, by default")
    parser.add_argument("--port", type=int, default=7780, help="for the page, by HTTP; 0 is any that is free")
    parser.add_argument("--terminal-port", type=int, default=7781, help="for terminals, by TCP")
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    try:
        anyio.run(run, options.host, options.port, options.terminal_port, backend=options.loop)
    except ConnectFailed as error:
        sys.exit(f"chat: {error}\nPerhaps another chat runs: choose other ports, --port and --terminal-port.")


if __name__ == "__main__":
    main()
