"""What an actor may be told about its life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

from duologue_contrib.actors.supervision import FailureLog, FailurePolicy, check_policy

Rest = Literal["drop", "drain"]
"""What becomes of the messages in the mailbox of an actor that is to stop: they fail, or are handled before."""


def check_rest(rest: object) -> None:
    """Raises `ValueError` for what is none: taken for the other one, it would lose messages, or wait for them."""
    if rest not in get_args(Rest):
        raise ValueError(f"rest={rest!r}: give {' or '.join(map(repr, get_args(Rest)))}")


@dataclass(frozen=True, slots=True)
class Settings:
    """What an actor is given besides what makes it."""

    mailbox: int
    waiting: int
    failure: FailurePolicy
    log: FailureLog
    """Shared by all actors of one `keyed`, for as many as there may be."""
    now: Callable[[], float]

    def __post_init__(self) -> None:
        check_policy(self.failure)
        if not self.mailbox >= 1:
            raise ValueError(
                f"mailbox={self.mailbox}: give the number of messages that have room, at least 1"
            )
