"""Defects of what is delivered, and in which order, each as a patch of what is right here. No product code knows of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from duologue.protocol.incoming import Incoming
from duologue.protocol.parking import Parking
from duologue_adapters.driver import Driver
from duologue_adapters.time_slice import TimeSlice

Patch = pytest.MonkeyPatch


def rest_of_the_events_forgotten(patch: Patch) -> None:
    """What is left of the events when a time slice is over is never dispatched."""
    dispatch = Driver._dispatch

    def forget(self: Driver, events: Any) -> None:
        dispatch(self, events)
        self._undispatched = []

    patch.setattr(Driver, "_dispatch", forget)


def nobody_goes_on(patch: Patch) -> None:
    """When a time slice is over, and all else has had its turn, the next one does not begin."""
    patch.setattr(TimeSlice, "_next", lambda self: None)


def busy_connection_loses_messages(patch: Patch) -> None:
    """A one-way message that comes while two others are handled is lost, and nobody is told."""
    received = Incoming.send_received

    def lose(self: Incoming, *args: Any) -> None:
        if self.sends.running < 2:
            received(self, *args)

    patch.setattr(Incoming, "send_received", lose)


def lane_loses_messages(patch: Patch) -> None:
    """An ordered message that comes while another one waits is lost, and nobody is told."""
    line_up = Parking.line_up

    def lose(self: Parking, request: Any) -> None:
        if request.cid or not self._lane:
            line_up(self, request)

    patch.setattr(Parking, "line_up", lose)


def turn_not_kept(patch: Patch) -> None:
    """The next of the ordered requests begins before the one that has the turn has ended."""
    next_turn = Parking.next_turn

    def take(self: Parking, gated: bool) -> Any:
        self.turn = None
        return next_turn(self, gated)

    patch.setattr(Parking, "next_turn", take)


def last_comes_first(patch: Patch) -> None:
    """Of the ordered requests that wait the last begins first."""
    next_turn = Parking.next_turn

    def take(self: Parking, gated: bool) -> Any:
        if self.turn is None and self._lane:
            self._lane.rotate(1)
        return next_turn(self, gated)

    patch.setattr(Parking, "next_turn", take)


DELIVERY: dict[Callable[[Patch], None], str] = {
    rest_of_the_events_forgotten: "connections are not over|still wait|without an answer|neither handled|nothing was slow",
    nobody_goes_on: "nothing will ever happen|connections are not over|still wait|without an answer|neither handled|nothing was slow",
    busy_connection_loses_messages: "neither handled nor dropped",
    lane_loses_messages: "neither handled nor dropped",
    turn_not_kept: "while others had the turn",
    last_comes_first: "begun in another",
}
"""All of them, and what the simulation says of each."""
