"""What the chat's server and its members say to each other, and how much of it there may be.

What can go wrong in the course of a chat is an answer like any other: a case of a union, which type checkers know of.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from duologue import Case, Limits, Message, Namespace

LONGEST_NAME = 20
LONGEST_TEXT = 500
LONGEST_KEY = 100
ROOMS = 100
ROOMS_EACH = 10
HISTORY = 50
COLORS = 12

# The largest message is the answer to who joins: the history, of 4 bytes for a character at most, and who is there.
LIMITS = Limits(max_frame=256 * 1024, calls=20, parked=100, connections=500, close_timeout=0.5)

# -- what messages are made of --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """Somebody in a room."""

    nick: str
    color: int
    """From 0 to `COLORS` - 1. It stays when the nick changes."""


@dataclass(frozen=True)
class Line:
    """What somebody has said."""

    by: Member
    text: str
    at: float
    """Seconds since 1970. In a room no two lines are of the same time, so who comes back knows which are new."""


@dataclass(frozen=True)
class RoomInfo:
    """A room in which somebody is."""

    room: str
    members: int


# -- answers ----------------------------------------------------------------------------------------------------


class NickSet(Case):
    """It is yours."""

    nick: str


class NickTaken(Case):
    """Somebody else has it, or one that looks the same."""


class Joined(Case):
    """You are in the room: who else is, and what was said lately."""

    members: list[Member]
    history: list[Line]


class Sent(Case):
    """All who are in the room get it, you too."""


class NoNick(Case):
    """Choose one first."""


class NotInRoom(Case):
    """Join it first."""


class TooManyRooms(Case):
    """You are in as many as may be, or there are."""

    limit: int


class TooFast(Case):
    """Nothing was done. Try again in so many seconds."""

    wait: float


class Refused(Case):
    """A nick, a room's name or a text is not as it must be."""

    rule: str
    """How it must be."""


Problem = NickTaken | NoNick | NotInRoom | TooManyRooms | TooFast | Refused

# -- what members ask for ---------------------------------------------------------------------------------------


class SetNick(Message[NickSet | NickTaken | TooFast | Refused]):
    """The first thing to do on each connection, and later to change it."""

    nick: str
    key: Annotated[str, Meta(max_length=LONGEST_KEY)]
    """A secret of whoever asks. With the same key the nick can be taken over from a connection that is dead, and not known to be."""


class Join(Message[Joined | NoNick | TooManyRooms | TooFast | Refused]):
    """Into a room, which need not be there before."""

    room: str


class Leave(Message[None]):
    """Out of a room."""

    room: str


class Say(Message[Sent | NotInRoom | TooFast | Refused]):
    """To all in a room."""

    room: str
    text: str


class Rooms(Message[list[RoomInfo]]):
    """In which rooms somebody is."""


chat = Namespace("chat", [SetNick, Join, Leave, Say, Rooms])

# -- what members are told --------------------------------------------------------------------------------------


class Said(Message[None]):
    """Somebody has said something."""

    room: str
    line: Line


class Came(Message[None]):
    """Somebody has joined."""

    room: str
    member: Member


class Went(Message[None]):
    """Somebody has left, or the connection is lost."""

    room: str
    nick: str


class Renamed(Message[None]):
    """Somebody has another nick."""

    room: str
    nick: str
    new: str


screen = Namespace("chat.screen", [Said, Came, Went, Renamed])

# -- texts ------------------------------------------------------------------------------------------------------

_TURN_AROUND = dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)))  # the direction of writing

# Letters, marks and signs by their category, of which nothing is to be seen: fillers, variants of what is before them, an empty pattern.
_FILLERS = {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0}
_UNSEEN = _FILLERS.union(range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))


def cleaned(text: str) -> str:
    """One line, without what a terminal would obey or what would turn the rest of the line around."""
    text = " ".join(unicodedata.normalize("NFC", text).translate(_TURN_AROUND).split())
    return "".join(each for each in text if unicodedata.category(each) != "Cc")


def seen(text: str) -> str:
    """Without the characters of which nothing is to be seen."""
    return "".join(each for each in text if ord(each) not in _UNSEEN and unicodedata.category(each) != "Cf")
