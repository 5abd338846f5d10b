"""Defects to build into the state machine, for tests of tests: whoever looks for defects must find these."""

from __future__ import annotations

from typing import Any

import pytest

from duologue.protocol.ending import Ending
from duologue.protocol.events import IncomingRequest
from duologue.protocol.outbox import Outbox
from duologue.protocol.running import Running


def keep_the_permit(patch: pytest.MonkeyPatch) -> None:
    """A failed call does not give its permit back: weak point 2 of the original."""
    fail = Running.fail

    def broken(self: Running, request: IncomingRequest, *rest: Any) -> None:
        request.permit = False
        fail(self, request, *rest)

    patch.setattr(Running, "fail", broken)


def close_twice(patch: pytest.MonkeyPatch) -> None:
    """The end is told twice: weak point 17."""
    finish = Ending._finish

    def broken(self: Ending, *rest: Any) -> None:
        finish(self, *rest)
        self._events.append(self._events[-1])

    patch.setattr(Ending, "_finish", broken)


def promise_too_much(patch: pytest.MonkeyPatch) -> None:
    """`executed` says no though bytes have left."""
    patch.setattr(Outbox, "was_handed_out", lambda self, call_id: False)
