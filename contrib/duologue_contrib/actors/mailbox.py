"""Mailboxes: what an actor has not handled yet, in order, and bounded."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import anyio

from duologue import CallError, Message, Overloaded

GIVEN_UP = object()
"""In place of an answer: nobody waits for it."""


class Letter:
    """A message on its way to a handler, and what comes of it."""

    __slots__ = ("_told", "has_begun", "is_call", "is_ended", "message", "outcome", "place")

    def __init__(self, message: Message[Any], *, is_call: bool) -> None:
        self.message = message
        self.is_call = is_call
        self.has_begun = False
        """Its handler was called: what `executed` says."""
        self.is_ended = False
        """The one who waits was told, or waits no more."""
        self.outcome: Any = None
        """The answer, or a `CallError`."""
        self.place: OrderedDict[Letter, None] | None = None
        """The line that it stands in."""
        self._told: anyio.Event | None = anyio.Event() if is_call else None

    def end(self, outcome: Any) -> None:
        """Tell the one who waits, if there is one: of a call the end, of a message one way that there is room for it."""
        if not self.is_ended:
            self.is_ended = True
            self.outcome = outcome
            if self._told is not None:
                self._told.set()

    async def wait(self) -> None:
        """Wait until it has ended."""
        if self._told is None:
            self._told = anyio.Event()
        if not self.is_ended:
            await self._told.wait()

    def take_outcome(self) -> Any:
        """The answer. Raises what came in place of it."""
        # The letter is in the traceback of the error, and must not hold it in turn.
        outcome, self.outcome = self.outcome, None
        if isinstance(outcome, CallError):
            try:
                raise outcome
            finally:
                del outcome
        return outcome


class Mailbox:
    """Room for so many messages, and a line of so many that wait for it. Whoever came first is first."""

    def __init__(self, room: int, waiting: int) -> None:
        self._room = room
        self._most_waiting = waiting
        # In dicts, since whoever gives up leaves from the middle, and thousands may do so at once.
        self._inside: OrderedDict[Letter, None] = OrderedDict()
        self._outside: OrderedDict[Letter, None] = OrderedDict()
        self._arrival: anyio.Event | None = None
        self.is_closed = False
        """Nothing more is taken."""

    def __len__(self) -> int:
        return len(self._inside) + len(self._outside)

    @property
    def is_full(self) -> bool:
        """Whether the next would have to wait for room."""
        return len(self._inside) >= self._room

    def put(self, letter: Letter, name: str) -> None:
        """Take it, or let it wait for room. Raises `Overloaded` if too many do."""
        if not self.is_full:
            self._enter(letter)
            self._wake()
        elif len(self._outside) < self._most_waiting:
            letter.place = self._outside
            self._outside[letter] = None
        else:
            raise Overloaded(
                f"{len(self._outside)} messages wait for room in the mailbox of {name} already: send fewer at once, or "
                "raise Limits.waiting of its scope"
            )

    def remove(self, letter: Letter) -> None:
        """The one who waited gave up, before it was handled."""
        if letter.place is not None:
            del letter.place[letter]
            letter.place = None
            self._admit()

    async def take(self) -> Letter | None:
        """The next, as soon as there is one; None if there will be no other."""
        while not self._inside:
            if self.is_closed:
                return None
            self._arrival = anyio.Event()
            await self._arrival.wait()
        letter, _ = self._inside.popitem(last=False)
        letter.place = None
        self._admit()
        return letter

    def close(self) -> None:
        """Take nothing more. What is in it, or waits for room, can still be taken out."""
        self.is_closed = True
        self._wake()

    def drop(self) -> list[Letter]:
        """Empty it."""
        dropped = [*self._inside, *self._outside]
        self._inside.clear()
        self._outside.clear()
        for letter in dropped:
            letter.place = None
        return dropped

    def _admit(self) -> None:
        while self._outside and not self.is_full:
            self._enter(self._outside.popitem(last=False)[0])

    def _enter(self, letter: Letter) -> None:
        letter.place = self._inside
        self._inside[letter] = None
        if not letter.is_call:
            letter.end(None)

    def _wake(self) -> None:
        if self._arrival is not None:
            self._arrival.set()
            self._arrival = None
