"""A member of the chat, for any program: it keeps its nick and its rooms over all connections.

It only does and tells. What a line looks like, and where it is shown, is the business of who makes it: see terminal.py.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import assert_never

import anyio
from messages import (
    Came,
    Join,
    Joined,
    Leave,
    Line,
    Member,
    NickSet,
    NickTaken,
    NoNick,
    NotInRoom,
    Problem,
    Refused,
    Renamed,
    Said,
    Say,
    Sent,
    SetNick,
    TooFast,
    TooManyRooms,
    Went,
    chat,
    screen,
)

from duologue import Peer, Remote, Services


class RoomView:
    """A room as its member sees it."""

    def __init__(self) -> None:
        self.members: dict[str, Member] = {}
        self.latest = 0.0
        self.is_known = anyio.Event()
        """Set when this connection has joined it, and `members` are those who are there."""


class ChatMember:
    """What a member knows and does. `note` is called with each line that is to be shown, `say` with each that somebody said."""

    def __init__(
        self, nick: str, rooms: list[str], note: Callable[[str], None], say: Callable[[str, Line], None]
    ) -> None:
        self.nick = nick
        self.rooms = {name: RoomView() for name in rooms}
        self._note = note
        self._show = say
        self._key = secrets.token_hex(16)

    # -- what it does ----------------------------------------------------------------------------

    async def enter(self, peer: Peer) -> None:
        """Called with each new connection: whatever was known is so no more."""
        for room in self.rooms.values():
            room.is_known = anyio.Event()
        await self.set_nick(peer.remote(chat), self.nick)

    async def set_nick(self, remote: Remote, nick: str) -> None:
        """Choose a nick, and join all rooms that wait for that."""
        match await remote.call(SetNick(nick, self._key)):
            case NickSet(nick):
                if nick != self.nick:
                    self._note(f"you are {nick} now")
                self.nick = nick
                for name in [name for name, room in self.rooms.items() if not room.is_known.is_set()]:
                    await self.join(remote, name)
            case problem:
                self._note(f"not {nick}: {explained(problem)}")

    async def join(self, remote: Remote, name: str) -> None:
        """Join a room, and show what was said there meanwhile."""
        room = self.rooms.setdefault(name, RoomView())
        match await remote.call(Join(name)):
            case Joined(members, history):
                room.members = {each.nick: each for each in members}
                self._note(f"#{name}: {', '.join(room.members)}")
                for line in history:
                    self._said(name, room, line)
                room.is_known.set()
            case NoNick():
                self._note(f"#{name} has to wait: {explained(NoNick())}")
            case problem:
                del self.rooms[name]
                self._note(f"not in #{name}: {explained(problem)}")

    async def leave(self, remote: Remote, name: str) -> None:
        """Leave a room."""
        if self.rooms.pop(name, None):
            await remote.call(Leave(name))
            self._note(f"you have left #{name}")

    async def say(self, remote: Remote, name: str, text: str) -> None:
        """Say something. Who is too fast for the server waits."""
        while True:
            match await remote.call(Say(name, text)):
                case Sent():
                    return
                case TooFast(wait):
                    await anyio.sleep(wait)
                case problem:
                    self._note(f"not said: {explained(problem)}")
                    return

    # -- what it is told -------------------------------------------------------------------------

    def services(self) -> Services:
        """For the server to call. In order, since a nick that changes between two lines must not do so after them."""
        services = Services(screen)

        @services.handler(ordered=True)
        async def said(msg: Said) -> None:
            if room := await self._room(msg.room):
                self._said(msg.room, room, msg.line)

        @services.handler(ordered=True)
        async def came(msg: Came) -> None:
            if room := await self._room(msg.room):
                room.members[msg.member.nick] = msg.member
                self._note(f"#{msg.room}: {msg.member.nick} has come")

        @services.handler(ordered=True)
        async def went(msg: Went) -> None:
            if room := await self._room(msg.room):
                room.members.pop(msg.nick, None)
                self._note(f"#{msg.room}: {msg.nick} has gone")

        @services.handler(ordered=True)
        async def renamed(msg: Renamed) -> None:
            if (room := await self._room(msg.room)) and (member := room.members.pop(msg.nick, None)):
                room.members[msg.new] = Member(msg.new, member.color)
                if self.nick not in (msg.nick, msg.new):
                    self._note(f"#{msg.room}: {msg.nick} is {msg.new} now")

        return services

    async def _room(self, name: str) -> RoomView | None:
        """A room, if it is one of ours. What is told of it may arrive before the answer to `Join`, and waits for that."""
        room = self.rooms.get(name)
        if room is not None:
            await room.is_known.wait()
        return room

    def _said(self, name: str, room: RoomView, line: Line) -> None:
        if line.at > room.latest:  # else it was shown before the connection was lost
            room.latest = line.at
            self._show(name, line)


def explained(problem: Problem) -> str:
    """For people."""
    match problem:
        case NickTaken():
            return "somebody else has this nick, choose another"
        case NoNick():
            return "choose a nick first"
        case NotInRoom():
            return "join the room first"
        case TooManyRooms(limit):
            return f"there is room for {limit} rooms"
        case TooFast(wait):
            return f"too fast, wait for {wait:.0f} s"
        case Refused(rule):
            return f"it must be {rule}"
        case _:
            assert_never(problem)
