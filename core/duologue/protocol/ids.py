"""Service ids that mean something to the protocol itself (docs/protocol.md, sections 1, 2 and 5)."""

from __future__ import annotations

ERROR_SID = 0
"""In the header of an error frame."""

RESPONSE_SID = 2**64 - 1
"""In the header of a response."""

CONTROL_SIDS = range(0xF782274C9450AA00, 0xF782274C9450AB00)
"""In the headers of control frames, which extended mode adds."""

_FIRST_CONTROL = CONTROL_SIDS.start
_LAST_CONTROL = CONTROL_SIDS.stop - 1


def is_reserved(sid: int) -> bool:
    """Whether no service can have this id: the protocol uses it itself, or it is not a 64-bit number."""
    # Asked for every request, so plain comparisons: most ids are decided by the first two.
    return not 0 < sid < RESPONSE_SID or _FIRST_CONTROL <= sid <= _LAST_CONTROL
