"""What the other end has to say to people."""

from __future__ import annotations


def printable(text: str) -> str:
    """For an error of ours: one line, not too long, nothing that a terminal or a log would take for more than text."""
    line = text.strip().partition("\n")[0][:200]
    return "".join(char if char.isprintable() else "?" for char in line)
