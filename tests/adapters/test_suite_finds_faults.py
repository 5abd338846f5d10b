"""The public suite for adapters has teeth: an adapter with a fault does not pass it, and a sound one does."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import pytest
from tests.adapters import faulty
from tests.adapters.raw_streams import RawLink

from duologue import Adapter, register_adapter
from duologue.plugins import unregister_adapter
from duologue_adapters.engines import engine_here
from duologue_contrib.testing import AdapterSuite


class Subject(AdapterSuite):
    """The suite over the adapter that is registered now, as short as will do for faults that are there all the time."""

    __test__ = False

    url = "faulty://suite"
    is_in_process = True
    connections = 30
    in_flight = 4 * 2**20
    patience = 5.0

    def raw_stream(self, url: str) -> AbstractAsyncContextManager[anyio.abc.ByteStream]:
        return raw_faulty(url)


@asynccontextmanager
async def raw_faulty(url: str) -> Any:
    async with engine_here() as engine:
        async with RawLink(faulty._served[url].open_link(engine)) as stream:
            yield stream


def outcome(name: str, patience: float = Subject.patience) -> BaseException | None:
    """What becomes of a test of the suite, with the first of its parameters that fails."""
    suite = type("Short", (Subject,), {"patience": patience})()
    test = getattr(suite, name)
    for row in rows(test):
        try:
            anyio.run(functools.partial(test, **row))
        except BaseException as exc:  # also what pytest raises to fail a test, in whatever group it comes
            if isinstance(exc, KeyboardInterrupt):
                raise
            return exc
    return None


def rows(test: Any) -> Iterator[dict[str, Any]]:
    """The parameters of a test that is run without pytest."""
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    asked = inspect.signature(test).parameters
    row: dict[str, Any] = {}
    if "wireformat" in asked:
        row["wireformat"] = "json"
    if "anyio_backend" in asked:
        row["anyio_backend"] = ("asyncio", {})
    for value in marks[0].args[1] if marks else [None]:
        yield row | ({marks[0].args[0]: value} if marks else {})


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Faults are told in the log, too, which is as it should be."""
    logger = logging.getLogger("duologue")
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(before)
    faulty._served.clear()
    faulty._kept.clear()


@pytest.fixture
def adapter(request: pytest.FixtureRequest) -> Iterator[Adapter]:
    """Registered for the time of a test."""
    register_adapter("faulty", request.param)
    yield request.param
    unregister_adapter("faulty")


FAULTS = [
    (faulty.Faulty(faulty.LosesAByte), "test_calls"),
    (faulty.Faulty(faulty.LosesAByte), "test_sends"),
    (faulty.Faulty(faulty.ChangesAByte), "test_calls"),
    (faulty.Faulty(faulty.Repeats), "test_calls"),
    (faulty.Faulty(faulty.Repeats), "test_sends"),
    (faulty.Faulty(faulty.Reorders), "test_sends"),
    (faulty.Faulty(faulty.IgnoresPauses), "test_a_slow_reader"),
    (faulty.Faulty(faulty.ForgetsToGoOn), "test_a_slow_reader"),
    (faulty.Faulty(faulty.NeverAllWritten), "test_both_ends_push"),
    (faulty.Faulty(faulty.NeverAllWritten), "test_large_answers_both_ways"),
    (faulty.Faulty(faulty.TakesEverything), "test_a_slow_reader"),
    (faulty.Faulty(faulty.SwallowsTheEnd), "test_closed_from_one_end"),
    (faulty.Faulty(faulty.SwallowsTheEnd), "test_half_closed"),
    (faulty.Faulty(faulty.NeverSaysGoodbye), "test_closed_from_one_end"),
    (faulty.Faulty(faulty.EndsTooEarly), "test_the_last_answers_arrive"),
    (faulty.Faulty(faulty.SwallowsTheLoss), "test_an_exception_in_the_block_of_a_client"),
    (faulty.Faulty(faulty.SwallowsTheLoss), "test_cut_in_the_middle_of_a_frame"),
    (faulty.Faulty(faulty.DoesNotAbort), "test_a_cancelled_block"),
    (faulty.Faulty(faulty.DoesNotAbort), "test_a_remote_that_does_not_hang_up"),
    (faulty.Faulty(faulty.KeepsItsPeer), "test_many_connections"),
    (faulty.IgnoresOptions(), "test_unknown_options"),
    (faulty.LeaksErrors(), "test_nobody_there"),
    (faulty.SharesAddresses(), "test_an_address_that_is_taken"),
    (faulty.OpensOneTooMany(), "test_several_at_once"),
    (faulty.OpensOneTooMany(), "test_cancelled_while_connecting"),
    (faulty.WrapsExceptions(), "test_an_exception_in_the_block_of_a_client"),
]
"""An adapter with a fault, and a test that is there to find it."""


def name_of(adapter: Adapter) -> str:
    kind = getattr(adapter, "kind", None)
    return kind.__name__ if isinstance(kind, type) and kind is not faulty.Through else type(adapter).__name__


@pytest.mark.parametrize(
    ("adapter", "test"),
    FAULTS,
    ids=[f"{name_of(adapter)}-{test}" for adapter, test in FAULTS],
    indirect=["adapter"],
)
def test_a_fault_is_found(adapter: Adapter, test: str) -> None:
    """Each fault makes a test fail that is there for it, within that test's patience."""
    assert outcome(test, patience=1.0) is not None


@pytest.mark.parametrize("adapter", [faulty.Faulty()], indirect=True)
def test_a_sound_adapter_passes(adapter: Adapter) -> None:
    """And without a fault the same adapter goes through, but for what needs a second process."""
    names = [name for name in dir(Subject) if name.startswith("test_")]
    found = {name: exc for name in names if (exc := outcome(name, patience=30.0)) is not None}
    assert {name for name, exc in found.items() if not isinstance(exc, pytest.skip.Exception)} == set(), found
    assert set(found) == {"test_a_client_is_killed", "test_a_server_is_killed"}


@pytest.mark.parametrize("adapter", [faulty.Faulty(faulty.IgnoresPauses)], indirect=True)
def test_what_is_wrong_is_told(adapter: Adapter) -> None:
    """The text of a failure says what the adapter does wrong."""
    assert "nothing makes the sender wait" in str(outcome("test_a_slow_reader"))
