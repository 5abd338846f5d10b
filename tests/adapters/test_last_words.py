"""How long a link lives on when its layer has failed, with something left to say. Time passes by hand."""

from __future__ import annotations

from collections.abc import Coroutine, Generator
from typing import Any, cast

import pytest
from tests.adapters.layers import Masked

from duologue_adapters import Engine, LayeredLink, LayerError, Link, Receiver
from duologue_adapters.layered import LONGEST_WORDS


class Moment:
    """One sleep."""

    def __await__(self) -> Generator[None]:
        yield


class ByHand:
    """As much of an engine as this needs: each `pass_time` ends one sleep. It is its own job."""

    def __init__(self) -> None:
        self._coroutine: Coroutine[Any, Any, None] | None = None
        self._callback: Any = None

    def now(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        await Moment()

    def start(self, coroutine: Coroutine[Any, Any, None]) -> ByHand:
        self._coroutine = coroutine
        self.pass_time()
        return self

    def add_done_callback(self, callback: Any) -> None:
        self._callback = callback

    def cancel(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()

    def pass_time(self) -> None:
        assert self._coroutine is not None
        try:
            self._coroutine.send(None)
        except StopIteration:
            self._coroutine = None
            self._callback(self)


class SlowLink(Link):
    """Takes all, and lets it leave when the test says so."""

    def __init__(self) -> None:
        self.left = 0
        self.is_cut = False
        self.reads = True

    def start(self, receiver: Receiver) -> None:
        self.receiver = receiver

    def write(self, buffers: list[bytes]) -> bool:
        self.left += sum(map(len, buffers))
        return False

    @property
    def unsent(self) -> int:
        return self.left

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def end_writing(self) -> None: ...

    def abort(self) -> None:
        self.is_cut = True


class Above(Receiver):
    """Is told of the end at once."""

    lost = ""

    def data_received(self, data: bytes | memoryview) -> None: ...

    def eof_received(self, *_: object) -> None: ...

    def connection_lost(self, detail: str) -> None:
        self.lost = detail

    def all_written(self) -> None: ...


class Failing(Masked):
    """Says a lot, and fails."""

    def receive_data(self, data: bytes | memoryview, now: float) -> list[bytes]:
        self._out.append(bytes(1000))
        raise LayerError("no")

    def say(self, size: int) -> None:
        self._out.append(bytes(size))


@pytest.fixture
def failed() -> tuple[ByHand, SlowLink]:
    """A link whose layer has failed, with 1,000 bytes to say."""
    engine, below, above = ByHand(), SlowLink(), Above()
    link = LayeredLink(cast("Engine", engine), below, Failing())
    link.start(above)
    link.data_received(b"x")
    assert above.lost == "no"
    assert (below.left, below.is_cut) == (1000, False)
    return engine, below


def test_words_that_leave_at_once(failed: tuple[ByHand, SlowLink]) -> None:
    """A second for the other end to hang up, and then the link is cut."""
    engine, below = failed
    below.left = 0
    below.receiver.all_written()
    assert not below.is_cut
    engine.pass_time()
    assert below.is_cut


def test_words_that_leave_slowly(failed: tuple[ByHand, SlowLink]) -> None:
    """As long as some of them leave in each second, they may, and no longer."""
    engine, below = failed
    for _ in range(5):
        below.left -= 1
        engine.pass_time()
        assert not below.is_cut
    engine.pass_time()
    assert below.is_cut


def test_words_without_end(failed: tuple[ByHand, SlowLink]) -> None:
    """Someone who reads a byte a second does not keep the link for ever."""
    engine, below = failed
    passed = 0
    while not below.is_cut:
        below.left -= 1
        engine.pass_time()
        passed += 1
    assert passed == LONGEST_WORDS


def test_words_in_pieces() -> None:
    """What the layer gives piece by piece leaves so: the next when the link has taken the last, however long it takes in all."""
    engine, below, above, layer = ByHand(), SlowLink(), Above(), Failing()
    link = LayeredLink(cast("Engine", engine), below, layer)
    link.start(above)
    link.data_received(b"x")
    for _ in range(20):
        assert below.left == 1000
        below.left = 0
        layer.say(1000)
        link.all_written()
        engine.pass_time()
        assert not below.is_cut
    engine.pass_time()
    assert below.is_cut


@pytest.mark.parametrize("pauses_before", [True, False])
def test_the_other_end_hangs_up_first(pauses_before: bool) -> None:
    """The one above wants to read nothing more, and yet the link is read: to see that the other end is gone, and to cut it then."""
    engine, below, above = ByHand(), SlowLink(), Above()
    link = LayeredLink(cast("Engine", engine), below, Failing())
    link.start(above)
    if pauses_before:
        link.pause_reading()
    link.data_received(b"x")
    link.pause_reading()
    assert below.reads
    below.left = 0
    link.all_written()
    link.data_received(b"what nobody listens to")
    assert not below.is_cut
    link.eof_received()
    assert below.is_cut
