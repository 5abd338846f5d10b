"""Service ids that the protocol keeps for itself (docs/protocol.md, sections 2 and 5)."""

from __future__ import annotations

import pytest

from duologue.protocol.ids import CONTROL_SIDS, ERROR_SID, RESPONSE_SID, is_reserved


@pytest.mark.parametrize(
    ("sid", "reserved"),
    [
        (ERROR_SID, True),
        (RESPONSE_SID, True),
        (CONTROL_SIDS[0], True),
        (CONTROL_SIDS[-1], True),
        (CONTROL_SIDS[0] - 1, False),
        (CONTROL_SIDS[-1] + 1, False),
        (1, False),
        (2**64 - 2, False),
        (0x6440CFD17C374646, False),
        (-1, True),
        (2**64, True),
        (2**200, True),
    ],
)
def test_which_ids_are_reserved(sid: int, reserved: bool) -> None:
    """The error's id, the response's, the control block, and whatever is no 64-bit number: no service can have them."""
    assert is_reserved(sid) is reserved


def test_the_control_block_is_where_the_protocol_says() -> None:
    """256 ids from 0xf782274c9450aa00 on."""
    assert (CONTROL_SIDS.start, len(CONTROL_SIDS)) == (0xF782274C9450AA00, 256)
