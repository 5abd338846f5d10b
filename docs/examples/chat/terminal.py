"""The chat in a terminal, or for scripts with standard input and output in pipes: over TCP, in MessagePack. In two ways:

python docs/examples/chat/terminal.py tcp://127.0.0.1:7781 --nick ada
echo "the build is done" | python docs/examples/chat/terminal.py --nick builder

`/help` says what can be typed.
"""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import sys
import time

import anyio
from client import ChatMember
from console import Console
from messages import LIMITS, Line, Rooms, chat, cleaned

from duologue import CallError, CallTimeout, ConnectFailed, Executed, Remote
from duologue_contrib.reconnect import (
    Backoff,
    ClientEvent,
    Connected,
    Disconnected,
    GaveUp,
    Retry,
    reconnecting,
)

HELP = """\
/nick NAME     be called something else
/join ROOM     into a room, or to it if you are in
/leave         out of the room
/rooms         in which rooms somebody is
/who           who is in this room
/help          this
/quit          the end
anything else  is said in the room; //word says /word"""

PATIENCE = Backoff(longest=5.0)
TIMEOUT = 10.0

COLORS = (203, 215, 221, 113, 43, 45, 75, 105, 141, 177, 213, 168)
"""For each of the chat's colours one of the 256 of a terminal."""


class Terminal:
    """What is typed, what becomes of it, and what is shown."""

    def __init__(self, console: Console, nick: str, room: str) -> None:
        self._console = console
        self._is_colored = console.is_terminal and not os.environ.get("NO_COLOR")
        self._room = room
        self.member = ChatMember(nick, [room], self.note, self.show)
        self._gave_up = anyio.CancelScope()
        self.failure: Exception | None = None
        """Why there will be no further connection."""

    # -- what is shown ---------------------------------------------------------------------------

    def note(self, text: str) -> None:
        """Something that nobody has said."""
        self._print("2", f"-- {cleaned(text)}")

    def show(self, room: str, line: Line) -> None:
        """What somebody has said."""
        when = time.strftime("%H:%M", time.localtime(line.at))
        nick = self._styled(f"38;5;{COLORS[line.by.color % len(COLORS)]}", cleaned(line.by.nick))
        self._console.show(f"{when} #{room} {nick}: {cleaned(line.text)}")

    def watch(self, event: ClientEvent) -> None:
        """What happens to the connection."""
        match event:
            case Disconnected(reason=reason):
                self.note(f"the connection is lost ({reason.value}), trying again ...")
            case Connected(attempt=attempt) if attempt > 1:
                self.note("connected again")
            case GaveUp(error=error):
                self.failure = error
                self._gave_up.cancel()
            case _:
                pass

    def _print(self, style: str, text: str) -> None:
        self._console.show(self._styled(style, text))

    def _styled(self, style: str, text: str) -> str:
        return f"\x1b[{style}m{text}\x1b[m" if self._is_colored else text

    # -- what is typed ---------------------------------------------------------------------------

    async def run(self, remote: Remote) -> None:
        """Do what each line says, to the end of them."""
        with self._gave_up:
            while (line := await self._console.line(f"#{self._room}> " if self._room else "> ")) is not None:
                try:
                    if not await self._do(remote, line.strip()):
                        break
                except CallError as error:
                    self.note(_failure(error))

    async def _do(self, remote: Remote, line: str) -> bool:
        """One line. Gives whether to go on."""
        member = self.member
        is_command = line.startswith("/") and not line.startswith("//")
        command, _, word = line.partition(" ") if is_command else ("", "", line.removeprefix("/"))
        match command, word.strip():
            case "", "":
                pass
            case "", text:
                await member.say(remote, self._room, text)
            case "/nick", nick if nick:
                await member.set_nick(remote, nick)
            case "/join", name if name:
                await self._join(remote, name.removeprefix("#").lower())
            case "/leave", _:
                await member.leave(remote, self._room)
                self._room = next(iter(member.rooms), "")
            case "/rooms", _:
                rooms = await remote.call(Rooms(), timeout=TIMEOUT)
                self.note(
                    ", ".join(f"#{each.room} ({each.members})" for each in rooms) or "nobody is anywhere"
                )
            case "/who", _:
                room = member.rooms.get(self._room)
                self.note(f"#{self._room}: {', '.join(room.members)}" if room else "you are in no room")
            case "/help", _:
                for each in HELP.splitlines():
                    self._print("2", each)
            case "/quit", _:
                return False
            case _:
                self.note(f"{command}: see /help")
        return True

    async def _join(self, remote: Remote, name: str) -> None:
        if name not in self.member.rooms:
            await self.member.join(remote, name)
        if name in self.member.rooms:
            self._room = name


def _failure(error: CallError) -> str:
    """Why it is not done, and whether that is sure."""
    if error.executed is Executed.NO:
        return "not done: there is no connection" if isinstance(error, CallTimeout) else f"not done: {error}"
    return f"perhaps not done: {error}"


async def run(url: str, nick: str, room: str) -> int:
    """Chat. Gives the exit code. Raises `ConnectFailed` if there is no server at the beginning."""
    with Console() as console:
        terminal = Terminal(console, nick, room)
        async with reconnecting(
            url,
            terminal.member.services(),
            wireformat="msgpack",
            limits=LIMITS,
            on_connect=terminal.member.enter,
            on_event=terminal.watch,
            backoff=PATIENCE,
        ) as client:
            # What certainly was not said when the connection ended is said on the next one.
            await terminal.run(client.remote(chat, retry=Retry.NOT_EXECUTED))
            await client.close("goodbye", grace=1.0)
        if terminal.failure is not None:
            terminal.note(f"there will be no connection any more: {terminal.failure}")
        return 1 if terminal.failure else 0


def main() -> None:
    """Read the options, and chat."""
    parser = argparse.ArgumentParser(description="The chat in a terminal.")
    parser.add_argument("url", nargs="?", default="tcp://127.0.0.1:7781", help="where the server is")
    parser.add_argument("--nick", default=getpass.getuser())
    parser.add_argument("--room", default="lobby")
    parser.add_argument("--loop", choices=["asyncio", "trio"], default="asyncio")
    options = parser.parse_args()
    logging.getLogger("duologue").setLevel(logging.CRITICAL)  # all is told in the chat itself
    try:
        sys.exit(anyio.run(run, options.url, options.nick, options.room, backend=options.loop))
    except ConnectFailed as error:
        sys.exit(f"chat: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
