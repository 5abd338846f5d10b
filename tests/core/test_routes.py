"""Routes: what holds if a service says nothing else."""

from __future__ import annotations

import pytest
from tests.core.harness import TestRoute

from duologue.protocol.errors import FailureKind
from duologue.protocol.routes import Mode, RequestFault, Route


def test_what_a_route_is_by_default() -> None:
    """A coroutine in a task of its own, in no order, against a permit, without a context."""
    route: Route = TestRoute("a")
    assert (Route.mode, Route.ordered, Route.takes_permit) == (Mode.TASK, False, True)
    assert (route.has_handler, route.wants_context) == (True, False)


def test_a_fault_carries_its_kind() -> None:
    """`RequestFault` says what kind of failure it is, to the program and to people."""
    fault = RequestFault(FailureKind.SERIALIZE)
    assert fault.kind is FailureKind.SERIALIZE
    assert str(fault) == "Serialize"


def test_a_route_runs_in_its_mode_only() -> None:
    """A route that does not say how to run in a mode is not run in it."""

    class Nothing(Route):
        name = "test::Nothing"

    with pytest.raises(NotImplementedError, match="test::Nothing does not run as a task"):
        Nothing().run(b"", None, True).send(None)
    with pytest.raises(NotImplementedError, match="test::Nothing runs only as a task"):
        Nothing().run_sync(b"", None, True)
