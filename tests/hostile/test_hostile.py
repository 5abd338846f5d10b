"""Hostile payloads of the size of the largest frame: each is refused with the documented error, and costs little memory."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
from tests.hostile import cli
from tests.hostile.measure import MIB, Cost, refuse
from tests.hostile.payloads import FORMATS, HAZARDS, SIZE, hostile
from tests.wireformats.formats import peak_bytes

from duologue import DecodeError

NOTHING = {
    ("msgpack", "big integers"),
    ("msgpack", "shared references"),
    ("json", "tags and extension types"),
    ("json", "shared references"),
    ("json", "lengths that are not there"),
    ("cbor", "NaN and infinities"),
    ("msgpack", "NaN and infinities"),
}
"""What a format does not have, or what is a value like others in it."""

every_kind = pytest.mark.parametrize(
    ("wireformat", "hazard"),
    [(name, hazard) for name in FORMATS for hazard in HAZARDS if (name, hazard) not in NOTHING],
)


@pytest.mark.fault(26, 27, 28, 29, 30, 31, 32)
@every_kind
def test_it_is_refused_with_little_memory(wireformat: str, hazard: str) -> None:
    """Whatever is wrong with a payload of the largest frame, and wherever: a `DecodeError`, with 8 MiB more memory at most."""
    kinds = list(hostile(wireformat, hazard))
    assert kinds
    for each in kinds:
        assert len(each.payload) <= SIZE, each.name
        peak = peak_bytes(refuse(each))
        assert peak <= 8 * MIB, f"{peak / MIB:.1f} MiB for {each.name}"


@pytest.mark.fault(30, 48)
@every_kind
def test_work_grows_with_the_size_and_no_faster(wireformat: str, hazard: str) -> None:
    """Four times as large, with four times as many values: at most about four times as many steps of Python, and calls of C."""
    few, many = 32 * 1024, 128 * 1024
    for small, large in zip(
        hostile(wireformat, hazard, few, 1500), hostile(wireformat, hazard, many, 6000), strict=True
    ):
        assert steps(large.wireformat, large.type_, large.payload, 6000) <= 5 * (
            steps(small.wireformat, small.type_, small.payload, 1500) + 200
        ), large.name


def steps(wireformat: str, type_: Any, payload: bytes, items: int) -> int:
    """Lines of Python that run while the payload is refused, and functions in C that they call."""
    codec = FORMATS[wireformat](items=items).codec(type_)
    count = 0

    def traced(frame: FrameType, event: str, argument: object) -> Any:
        nonlocal count
        count += 1
        return traced

    def profiled(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "c_call"

    before, before_profile = sys.gettrace(), sys.getprofile()
    sys.settrace(traced)
    sys.setprofile(profiled)
    try:
        codec.decode(payload)
    except DecodeError:
        return count
    finally:
        sys.settrace(before)
        sys.setprofile(before_profile)
    raise AssertionError("accepted")


def test_what_a_format_does_not_have_is_not_measured() -> None:
    for wireformat, hazard in NOTHING:
        assert list(hostile(wireformat, hazard)) == []


def test_the_table_says_what_is_over() -> None:
    """A time or a size over the bound is marked, with the payload that took so long."""
    cheap, slow, large = (
        Cost(0.04, 1.0, 2.0, "early", 3),
        Cost(5.1, 0.0, 0.0, "late", 1),
        Cost(1.0, 1.0, 8.2, "early", 1),
    )
    costs: dict[tuple[str, str], Cost | None] = dict.fromkeys(
        [(name, hazard) for name in FORMATS for hazard in HAZARDS]
    )
    costs |= {("cbor", "depth"): cheap, ("msgpack", "depth"): slow, ("json", "depth"): large}
    row = next(line for line in cli.table(costs).splitlines() if line.startswith("| depth"))
    assert (
        row
        == "| depth | 0.0 ms, 1.0 / 2.0 MiB | **5.1 ms** (late), 0.0 / 0.0 MiB | 1.0 ms, **1.0 / 8.2 MiB** |"
    )


def test_the_table_has_its_place() -> None:
    page = "before\n<!-- measured: hostile -->\nold\n<!-- end -->\nafter\n"
    assert cli.put_in(page, "new\n") == "before\n<!-- measured: hostile -->\nnew\n<!-- end -->\nafter\n"
    with pytest.raises(SystemExit, match="no place"):
        cli.put_in("nothing", "new")
    table = "| a table that is nowhere on the page |\n"
    assert cli.put_in(cli.PAGE.read_text(encoding="utf-8"), table).count(table) == 1
