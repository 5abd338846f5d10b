"""What the connections of a server hold together, and who pauses when it is too much (docs/flow.md, F9)."""

from __future__ import annotations

import random

import pytest
from tests.core.harness import (
    ECHO,
    ORDERED,
    Solo,
    TestRoute,
    call_frame,
    error_kind,
    frame,
    only,
    requests,
    response_frame,
    send_frame,
    standard_routes,
)

from duologue.protocol.budget import CallBudget
from duologue.protocol.errors import CloseReason
from duologue.protocol.events import PeerClosed, RequestFailed
from duologue.protocol.limits import Limits
from duologue.protocol.received import ByteBudget
from duologue.protocol.routes import Mode

LIMIT = 64_000
"""Over the mark from 32,001 bytes on, and no more from 24,000 on; 16,000 are shared out; one pass."""
RELAY = 0x7777
LIMITS = Limits(max_frame=16_000, calls=1)


class Crowd:
    """Connections of one server. What each driver would do is noted."""

    def __init__(
        self, count: int, limits: Limits = LIMITS, *, limit: int = LIMIT, budget: CallBudget | None = None
    ) -> None:
        self.received = ByteBudget(limit, limits.max_frame)
        self.solos = [Solo(limits, received=self.received, budget=budget) for _ in range(count)]
        self.told: list[int] = []
        """Whose driver was told that it may be different now, in that order."""
        for number, solo in enumerate(self.solos):
            assert solo.account is not None
            solo.account.on_change = lambda number=number: self.told.append(number)  # type: ignore[misc]

    def __getitem__(self, number: int) -> Solo:
        return self.solos[number]

    def look(self) -> None:
        """What drivers that were told do soon."""
        told, self.told = self.told, []
        for number in told:
            if self[number].connection.needs_look:
                self[number].connection.look(self[number].now)

    @property
    def paused(self) -> list[int]:
        return [number for number, solo in enumerate(self.solos) if not solo.connection.wants_read]


def part(size: int, of: int = 15_976) -> bytes:
    """The beginning of a frame: its header, which is not counted while the payload comes, and so many bytes."""
    return call_frame(1, bytes(of))[: 24 + size]


def rest(size: int, of: int = 15_976) -> bytes:
    """What is missing then."""
    return call_frame(1, bytes(of))[24 + size :]


@pytest.mark.fault(47)
def test_up_to_the_mark_everybody_reads() -> None:
    """Half of the limit in parts of frames, and nobody pauses."""
    crowd = Crowd(4)
    for solo in crowd.solos:
        solo.feed(part(8_000))
    assert (crowd.received.held, crowd.received.is_tight, crowd.paused) == (32_000, False, [])


@pytest.mark.fault(47)
def test_over_the_mark_those_who_hold_much_pause() -> None:
    """Parts of large frames fill the memory: who sent them pauses, but for one at a time; who has only small messages is served."""
    crowd = Crowd(8)
    for solo in crowd.solos[:4]:
        solo.feed(part(9_000))
    assert (crowd.received.held, crowd.paused) == (36_000, [1, 2, 3]), "the first has the pass"
    assert crowd.told == [*range(8)], (
        "each driver is told in that moment, and can pause its link, or read in small pieces"
    )
    assert all(solo.account is not None and solo.account.is_tight for solo in crowd.solos)
    for solo in crowd.solos[4:]:
        solo.deliver(call_frame(1, b"small"))
        solo.feed(part(2_000))
        assert solo.connection.wants_read
    crowd[7].feed(b"0")
    assert crowd.paused == [1, 2, 3, 7], "a share of 2,000 is everybody's"


@pytest.mark.fault(47)
def test_frames_come_to_their_end_one_after_the_other() -> None:
    """All hold parts of large frames, none of which would ever end if all paused: each has its turn to read the rest of one."""
    crowd = crowd_with_parts(6)
    done: list[int] = []
    while crowd.received.is_tight:
        (reader,) = set(range(6)) - set(crowd.paused) - set(done)
        crowd[reader].deliver(rest(9_001))
        done.append(reader)
        crowd.look()
    assert done == [0, 1, 2, 3]
    assert not crowd.paused


def crowd_with_parts(count: int) -> Crowd:
    """Each of them holds 9,001 bytes of a frame, and the first has the pass."""
    crowd = Crowd(count)
    for solo in crowd.solos:
        solo.feed(part(9_000))
    for solo in crowd.solos:
        solo.feed(b"0")
    assert crowd.paused == [*range(1, count)]
    return crowd


@pytest.mark.fault(47)
def test_a_pass_is_for_one_frame() -> None:
    """One who sends large frames without end does not keep the pass: the next one is first."""
    crowd = crowd_with_parts(6)
    crowd[0].feed(rest(9_001) + call_frame(2, bytes(15_900))[:9_024])
    crowd.look()
    assert crowd.paused == [0, 2, 3, 4, 5]


@pytest.mark.fault(47)
def test_a_frame_that_never_ends_is_cut_in_spite_of_the_pause() -> None:
    """Those who fill the memory with frames that they never end can't keep it: their time goes on while they are not read."""
    crowd = crowd_with_parts(6)
    for solo in crowd.solos[:5]:
        assert only(solo.wait(30.0), PeerClosed).reason is CloseReason.FRAME_TIMEOUT
        solo.assert_nothing_left()
    crowd.look()
    assert (crowd.received.held, crowd.paused) == (9_001, [0, 1, 2, 3, 4])
    crowd[5].deliver(rest(9_001))


@pytest.mark.fault(47)
def test_at_the_limit_all_pause_but_one() -> None:
    """So much comes in the same moment that the limit is reached: nobody is read but who has the pass, until there is room."""
    crowd = Crowd(6)
    for solo in crowd.solos[:4]:
        solo.feed(part(15_900))
    assert not crowd.received.is_full
    for solo in crowd.solos[4:]:
        solo.feed(part(200))
    assert crowd.received.is_full
    assert crowd.told == [0, 1, 2, 3, 4, 5] * 2, "at the mark, and at the limit"
    assert crowd.paused == [1, 2, 3, 4, 5]
    crowd[0].deliver(rest(15_900))
    crowd.look()
    assert crowd.received.is_tight
    assert not crowd.received.is_full
    assert crowd.paused == [2, 3], "those with small messages read on, and the next one has the pass"
    for solo in crowd.solos[:4]:
        solo.connection.abort("", solo.now)
    crowd.look()
    assert (crowd.received.held, crowd.received.is_full, crowd.received.is_tight) == (400, False, False)
    assert crowd[4].connection.wants_read


@pytest.mark.fault(47)
def test_parked_calls_count() -> None:
    """What waits for a permit is held, too: its sender pauses over the mark, and reads on when it has started."""
    crowd = Crowd(4)
    calls = [crowd[0].deliver(call_frame(1, bytes(10)))]
    for cid in range(2, 5):
        crowd[0].feed(call_frame(cid, bytes(11_976)))
    assert (crowd.received.held, crowd.paused) == (36_000, [0])
    for _ in range(3):
        crowd[0].connection.respond(calls.pop(), b"", crowd[0].now)
        calls += requests(crowd[0].connection.events())
    assert (crowd.received.held, crowd.paused) == (0, [])


@pytest.mark.fault(47)
def test_who_is_owed_an_answer_reads_on_and_parks_nothing() -> None:
    """The answer may be next, so it is read; and since there is no room, calls that can't start are refused."""
    crowd = Crowd(4)
    first = crowd[0]
    call = first.call()
    first.sent()
    first.deliver(call_frame(1))
    first.feed(call_frame(2, bytes(9_000)))
    for solo in crowd.solos[1:]:
        solo.feed(part(9_000))
    for cid, sid in ((3, ECHO), (4, ORDERED)):
        assert only(first.feed(call_frame(cid, bytes(9_000), sid=sid)), RequestFailed).cid == cid
        (refusal,) = first.sent()
        assert (refusal[1], error_kind(refusal)) == (cid, "InternalServerError")
    assert first.connection.wants_read
    first.feed(response_frame(call.id))
    assert not first.connection.wants_read, "nothing is owed any more"
    first.call()
    first.connection.look(first.now)
    assert first.connection.wants_read


@pytest.mark.fault(47)
def test_one_that_ends_is_read() -> None:
    """Nothing more is taken in from it, so it holds up nobody; and the end of its stream must be seen."""
    crowd = Crowd(6)
    crowd[1].deliver(call_frame(2))
    for solo in crowd.solos:
        solo.feed(part(9_000))
    for solo in crowd.solos:
        solo.feed(b"0")
    crowd[1].connection.close("bye", 5.0, crowd[1].now)
    crowd.look()
    crowd[1].connection.look(crowd[1].now)
    assert crowd.paused == [2, 3, 4, 5]


def test_all_that_is_parked_is_let_go_in_the_end() -> None:
    """Calls, ordered messages and calls that look for their target: what is held by one that is gone is nothing."""
    routes = standard_routes()
    relay = TestRoute("test::Relay", mode=Mode.RELAY, takes_permit=False)
    routes[RELAY] = relay
    received = ByteBudget(LIMIT, 16_000)
    solo = Solo(LIMITS, received=received, routes=routes)
    (held,) = requests(solo.feed(call_frame(1, bytes(100), sid=RELAY)))
    assert received.held == 124
    ordered = [*requests(solo.feed(send_frame(bytes(100), sid=ORDERED))), *requests(solo.feed(call_frame(2)))]
    solo.feed(send_frame(bytes(100), sid=ORDERED), call_frame(3, bytes(100)), part(100))
    assert received.held == 124 * 3 + 100
    solo.connection.abort("", solo.now)
    assert received.held == 124
    for request in (held, *ordered):
        solo.connection.done(request, solo.now)
    assert received.held == 0


def test_one_line_says_how_it_is() -> None:
    """Bytes, the limit, how many share it, and how many wait."""
    crowd = crowd_with_parts(6)
    assert repr(crowd.received) == "ByteBudget(54006/64000 held by 6, 5 waiting)"


@pytest.mark.parametrize("seed", range(8))
def test_whatever_comes_all_of_it_arrives(seed: int) -> None:
    """Random frames in random pieces, by many connections of which each is fed only while it reads: everything is handled in the
    end, nothing is held then, and a piece over the limit and a frame was never held."""
    choice = random.Random(seed)
    crowd = Crowd(12, Limits(max_frame=16_000, calls=2, parked=4, sends=3), budget=CallBudget(4))
    streams = [b"".join(_random_frame(choice, cid) for cid in range(1, 15)) for _ in crowd.solos]
    running = []
    handled = 0
    most = 0
    for _ in range(20_000):
        number = choice.randrange(len(crowd.solos))
        solo = crowd[number]
        piece = choice.randrange(1, 4_000)
        if solo.connection.wants_read and streams[number]:
            solo.connection.receive_data(streams[number][:piece], solo.now)
            streams[number] = streams[number][piece:]
        most = max(most, crowd.received.held)
        running += [(solo, each) for each in requests(solo.connection.events())]
        solo.sent()
        if running and choice.random() < 0.3:
            owner, request = running.pop(choice.randrange(len(running)))
            handled += 1
            if request.cid:
                owner.connection.respond(request, b"", owner.now)
            else:
                owner.connection.done(request, owner.now)
            owner.connection.permit_freed(owner.now)
            running += [(owner, each) for each in requests(owner.connection.events())]
        for each in crowd.solos:
            each.connection.permit_freed(each.now)
            running += [(each, request) for request in requests(each.connection.events())]
        crowd.look()
        if not any(streams) and not running:
            break
    assert handled == 14 * len(crowd.solos), repr(crowd.received)
    assert crowd.received.held == 0
    assert not crowd.paused
    assert most < LIMIT + 16_000 + 4_000


def _random_frame(choice: random.Random, cid: int) -> bytes:
    size = choice.choice((0, 100, 3_000, 15_900))
    return frame(choice.choice((ECHO, ORDERED)), choice.choice((0, cid)), bytes(size))
