"""The three wire formats pass the suite that every wire format must pass."""

from __future__ import annotations

from duologue_contrib.testing import WireFormatSuite
from duologue_wireformats.cbor import Cbor
from duologue_wireformats.json_text import Json
from duologue_wireformats.messagepack import MessagePack


class TestCbor(WireFormatSuite):
    wireformat = Cbor()
    unbounded = Cbor(nesting=200, items=10**7)


class TestMessagePack(WireFormatSuite):
    wireformat = MessagePack()
    unbounded = MessagePack(nesting=200, items=10**7)


class TestJson(WireFormatSuite):
    wireformat = Json()
    unbounded = Json(nesting=200, items=10**7)
