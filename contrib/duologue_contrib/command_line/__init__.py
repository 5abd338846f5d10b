"""`duologue call` and `duologue serve`: for trying things, without a program of one's own at one end or the other."""

from __future__ import annotations

__all__: list[str] = []
