"""What happened, a line each, and a number that tells one course of things from another."""

from __future__ import annotations

import hashlib
from collections.abc import Callable


class Trace:
    """Lines of the time, who, and what."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.lines: list[str] = []

    def note(self, who: str, what: str) -> None:
        """Something happened."""
        self.lines.append(f"{self._now():12.6f}  {who:<22} {what}")

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(self.lines)

    @property
    def digest(self) -> str:
        """Equal for equal traces, in each process and on each machine."""
        return hashlib.blake2b(self.text.encode(), digest_size=8).hexdigest()
