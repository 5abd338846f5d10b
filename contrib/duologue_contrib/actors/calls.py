"""Calling and sending, from the caller's side: into the mailbox, and the wait for what comes of it."""

from __future__ import annotations

from typing import Any

import anyio

from duologue import CallTimeout, Executed, Message, SendTimeout
from duologue_contrib.actors.cell import Cell
from duologue_contrib.actors.circles import waiting_for
from duologue_contrib.actors.errors import named
from duologue_contrib.actors.mailbox import GIVEN_UP, Letter


async def call(cell: Cell, message: Message[Any], seconds: float | None) -> Any:
    """Put a message into an actor's mailbox, and wait for the answer."""
    cell.check(message)
    cell.refuse_if_closed(message)
    if seconds == 0:
        raise named(cell.name, CallTimeout(Executed.NO), message)
    with waiting_for(cell):
        letter = Letter(message, is_call=True)
        cell.mailbox.put(letter, cell.name)
        await _wait(cell, letter, seconds)
    if letter.outcome is GIVEN_UP:
        raise named(cell.name, CallTimeout(Executed.YES if letter.has_begun else Executed.NO), message)
    return letter.take_outcome()


async def send(cell: Cell, message: Message[Any], seconds: float | None) -> None:
    """Put a message into an actor's mailbox, and wait for room there, if there is none."""
    cell.check(message)
    cell.refuse_if_closed(message)
    letter = Letter(message, is_call=False)
    if not cell.mailbox.is_full:
        cell.mailbox.put(letter, cell.name)
        return
    if seconds == 0:
        raise SendTimeout
    with waiting_for(cell):
        cell.mailbox.put(letter, cell.name)
        await _wait(cell, letter, seconds)
    if letter.outcome is GIVEN_UP:
        raise SendTimeout
    letter.take_outcome()


async def _wait(cell: Cell, letter: Letter, seconds: float | None) -> None:
    try:
        with anyio.move_on_after(seconds):
            await letter.wait()
    finally:
        if not letter.is_ended:
            cell.give_up(letter)
