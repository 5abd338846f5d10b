"""What the two processes of the demo say to each other. Both import this module: it is all they have to agree on."""

from __future__ import annotations

from duologue import Message, Namespace


class Add(Message[int]):
    """A sum, please."""

    a: int
    b: int


class Note(Message[None]):
    """One way: to be counted, and not answered."""

    text: str


class Notes(Message[int]):
    """Wait until so many notes have come on this connection, and say how many there were."""

    expected: int


class CallBack(Message[int]):
    """The other direction: call my `Double` so often, so many at once. The answer is the sum of what I said."""

    count: int
    at_once: int


class Work(Message[None]):
    """Wait for `Begin`, and then take your time. The server counts how many do at once."""

    seconds: float


class Begin(Message[None]):
    """One way: who works may go on. Until then their number only grows, as far as the library lets it."""


class MostAtOnce(Message[int]):
    """How many `Work`s ran at once, at most, on all connections. Those that come later wait for a `Begin` again."""


class Fail(Message[None]):
    """Its handler raises an exception, whose text is `SECRET`."""


class Logged(Message[int]):
    """How many exceptions the library has logged in the server's process."""


class Fill(Message[str]):
    """Answer with a text of this many bytes."""

    size: int


class Hang(Message[None]):
    """Its handler never ends."""


class Prompt(Message[None]):
    """One way: say `Cue`. Frames keep their order, so when it comes, all calls made before have arrived."""


server_side = Namespace(
    "demo", [Add, Note, Notes, CallBack, Work, Begin, MostAtOnce, Fail, Logged, Fill, Hang, Prompt]
)
"""What the server takes."""


class Unserved(Message[None]):
    """Nobody serves it."""


nobodys = Namespace("nobody", [Unserved])
"""What neither end has ever heard of."""


class Double(Message[int]):
    """Twice the number, please."""

    number: int


class Cue(Message[None]):
    """One way: the answer to `Prompt`."""


client_side = Namespace("demo_client", [Double, Cue])
"""What the client takes: both ends may serve."""

SECRET = "the password is swordfish"
"""In the text of an exception that must never leave its process."""
