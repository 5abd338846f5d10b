"""What a handler may ask for besides its message."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager

from duologue.peer import Peer


class Context(ABC):
    """The second parameter of a handler: `async def add(msg: Add, ctx: Context) -> int`."""

    peer: Peer
    """The connection that the message came by: call back through it."""
    call_id: int
    """The id of the call on its connection; 0 for a one-way message."""

    @abstractmethod
    def waiting(self) -> AbstractAsyncContextManager[None]:
        """Lend this handler's permit while it waits for something that needs the remote, so that others can run.

        The library does it by itself around every `call` and `send` of its own: `async with ctx.waiting():` is for
        other waits. Raises `Overloaded` if too many are lent already.
        """
