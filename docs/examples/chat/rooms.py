"""The chat itself: who has which nick, who is in which room, what was said there.

Nothing here waits for anything, so whatever one member does is done before the next one does something.
"""

from __future__ import annotations

import time
import unicodedata
from collections import deque
from collections.abc import Callable
from itertools import count

from messages import (
    COLORS,
    HISTORY,
    LONGEST_NAME,
    LONGEST_TEXT,
    ROOMS,
    ROOMS_EACH,
    Came,
    Joined,
    Line,
    Member,
    NickSet,
    NickTaken,
    NoNick,
    NotInRoom,
    Refused,
    Renamed,
    RoomInfo,
    Said,
    Sent,
    TooFast,
    TooManyRooms,
    Went,
    cleaned,
    screen,
    seen,
)

from duologue import Peer, PubSub

NAME_RULE = f"1 to {LONGEST_NAME} characters without blanks, and no / or # at the start"
TEXT_RULE = f"1 to {LONGEST_TEXT} characters"

BURST = 30
"""So much may a member do at once: join all of its rooms anew, and some more."""
PER_SECOND = 3.0


class Guest:
    """One connection."""

    def __init__(self, peer: Peer, color: int, now: Callable[[], float]) -> None:
        self.peer = peer
        self.member = Member("", color)
        self.key = ""
        self.rooms: dict[str, Room] = {}
        self._now = now
        self._allowance = float(BURST)
        self._looked_at = now()

    def hurry(self) -> float:
        """Do one more thing. Gives 0, or after how many seconds it may be done: then it is not."""
        now = self._now()
        self._allowance = min(BURST, self._allowance + (now - self._looked_at) * PER_SECOND)
        self._looked_at = now
        if self._allowance < 1:
            return (1 - self._allowance) / PER_SECOND
        self._allowance -= 1
        return 0.0


class Room:
    """A room. One who does not take what is said here loses the connection, and holds up nobody."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.guests: list[Guest] = []
        self.history: deque[Line] = deque(maxlen=HISTORY)
        self.feed = PubSub(screen)

    def enter(self, guest: Guest) -> None:
        """Let somebody in, and tell all others."""
        self.feed.publish(Came(self.name, guest.member))
        self.feed.subscribe(guest.peer, queue=200, policy="close")
        self.guests.append(guest)

    def leave(self, guest: Guest) -> None:
        """Let somebody out, and tell all others."""
        self.guests.remove(guest)
        if self.feed.subscription_of(guest.peer) is not None:  # else the connection has ended
            self.feed.unsubscribe(guest.peer)
        self.feed.publish(Went(self.name, guest.member.nick))

    def say(self, guest: Guest, text: str) -> None:
        """Tell all."""
        latest = self.history[-1].at if self.history else 0.0
        line = Line(guest.member, text, max(time.time(), latest + 1e-6))
        self.history.append(line)
        self.feed.publish(Said(self.name, line))


class Chat:
    """All guests, all rooms."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._colors = count()
        self._nicks: dict[str, Guest] = {}
        self._rooms: dict[str, Room] = {}

    def arrive(self, peer: Peer) -> Guest:
        """A new connection."""
        return Guest(peer, next(self._colors) % COLORS, self._now)

    def depart(self, guest: Guest) -> None:
        """Its connection has ended, or its nick is used by another."""
        for room in guest.rooms.values():
            room.leave(guest)
        guest.rooms.clear()
        if guest.member.nick:
            del self._nicks[_likeness(guest.member.nick)]
            guest.member = Member("", guest.member.color)

    def set_nick(self, guest: Guest, nick: str, key: str) -> NickSet | NickTaken | TooFast | Refused:
        """A nick, if it is free; it is, too, if its owner has come back by another connection."""
        if wait := guest.hurry():
            return TooFast(wait)
        nick = unicodedata.normalize("NFC", nick)
        if not _is_name(nick):
            return Refused(NAME_RULE)
        owner = self._nicks.get(_likeness(nick), guest)
        if owner is not guest:
            if not key or owner.key != key:
                return NickTaken()
            self.depart(owner)
        old, guest.key = guest.member.nick, key
        if old:
            del self._nicks[_likeness(old)]
        self._nicks[_likeness(nick)] = guest
        guest.member = Member(nick, guest.member.color)
        if old != nick:
            for room in guest.rooms.values():
                room.feed.publish(Renamed(room.name, old, nick))
        return NickSet(nick)

    def join(self, guest: Guest, name: str) -> Joined | NoNick | TooManyRooms | TooFast | Refused:
        """Into a room, which is made if need be. Who is in it already learns anew what is in there."""
        if wait := guest.hurry():
            return TooFast(wait)
        if not guest.member.nick:
            return NoNick()
        if not _is_name(name) or name != unicodedata.normalize("NFKC", seen(name)).lower():
            return Refused(f"{NAME_RULE}, and no capitals")
        if name not in guest.rooms:
            if len(guest.rooms) >= ROOMS_EACH:
                return TooManyRooms(ROOMS_EACH)
            if name not in self._rooms and not self._has_room_for_one():
                return TooManyRooms(ROOMS)
            room = self._rooms.setdefault(name, Room(name))
            room.enter(guest)
            guest.rooms[name] = room
        room = guest.rooms[name]
        return Joined([each.member for each in room.guests], list(room.history))

    def leave(self, guest: Guest, name: str) -> None:
        """Out of a room. Its history is kept while there is room for it."""
        if room := guest.rooms.pop(name, None):
            room.leave(guest)

    def say(self, guest: Guest, name: str, text: str) -> Sent | NotInRoom | TooFast | Refused:
        """To all in a room."""
        if wait := guest.hurry():
            return TooFast(wait)
        if name not in guest.rooms:
            return NotInRoom()
        text = cleaned(text)
        if not seen(text) or len(text) > LONGEST_TEXT:
            return Refused(TEXT_RULE)
        guest.rooms[name].say(guest, text)
        return Sent()

    def rooms(self) -> list[RoomInfo]:
        """Those in which somebody is."""
        return [RoomInfo(each.name, len(each.guests)) for each in self._rooms.values() if each.guests]

    def _has_room_for_one(self) -> bool:
        """Room for one more room, if need be by forgetting one that is empty."""
        empty = [name for name, room in self._rooms.items() if not room.guests]
        if len(self._rooms) >= ROOMS and empty:
            del self._rooms[empty[0]]
        return len(self._rooms) < ROOMS


def _is_name(name: str) -> bool:
    is_plain = name.isprintable() and not any(each.isspace() for each in name)
    if not is_plain or not seen(name) or len(name) > LONGEST_NAME:
        return False
    # A mark at the start would be drawn over what stands before the name.
    return name[0] not in "/#" and not unicodedata.category(seen(name)[0]).startswith("M")


def _likeness(name: str) -> str:
    """What two names have in common that people take for the same. Not so for letters of different scripts."""
    folded = unicodedata.normalize("NFKC", seen(name)).casefold()
    return unicodedata.normalize("NFKC", folded)
