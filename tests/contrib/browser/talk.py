"""The messages that a server and a page exchange in the tests, and the server's handlers."""

from __future__ import annotations

from typing import Any

import anyio

from duologue import Context, Message, Namespace, Services


class Add(Message[int]):
    a: int
    b: int = 0


class Mirror(Message[Any]):
    """Gives back what it is given, as plain data."""

    value: Any


class Text(Message[str], newtype=True):
    """The payload is the text, whose length is up to the test."""

    text: str


class ByNumber(Message[dict[int, str]]):
    names: dict[int, str]


class Data(Message[int]):
    """Answers with the sum of its bytes."""

    data: bytes


class Note(Message[None]):
    """Sent one way, and then counted."""

    number: int


class Hold(Message[None]):
    """Is never answered."""


class Fail(Message[None]):
    pass


calc = Namespace("calc", [Add, Mirror, Text, ByNumber, Data, Note, Hold, Fail])


class Double(Message[int]):
    """Of the page's services: twice the number."""

    number: int


class Deep(Message[int]):
    """Calls back as many times as it says, each time within the last."""

    times: int


class Blob(Message[str], newtype=True):
    """Answers with a text of that length."""

    size: int


class Broken(Message[None]):
    """The page's handler throws."""


class Unserved(Message[None]):
    """The page has no handler for it."""


show = Namespace("show", [Double, Deep, Blob, Broken, Unserved, Note])


class Talker:
    """The server's handlers, and what they have seen."""

    def __init__(self) -> None:
        self.notes: list[int] = []
        self.services = Services(calc)
        for message, handler in (
            (Add, self.add),
            (Mirror, self.mirror),
            (Text, self.text),
            (ByNumber, self.by_number),
            (Data, self.data),
            (Note, self.note),
            (Hold, self.hold),
            (Fail, self.fail),
        ):
            self.services.handler(message, handler)  # type: ignore[arg-type]

    async def add(self, msg: Add, ctx: Context) -> int:
        if msg.b < 0:  # one level of a call that goes back and forth
            return await ctx.peer.remote(show).call(Deep(times=-msg.b - 1))
        return msg.a + msg.b

    async def mirror(self, msg: Mirror) -> Any:
        return msg.value

    async def text(self, msg: Text) -> str:
        return msg.text

    async def by_number(self, msg: ByNumber) -> dict[int, str]:
        return msg.names

    async def data(self, msg: Data) -> int:
        return sum(msg.data)

    async def note(self, msg: Note) -> None:
        self.notes.append(msg.number)

    async def hold(self, msg: Hold) -> None:
        await anyio.sleep_forever()

    async def fail(self, msg: Fail) -> None:
        raise RuntimeError("secret")
