"""Reading: the clock on slow frames, and the pause that stops it (docs/flow.md, F7)."""

from __future__ import annotations

from tests.core.harness import call_frame

from duologue.protocol.frames import LENGTH_PREFIXED
from duologue.protocol.reading import Reading

FIRST, SECOND = call_frame(1, b"x" * 10), call_frame(2, b"y" * 10)


def reading() -> Reading:
    return Reading(LENGTH_PREFIXED.decoder(1000), frame_timeout=30.0)


def take(target: Reading, data: bytes, now: float) -> int:
    target.decoder.feed(data)
    count = len(list(target.decoder.frames()))
    target.note_progress(count > 0, now)
    return count


def test_no_frame_has_begun() -> None:
    """Between two frames silence costs nothing."""
    target = reading()
    assert target.next_deadline() is None
    assert take(target, FIRST, 5.0) == 1
    assert target.next_deadline() is None


def test_the_time_of_a_frame_runs_from_its_first_byte() -> None:
    """Further bytes of it don't give it more time: who dribbles is cut off."""
    target = reading()
    for second, byte in enumerate(FIRST[:-1]):
        take(target, bytes([byte]), float(second))
        assert target.next_deadline() == 30.0
    take(target, FIRST[-1:], 33.0)
    assert target.next_deadline() is None


def test_a_frame_that_ends_one_and_begins_another() -> None:
    """The next frame's time runs from its own first byte, also if that came together with the last one's end."""
    target = reading()
    take(target, FIRST[:20], 0.0)
    take(target, FIRST[20:] + SECOND[:3], 10.0)
    assert target.next_deadline() == 40.0


def test_the_clock_stands_still_in_a_pause() -> None:
    """While we don't read, the remote can't be late; and what an earlier frame took is not charged to the next."""
    target = reading()
    take(target, FIRST[:20], 0.0)
    target.decoder.feed(FIRST[20:] + SECOND[:5])
    assert next(target.decoder.frames())[1] == 1
    target.pause()
    assert target.is_paused
    assert target.next_deadline() is None
    target.resume()
    target.note_progress(bool(list(target.decoder.frames())), 1000.0)
    assert not target.is_paused
    assert target.next_deadline() == 1030.0


def test_what_is_said_of_the_rest() -> None:
    """How much of a frame is here, of how much, if that is known."""
    target = reading()
    take(target, FIRST[:5], 0.0)
    assert target.describe_rest() == "5 of unknown bytes of a frame"
    take(target, FIRST[5:30], 0.0)
    assert target.describe_rest() == "30 of 34 bytes of a frame"


def test_stop_ends_everything() -> None:
    """No clock, no pause, no bytes; an end of stream that waited counts as seen."""
    target = reading()
    take(target, FIRST[:5], 0.0)
    target.pause()
    target.eof_waits = True
    target.stop()
    assert (target.is_paused, target.eof_seen, target.next_deadline(), target.decoder.buffered) == (
        False,
        True,
        None,
        0,
    )


def test_stop_does_not_invent_an_end_of_stream() -> None:
    """The remote may still be writing; what it writes is dropped."""
    target = reading()
    target.stop()
    assert not target.eof_seen
