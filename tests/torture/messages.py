"""What the victim serves, and what it tells of itself."""

from __future__ import annotations

from duologue import Message, Namespace


class Add(Message[int]):
    a: int
    b: int


class Echo(Message[bytes]):
    data: bytes


class Hold(Message[None]):
    """A call whose handler runs until it is cancelled."""


class Work(Message[int]):
    """A call that is written down before anything else is done, so that it is known after the process was killed."""

    number: int


class Say(Message[None]):
    """One way, and handled at once."""

    data: bytes


class Keep(Message[None]):
    """One way, and its handler runs until the victim is told `Release`."""

    data: bytes


class Tick(Message[None]):
    """What is published."""

    number: int
    data: bytes


class Held(Message[dict[str, int]]):
    """What the process holds now."""


class Trim(Message[None]):
    """Give back to the system what is free."""


class Release(Message[None]):
    """Let the handlers of `Keep` end: those that run now, and all that come."""


class Push(Message[int]):
    """Send so many messages of so many bytes to each peer, one way. The answer is how many were sent."""

    count: int
    size: int


tools = Namespace("tools", [Add, Echo, Hold, Work, Say, Keep])
news = Namespace("news", [Tick])
control = Namespace("control", [Held, Trim, Push, Release])
