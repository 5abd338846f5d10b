"""What an actor may be told about its life."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from duologue import RegistrationError
from duologue_contrib.actors.supervision import FailureLog, FailurePolicy

Rest = Literal["drop", "drain"]
"""What becomes of the messages in the mailbox of an actor that is to stop: they fail, or are handled before."""


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
        if not isinstance(self.failure, FailurePolicy):  # pyright: ignore[reportUnnecessaryIsInstance] - not all callers are checked
            raise RegistrationError(
                f"failure={self.failure!r}: give Stop(), Resume(), Restart(limit=..., within=...) or Escalate()"
            )
        if self.mailbox < 1:
            raise ValueError(
                f"mailbox={self.mailbox}: give the number of messages that have room, at least 1"
            )
