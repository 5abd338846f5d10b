"""What became of calls."""

from __future__ import annotations

from typing import Any


class Outcomes:
    """Answers and errors, as they came."""

    def __init__(self) -> None:
        self.answers: list[object] = []
        self.errors: list[Exception] = []

    async def of(self, call: Any, *args: Any, **kwargs: Any) -> None:
        try:
            self.answers.append(await call(*args, **kwargs))
        except Exception as exc:
            self.errors.append(exc)

    def __len__(self) -> int:
        return len(self.answers) + len(self.errors)
