"""Service ids come out as the original makes them, and the ones that the protocol uses itself are refused."""

from __future__ import annotations

import pytest

from duologue import RegistrationError, ServiceIdError, service_id
from duologue.protocol.ids import CONTROL_SIDS, ERROR_SID, RESPONSE_SID, is_reserved
from duologue.service_ids import check_service_id, hex_id, human_name


@pytest.mark.parametrize(
    ("name", "sid"),
    [("Add", 0x6440CFD17C374646), ("Show", 0xCDD3781867767588), ("Sub", 0xFB47AD8F2083C565)],
)
def test_the_golden_ids(name: str, sid: int) -> None:
    """The ids that are frozen in the original's own tests: one space on each side of `::`, XXH64, seed 0."""
    assert service_id("remotes", name) == sid


def test_a_path_is_hashed_as_it_is_written() -> None:
    """In `remotes :: sub::Add` only the first `::` has spaces."""
    assert service_id("remotes", "sub::Add") not in (
        service_id("remotes", "Add"),
        service_id("remotes :: sub", "Add"),
    )


@pytest.mark.parametrize("sid", [0, -1, 2**64 - 1, 2**64, *CONTROL_SIDS[:2], CONTROL_SIDS[-1]])
def test_weak_point_24_reserved_ids_are_refused(sid: int) -> None:
    """The original takes the id 2^64-1, that of responses, in release builds; here it is refused, with the data."""
    assert is_reserved(sid)
    with pytest.raises(ServiceIdError, match="can't have the service id") as info:
        check_service_id(sid, "calc::Add")
    assert (info.value.sid, info.value.name) == (sid, "calc::Add")


@pytest.mark.parametrize("sid", [1, 2**64 - 2, CONTROL_SIDS[0] - 1, CONTROL_SIDS[-1] + 1])
def test_the_ids_beside_reserved_ones_are_free(sid: int) -> None:
    assert not is_reserved(sid)
    assert check_service_id(sid, "calc::Add") == sid


def test_the_reserved_ids_are_those_of_the_protocol() -> None:
    assert (ERROR_SID, RESPONSE_SID) == (0, 0xFFFF_FFFF_FFFF_FFFF)
    assert (CONTROL_SIDS[0], CONTROL_SIDS[-1], len(CONTROL_SIDS)) == (
        0xF782274C9450AA00,
        0xF782274C9450AAFF,
        256,
    )


@pytest.mark.parametrize("part", ["", " ", " Add", "Add\n"])
def test_a_name_that_looks_like_another_is_refused(part: str) -> None:
    """Spaces at the ends would be hashed, and nobody could see why two ids differ."""
    with pytest.raises(RegistrationError, match="must not be empty"):
        service_id("calc", part)
    with pytest.raises(RegistrationError, match="must not be empty"):
        service_id(part, "Add")


def test_a_name_that_has_no_bytes_is_refused() -> None:
    with pytest.raises(RegistrationError, match="UTF-8 has no bytes"):
        service_id("calc", "\ud800")


def test_how_ids_and_names_are_shown() -> None:
    assert hex_id(0xAB) == "0x00000000000000ab"
    assert human_name("remotes", "Add") == "remotes::Add"
