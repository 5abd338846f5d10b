"""One actor of many of the same class, by a key that the messages carry."""

from __future__ import annotations

import functools
import reprlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from operator import attrgetter
from typing import Any, Generic, TypeVar, get_type_hints

import anyio

from duologue import (
    DEFAULT,
    CallTimeout,
    Executed,
    Limits,
    Message,
    Overloaded,
    RegistrationError,
    SendTimeout,
    Timeout,
)
from duologue_contrib.actors.actor import Actor, refusal
from duologue_contrib.actors.calls import call, send
from duologue_contrib.actors.cell import Cell
from duologue_contrib.actors.circles import waiting_for
from duologue_contrib.actors.clock import Clock
from duologue_contrib.actors.local import LocalAddress, seconds_of
from duologue_contrib.actors.settings import Rest

K = TypeVar("K")
R = TypeVar("R")

Open = Callable[[Callable[[], Actor], type[Actor], str], Cell]
"""Of the scope: begins an actor, which has this name."""


class Keyed(Generic[K]):
    """Actors by their keys, behind one address: it fulfils `Address`. Made by `actors.keyed(...)`.

    The key is a field of each message, and nothing besides: a remote sends it like any other. An actor is made when the
    first message for its key comes, and again after it has ended, for whatever reason; never before its predecessor is
    really gone, so `stopped()` can keep what `__init__` or `started()` finds again.
    """

    def __init__(
        self,
        make: Callable[[K], Actor],
        open_cell: Open,
        *,
        key: str | Callable[[Any], K],
        limit: int,
        idle: float | None,
        limits: Limits,
        clock: Clock,
    ) -> None:
        if limit < 1 or (idle is not None and not idle > 0):
            raise ValueError(
                f"limit={limit}, idle={idle}: give room for at least 1 actor, and more than 0 seconds, or None for ever"
            )
        kind = class_made_by(make)
        if kind is None:
            raise RegistrationError(
                f"{make!r} does not say which class of actors it makes: give the class, a functools.partial of it, or a "
                "function that is annotated with what it returns"
            )
        self._make = make
        self._open_cell = open_cell
        self._kind = kind
        self._key_of = _key_reader(kind, key)
        self._limit = limit
        self._idle = idle
        self._limits = limits
        self._clock = clock
        # Whoever was used last is last. Those that take no more messages are in the way of the next with their key.
        self._live: OrderedDict[K, _Entry] = OrderedDict()
        self._ending: OrderedDict[K, Cell] = OrderedDict()
        self._waiting = 0
        self._added: anyio.Event | None = None

    @property
    def messages(self) -> AbstractSet[type[Message[Any]]]:
        """The messages that its actors handle."""
        return self._kind.__handlers__.keys()

    def __len__(self) -> int:
        """How many of its actors there are, those that are ending included."""
        return len(self._live) + len(self._ending)

    def __iter__(self) -> Iterator[K]:
        """The keys whose actors take messages now."""
        return iter(list(self._live))

    def __contains__(self, key: object) -> bool:
        return key in self._live

    async def call(self, message: Message[R], *, timeout: Timeout = DEFAULT) -> R:
        """Call the actor of the message's key: as `LocalAddress.call`.

        Raises `Overloaded` (executed: no), too, if there are as many actors as may be, and none is idle.
        """
        seconds = seconds_of(timeout, self._limits.call_timeout)
        key = self._key(message)
        if seconds == 0:
            raise CallTimeout(Executed.NO)
        entry = self._live.get(key)
        if entry is not None:
            self._touch(entry)
            answer: R = await call(entry.cell, message, seconds)
            return answer
        cell, left = await self._find(key, seconds)
        if cell is None:
            raise CallTimeout(Executed.NO)
        late: R = await call(cell, message, left)
        return late

    async def send(self, message: Message[Any], *, timeout: Timeout = DEFAULT) -> None:
        """Send to the actor of the message's key: as `LocalAddress.send`.

        Raises `Overloaded`, too, if there are as many actors as may be, and none is idle.
        """
        seconds = seconds_of(timeout, self._limits.send_timeout)
        cell, left = await self._find(self._key(message), seconds)
        if cell is None:
            raise SendTimeout
        await send(cell, message, left)

    def address_of(self, key: K) -> LocalAddress | None:
        """The address of the actor that has this key now; None if there is none. A later one has another."""
        entry = self._live.get(key)
        return None if entry is None else entry.cell.address

    async def stop(self, key: K, rest: Rest = "drop") -> None:
        """Stop the actor with this key, if there is one, and wait until it is no more: as `LocalAddress.stop`."""
        entry = self._live.get(key)
        cell = self._ending.get(key) if entry is None else entry.cell
        if cell is not None:
            await cell.stop(rest)

    async def stop_idle(self) -> None:
        """For its scope: stop those that were idle for long enough, for ever."""
        assert self._idle is not None
        while True:
            entry = next(iter(self._live.values()), None)
            if entry is None:
                self._added = anyio.Event()
                await self._added.wait()
                continue
            due = entry.used + self._idle
            if due > self._clock.now():
                await self._clock.sleep_until(due)
            elif entry.cell.is_idle:
                entry.cell.begin_stop("drain")
            else:
                self._touch(entry)  # it has worked until now

    def __repr__(self) -> str:
        return f"<Keyed {self._kind.__name__}, {len(self._live)} of at most {self._limit}>"

    def _key(self, message: Message[Any]) -> K:
        if type(message) not in self._kind.__handlers__:
            raise refusal(self._kind, message)
        return self._key_of(message)

    def _touch(self, entry: _Entry) -> None:
        entry.used = self._clock.now()
        self._live.move_to_end(entry.key)

    async def _find(self, key: K, seconds: float | None) -> tuple[Cell | None, float | None]:
        """The actor of a key, made if it must be, and how much of the time is left. None: not in time."""
        cell: Cell | None = None
        began = anyio.current_time()
        with anyio.move_on_after(seconds):
            cell = await self._cell_of(key)
        if seconds is not None:
            seconds = max(0.0, seconds - (anyio.current_time() - began))
        return cell, seconds

    async def _cell_of(self, key: K) -> Cell:
        while True:
            if (entry := self._live.get(key)) is not None:
                self._touch(entry)
                return entry.cell
            ending = self._ending.get(key)
            if ending is None:
                if len(self) < self._limit:
                    return self._open(key)
                ending = self._make_room()
            if self._waiting >= self._limits.waiting:
                raise Overloaded(
                    f"{self._waiting} messages wait for a {self._kind.__name__} to end already: send fewer at once"
                )
            self._waiting += 1
            try:
                with waiting_for(ending):
                    await ending.over.wait()
            finally:
                self._waiting -= 1

    def _open(self, key: K) -> Cell:
        # The key says which of them an error is about. It may come from a remote, so no more than a part of a long one.
        name = f"{self._kind.__name__}[{reprlib.repr(key)}]"
        cell = self._open_cell(lambda: self._make(key), self._kind, name)
        entry = self._live[key] = _Entry(key, cell, self._clock.now())

        def closing() -> None:
            del self._live[entry.key]
            self._ending[entry.key] = cell

        cell.on_closing = closing
        cell.on_over.append(lambda: self._ending.pop(entry.key))
        if self._added is not None:
            self._added.set()
        return cell

    def _make_room(self) -> Cell:
        """One that is about to end. It begins to, if it must: of those that are idle, the one that is so for longest."""
        if self._ending:
            return next(iter(self._ending.values()))
        for entry in self._live.values():
            if entry.cell.is_idle:
                entry.cell.begin_stop("drain")
                return entry.cell
        raise Overloaded(
            f"{self._limit} actors of {self._kind.__name__} are at work, as many as may be: try again, or raise limit="
        )


class _Entry:
    """An actor that takes messages."""

    __slots__ = ("cell", "key", "used")

    def __init__(self, key: Any, cell: Cell, used: float) -> None:
        self.key = key
        self.cell = cell
        self.used = used


def class_made_by(make: Callable[..., Actor]) -> type[Actor] | None:
    """The class of the actors that a function makes, as far as it says."""
    made: Any = make
    while isinstance(made, functools.partial):
        made = made.func
    if not isinstance(made, type):
        try:
            made = get_type_hints(made).get("return")
        except Exception:
            return None  # names that only type checkers know, or no function at all
    return made if isinstance(made, type) and issubclass(made, Actor) else None


def _key_reader(kind: type[Actor], key: str | Callable[[Any], K]) -> Callable[[Any], K]:
    if not isinstance(key, str):
        return key
    for message in kind.__handlers__:
        if key not in message.__struct_fields__:
            raise RegistrationError(
                f"{message.__name__}, which {kind.__name__} handles, has no field {key!r} for the key: add it, or give "
                "a function from a message to its key"
            )
    return attrgetter(key)
