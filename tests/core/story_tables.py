"""What a story is made of: small limits, services of each sort, frames good and bad, and the steps with their arguments."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.core.harness import TestRoute
from tests.core.model_parts import ERROR, RESPONSE

from duologue.protocol.limits import Limits
from duologue.protocol.routes import Route

ROUTES: dict[int, Route] = {
    10: TestRoute("test::Plain"),
    11: TestRoute("test::Ordered", ordered=True),
    12: TestRoute("test::Free", takes_permit=False),
    13: TestRoute("test::OrderedFree", ordered=True, takes_permit=False),
    14: TestRoute("test::Unserved", has_handler=False),
}
UNKNOWN_SID = 99


@dataclass(frozen=True)
class Choice:
    """One of these values, or a list of up to `most` of them."""

    values: Sequence[Any]
    most: int = 0

    def draw(self, chance: random.Random) -> Any:
        if not self.most:
            return chance.choice(self.values)
        return [chance.choice(self.values) for _ in range(chance.randint(1, self.most))]


@dataclass(frozen=True)
class Step:
    """How often a step is told, beside the others, and what it may be told with."""

    weight: int
    arguments: dict[str, Choice]


LIMITS: dict[str, tuple[Any, ...]] = {
    "max_frame": (152, 200, 500),
    "calls": (1, 2, 5),
    "lent": (0, 1, 2),
    "parked": (1, 2, 10),
    "parked_bytes": (48, 100, 10_000, 10_000),
    "sends": (1, 2, 10),
    "sends_bytes": (48, 100, 10_000, 10_000),
    "sends_policy": ("pause", "pause", "drop"),
    "owed": (1, 2, 10),
    "waiting": (0, 1, 3, 10),
    "outbox_high": (1, 100, 300, 1000, 5000),
    "outbox_low": (0, 50, 300),
    "frame_timeout": (2.0, 5.0, 30.0),
    "answers_stalled": (2.0, 10.0),
    "requests_stalled": (4.0, 60.0),
    "eof_grace": (0.0, 0.0, 3.0),
    "eof_grace_sends": (0.0, 2.0, 10.0),
    "discard_timeout": (0.0, 1.0),
    "close_timeout": (0.0, 3.0, 10.0),
    "given_up": (0.0, 2.0, 60.0),
    "strays": (0, 3, 100, 100),
}


def small_limits(seed: int) -> Limits:
    """Some limits that are small enough to be met in a few steps."""
    chance = random.Random(seed)
    drawn = {name: chance.choice(values) for name, values in LIMITS.items()}
    drawn["outbox_low"] = min(drawn["outbox_low"], drawn["outbox_high"])
    return Limits(**drawn)


SIDS = (10, 10, 11, 11, 12, 13, 14, UNKNOWN_SID)
SIZES = (0, 0, 1, 30, 100)
LARGEST = 1000
"""In place of it stands the largest payload that fits."""
WHICH = Choice((0, 0, 1, 1, 2))
PICK = Choice(range(8))
IDS = (0, 1, 2, 3, 4, 2**64 - 1, 2**64 - 2, 2**63, 777)
ERROR_BODIES = (
    b'{"UnknownService":{"sid":null,"cid":null}}',
    b'{"Deserialize":{}}',
    b'{"InternalServerError":null}',
    b'{"PubSubNoCall":{}}',
    b'{"Timeout":{"sid":{"inner":{"id":1}}}}',
    b'{"DeserializeWireFormat":{"context":"' + 90 * b"x" + b'"}}',
    b'{"Unreadable":{}}',
    b'{"Timeout":{},"Deserialize":{}}',
    b'{"7":{}}',
    b'["Timeout"]',
    b'"Timeout"',
    b"{",
    b"\xff",
    b"",
)
INJECTED: tuple[tuple[str, int, int, bytes], ...] = (
    *(("send", sid, 0, size * b"s") for sid in SIDS for size in SIZES),
    *(("call", sid, 0, size * b"c") for sid in SIDS for size in SIZES),
    *(("again", 10, cid, b"") for cid in (0, 1)),
    *(("to a call", RESPONSE, cid, b"answer") for cid in 3 * (0, 1, 2)),
    *(("to a call", ERROR, cid, body) for cid in (0, 1) for body in ERROR_BODIES),
    *(("stray", RESPONSE, cid, b"stray") for cid in IDS),
    *(("stray", ERROR, cid, body) for cid in (0, 1, 777) for body in ERROR_BODIES[:2]),
)
"""Frames, and what they are. For some, the id is found when they are sent."""
BROKEN = (
    *(length.to_bytes(8, "little") + bytes(16) for length in (0, 1, 8, 23)),
    *(length.to_bytes(8, "little") for length in (501, 2**63, 2**64 - 1)),
    b"GET / HTTP/1.1\r\n",
    b"\x18",
    bytes(range(200, 240)),
)

STEPS = {
    "request": Step(
        8,
        {
            "which": WHICH,
            "what": Choice(
                ("call", "call elsewhere", "call in a handler", "send", "send", "send in a handler")
            ),
            "sid": Choice(SIDS),
            "size": Choice((*SIZES, *SIZES, LARGEST, LARGEST + 1)),
            "timeout": Choice((None, None, 0.0, 0.5, 5.0, 20.0)),
            "count": Choice((1, 1, 2, 4)),
        },
    ),
    "cancel": Step(2, {"which": WHICH, "pick": PICK}),
    "end_request": Step(
        8, {"pick": PICK, "how": Choice(("answer", "answer", "fail", "too large")), "size": Choice(SIZES)}
    ),
    "end_all_requests": Step(4, {"which": WHICH}),
    "wait_for_a_remote": Step(4, {"pick": PICK, "lend": Choice((True, False))}),
    "all_wait_for_a_remote": Step(2, {"which": WHICH}),
    "heed_free_permits": Step(2, {"everyone": Choice((True, False))}),
    "take": Step(3, {"which": WHICH}),
    "data_sent": Step(3, {"which": WHICH, "part": Choice((0.0, 0.3, 0.7, 1.0, 1.0, 1.0))}),
    "deliver": Step(
        6,
        {
            "which": WHICH,
            "pieces": Choice((0, 1, 3, 8, 24, 60, 200, 10_000), 4),
            "view": Choice((True, False)),
        },
    ),
    "flow": Step(6, {"rounds": Choice((1, 2, 4))}),
    "inject": Step(
        6, {"which": WHICH, "frames": Choice(INJECTED, 5), "now": Choice((0, 10, 40, 100, 10_000, 10_000))}
    ),
    "garbage": Step(1, {"which": WHICH, "data": Choice(BROKEN), "rarely": Choice(range(12))}),
    "time_passes": Step(3, {"seconds": Choice((0.0, 0.5, 0.5, 1.0, 5.0)), "in_time": Choice((True, False))}),
    "next_timer": Step(1, {"which": WHICH}),
    "come_to_an_end": Step(
        3,
        {
            "which": WHICH,
            "how": Choice(
                (
                    *("close", "grace", "grace", "short grace", "eof", "eof", "truncated", "lost", "abort"),
                    *("drain", "drain", "short drain", "no drain"),
                )
            ),
            "rarely": Choice(range(6)),
        },
    ),
    "replace": Step(8, {"which": WHICH}),
    "do_wrong": Step(1, {"which": WHICH}),
}
