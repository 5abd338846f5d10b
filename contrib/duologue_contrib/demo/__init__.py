"""`duologue demo`: a server in a second process, and all that can happen between it and this one, row by row."""

from __future__ import annotations

__all__: list[str] = []
