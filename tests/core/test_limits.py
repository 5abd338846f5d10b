"""Limits: one frozen object, that refuses values with which nothing could work."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, fields
from typing import Any

import pytest

from duologue.protocol.limits import Limits


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_frame", 1024 * 1024),
        ("calls", 100),
        ("lent", 1024),
        ("parked", 1024),
        ("parked_bytes", 8 * 1024 * 1024),
        ("sends", 1000),
        ("sends_bytes", 4 * 1024 * 1024),
        ("owed", 1024),
        ("waiting", 8192),
        ("outbox_high", 256 * 1024),
        ("outbox_low", 64 * 1024),
        ("call_timeout", 60.0),
        ("frame_timeout", 30.0),
        ("handshake_timeout", 10.0),
        ("answers_stalled", 10.0),
        ("requests_stalled", 60.0),
        ("close_timeout", 10.0),
        ("observer_queue", 256),
        ("nesting", 32),
        ("items", 50_000),
        ("connections", 10_000),
        ("server_bytes", 256 * 1024 * 1024),
    ],
)
def test_the_defaults_are_those_of_the_design(name: str, value: float) -> None:
    """Each number is part of what is promised."""
    assert getattr(Limits(), name) == value


@pytest.mark.parametrize(
    "values",
    [
        {"calls": -1},
        {"frame_timeout": -0.5},
        {"call_timeout": math.nan},
        {"max_frame": 151},
        {"calls": 0},
        {"sends": 0},
        {"owed": 0},
        {"parked": 0},
        {"parked_bytes": 0},
        {"sends_bytes": 0},
        {"server_bytes": 0},
        {"outbox_high": 0, "outbox_low": 0},
        {"outbox_low": 2, "outbox_high": 1},
        {"sends_policy": "lose"},
    ],
    ids=str,
)
def test_values_that_can_not_work_are_refused(values: dict[str, Any]) -> None:
    """A mistake in a limit shows when it is made, and the text names the field."""
    with pytest.raises(ValueError, match=rf"Limits\..*{next(iter(values))}"):
        Limits(**values)


def test_limits_do_not_change() -> None:
    """They are shared by connections, so they are frozen."""
    with pytest.raises(FrozenInstanceError):
        Limits().calls = 5  # type: ignore[misc]


def test_unlimited_bounds_nothing_that_can_go_without() -> None:
    """Whatever is still bounded there is a time for which waiting has no use, or a depth that would crash the process."""
    bounded = {
        field.name
        for field in fields(Limits)
        if getattr(Limits.UNLIMITED, field.name) == getattr(Limits(), field.name)
    }
    assert bounded == {
        *("outbox_high", "outbox_low", "sends_policy", "handshake_timeout", "eof_grace", "discard_timeout"),
        *("eof_grace_sends", "close_timeout", "given_up", "observer_queue", "nesting"),
    }
