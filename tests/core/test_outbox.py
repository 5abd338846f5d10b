"""The outbox: order, levels, what was handed out, and what can still be taken back."""

from __future__ import annotations

import pytest

from duologue.protocol.outbox import HAND_OUT, JOIN_LIMIT, Outbox

HEAD = b"H" * 24


def outbox(high: int = 1000) -> Outbox:
    return Outbox(high)


def test_frames_leave_in_order_and_once() -> None:
    """What was put first is handed out first, and nothing more until the transport has taken it."""
    box = outbox()
    box.put_request(1, HEAD, b"one", 0.0)
    box.put_answer(HEAD, b"two", 0.0)
    assert box.take() == [HEAD + b"one", HEAD + b"two"]
    box.put_request(0, HEAD, b"three", 0.0)
    assert box.is_handed_out
    assert box.take() == []
    assert box.taken(0, 1.0)
    assert not box.is_handed_out
    assert box.take() == [HEAD + b"three"]


def test_nothing_to_hand_out() -> None:
    """An empty outbox gives nothing, and a transport that took nothing made no progress."""
    box = outbox()
    assert box.take() == []
    assert not box.taken(0, 5.0)
    assert box.progress_at == 0.0


@pytest.mark.parametrize("kind", ["answer", "request"])
@pytest.mark.parametrize(("size", "pieces"), [(0, 1), (JOIN_LIMIT, 1), (JOIN_LIMIT + 1, 2)])
def test_large_payloads_are_not_copied(size: int, pieces: int, kind: str) -> None:
    """Small frames are one piece of memory, a large payload stays the object that it was."""
    box = outbox()
    payload = bytes(size)
    if kind == "answer":
        box.put_answer(HEAD, payload, 0.0)
    else:
        box.put_request(1, HEAD, payload, 0.0)
    buffers = box.take()
    assert len(buffers) == pieces
    assert b"".join(buffers) == HEAD + payload
    assert pieces == 1 or buffers[1] is payload


def test_the_level_counts_until_the_transport_has_it() -> None:
    """What was handed out and not taken counts, in part if it was taken in part."""
    box = outbox()
    box.put_answer(HEAD, b"x" * 76, 0.0)
    box.put_refusal(HEAD, b"x" * 26, 0.0)
    box.put_request(0, HEAD, b"x" * 26, 0.0)
    assert (box.level, box.answers, box.refusals) == (200, 150, 50)
    box.take()
    assert (box.level, box.answers, box.refusals) == (200, 150, 0)
    assert box.taken(180, 3.0)
    assert (box.level, box.answers, box.progress_at) == (180, 150, 3.0)
    assert box.take() == []
    assert box.taken(100, 4.0)
    assert (box.level, box.answers) == (100, 100)
    assert not box.taken(100, 5.0)
    assert not box.taken(500, 5.0)
    assert box.progress_at == 4.0
    assert box.taken(0, 6.0)
    assert (box.level, box.answers) == (0, 0)


def test_a_partial_take_leaves_what_came_later_alone() -> None:
    """Answers that were put while others were on their way are counted by themselves."""
    box = outbox()
    box.put_answer(HEAD, b"x" * 76, 0.0)
    box.take()
    box.put_answer(HEAD, b"x" * 6, 0.0)
    box.taken(40, 1.0)
    assert (box.level, box.answers) == (70, 70)
    box.taken(0, 1.0)
    assert (box.level, box.answers) == (30, 30)


@pytest.mark.parametrize("put", ["put_answer", "put_refusal"])
def test_the_gate_closes_over_the_mark_and_opens_at_it(put: str) -> None:
    """Answers over the high-water mark close the gate, from that moment on, until they are back at the mark."""
    box = outbox(high=100)
    getattr(box, put)(HEAD, b"x" * 76, 1.0)
    assert box.gated_since is None
    getattr(box, put)(HEAD, b"", 2.0)
    getattr(box, put)(HEAD, b"", 3.0)
    assert box.gated_since == 2.0
    box.take()
    box.taken(101, 4.0)
    assert box.gated_since == 2.0
    box.taken(100, 5.0)
    assert box.gated_since is None


def test_requests_do_not_close_the_gate() -> None:
    """Only answers count for it, or two ends that only ask would stop each other."""
    box = outbox(high=100)
    box.put_request(0, HEAD, bytes(500), 0.0)
    assert box.gated_since is None


@pytest.mark.parametrize("put", ["put_answer", "put_refusal", "put_request"])
def test_progress_counts_from_when_there_was_something(put: str) -> None:
    """An outbox that was empty for an hour has not stalled for an hour."""
    box = outbox()
    if put == "put_request":
        box.put_request(0, HEAD, b"", 3600.0)
    else:
        getattr(box, put)(HEAD, b"", 3600.0)
    box.put_answer(HEAD, b"", 3700.0)
    assert box.progress_at == 3600.0


def test_hand_outs_are_bounded() -> None:
    """At most about 256 KiB at once, in whole frames, so that a slow link shows its progress; one large frame goes as it is."""
    box = outbox(high=10**9)
    for number in range(1, 8):
        box.put_request(number, HEAD, bytes(100_000), 0.0)
    box.put_answer(HEAD, bytes(2**20), 0.0)
    box.put_refusal(HEAD, b"no", 0.0)
    sizes = []
    while buffers := box.take():
        sizes.append(sum(map(len, buffers)))
        box.taken(0, 0.0)
    assert sizes == [300_072, 300_072, 100_024 + 24 + 2**20, 26]
    assert all(size >= HAND_OUT for size in sizes[:3])
    assert (box.level, box.answers, box.refusals) == (0, 0, 0)


def test_a_hand_out_that_is_full_ends() -> None:
    """Not a frame more, however small, when it is full to the byte."""
    box = outbox()
    box.put_request(1, HEAD, bytes(HAND_OUT - len(HEAD)), 0.0)
    box.put_request(2, HEAD, b"", 0.0)
    assert sum(map(len, box.take())) == HAND_OUT


def test_a_frame_that_is_larger_than_a_hand_out_goes_alone() -> None:
    """It is not cut, and there is nothing behind it."""
    box = outbox()
    box.put_request(7, HEAD, bytes(HAND_OUT + 1), 0.0)
    assert sum(map(len, box.take())) == HAND_OUT + 25
    assert box.last_call_out == 7
    box.taken(0, 0.0)
    assert box.level == 0


def test_levels_in_a_bounded_hand_out() -> None:
    """Answers and refusals that are handed out are told from those that stay behind."""
    box = outbox(high=10**9)
    box.put_refusal(HEAD, bytes(100), 0.0)
    box.put_refusal(HEAD, bytes(50), 0.0)
    box.put_answer(HEAD, bytes(300_000), 0.0)
    box.put_answer(HEAD, bytes(300_000), 0.0)
    box.put_refusal(HEAD, bytes(100), 0.0)
    box.take()
    assert box.refusals == 124
    box.taken(0, 0.0)
    assert (box.answers, box.refusals) == (300_024 + 124, 124)


def test_whose_bytes_may_have_left() -> None:
    """A call was handed out if it is not behind the last one that was; ids are compared in a circle."""
    box = outbox()
    assert not box.was_handed_out(1)
    box.put_request(2**64 - 1, HEAD, b"", 0.0)
    box.put_request(1, HEAD, b"", 0.0)
    box.put_request(0, HEAD, b"", 0.0)
    assert not box.was_handed_out(2**64 - 1)
    box.take()
    box.put_request(2, HEAD, b"", 0.0)
    assert [box.was_handed_out(call) for call in (2**64 - 2, 2**64 - 1, 1, 2)] == [True, True, True, False]
    assert [box.was_handed_out(call) for call in (2**63 + 2, 2**63 + 1)] == [True, False], (
        "just under half of the circle, and half"
    )


def test_a_hand_out_without_calls_changes_nothing() -> None:
    """Answers and sends have no ids of ours."""
    box = outbox()
    box.put_request(5, HEAD, b"", 0.0)
    box.take()
    box.taken(0, 0.0)
    box.put_answer(HEAD, b"", 0.0)
    box.put_request(0, HEAD, b"", 0.0)
    box.take()
    assert box.last_call_out == 5


def test_calls_can_be_taken_back() -> None:
    """Frames of calls that nobody waits for any more are removed, with their payloads, and nothing else is."""
    box = outbox()
    big = bytes(JOIN_LIMIT + 1)
    box.put_request(1, HEAD, b"one", 0.0)
    box.put_request(2, HEAD, big, 0.0)
    box.put_answer(HEAD, big, 0.0)
    box.put_request(3, HEAD, b"three", 0.0)
    box.put_request(0, HEAD, b"send", 0.0)
    box.remove_calls({2, 3, 99})
    assert box.level == 24 + 3 + 24 + len(big) + 24 + 4
    assert b"".join(box.take()) == HEAD + b"one" + HEAD + big + HEAD + b"send"


def test_what_was_handed_out_can_not_be_taken_back() -> None:
    """It is the transport's: a frame is never cut in half."""
    box = outbox()
    box.put_request(1, HEAD, b"one", 0.0)
    box.take()
    box.remove_calls({1})
    assert box.level == 27


def test_nothing_is_left_after_clear() -> None:
    """Also if the transport held something, whose word does not count any more."""
    box = outbox(high=10)
    box.put_refusal(HEAD, b"x", 0.0)
    box.take()
    box.put_answer(HEAD, b"x", 0.0)
    box.clear()
    assert (box.level, box.answers, box.refusals, box.gated_since) == (0, 0, 0, None)
    assert not box.taken(0, 1.0)
    assert box.take() == []
