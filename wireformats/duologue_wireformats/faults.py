"""What went wrong, in words that hold the field's path and the expected type, and nothing of what was received.

Payloads are other people's data: they must not get into logs by way of an error. So texts of the libraries are let
through only where they are known to hold none of it, and the original exceptions are not shown behind ours.
"""

from __future__ import annotations

import re

import msgspec

from duologue.errors import DecodeError

_PATH = re.compile(r" - at (?:`key` in )?`\$[^`]{0,200}`$")
"""What msgspec ends its texts with, unless it is the value itself that is wrong."""

_QUOTING = {
    "Invalid enum value": "Expected one of the declared values",
    "Invalid value": "Expected one of the declared values",
    "Object contains unknown field": "Object contains an unknown field",
}
"""How those of msgspec's texts begin that quote what was received, and what is said instead."""


def decode_fault(exc: Exception, name: str) -> DecodeError:
    """The error for a payload that can't be read, to be raised `from` its own cause. `name` is the wire format's."""
    if isinstance(exc, DecodeError):
        return exc
    if isinstance(exc, msgspec.ValidationError):
        return _invalid(exc)
    if isinstance(exc, msgspec.DecodeError):
        return _caused(str(exc), None)  # these tell positions, not contents
    if isinstance(exc, UnicodeError):
        return _caused(f"not valid {name}: a text is not UTF-8", None)
    if isinstance(exc, RecursionError):
        return _caused(f"not acceptable {name}: nested too deep", None)
    return _caused(f"not valid {name}, or refused by the declared type: {type(exc).__name__}", exc)


def path_of(text: str) -> str:
    """The path at the end of one of msgspec's texts, as it stands there; empty for the value itself."""
    found = _PATH.search(text)
    return found[0] if found else ""


def _invalid(exc: msgspec.ValidationError) -> DecodeError:
    text = str(exc)
    path = path_of(text)
    if exc.__cause__ is not None:
        # Raised by the class itself, in `__post_init__`: its words are its own business, so they stay behind.
        cause = exc.__cause__
        return _caused(f"Refused by the declared type: {type(cause).__name__}{path}", cause)
    for beginning, instead in _QUOTING.items():
        if text.startswith(beginning):
            return _caused(instead + path, None)
    return _caused(text, None)


def _caused(text: str, cause: BaseException | None) -> DecodeError:
    error = DecodeError(text)
    error.__cause__ = cause
    return error
