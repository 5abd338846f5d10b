"""Routes: what happens between the payload of a request and the payload of its answer."""

from __future__ import annotations

import dataclasses
import datetime
import enum
from collections.abc import Callable
from typing import Any, NewType, cast

import pytest

from duologue import Context, DecodeError, EncodeError, FailureKind, Message, Namespace, Services, WireFormat
from duologue.handler_routes import HandlerRoute
from duologue.protocol.routes import Mode, RequestFault, Route

UserId = NewType("UserId", int)
CONTEXT = cast("Context", object())


class Colour(enum.Enum):
    RED = "red"


class Add(Message[int]):
    a: int
    b: int


class Log(Message[None]):
    line: str


class Point(Message[None]):
    x: float


class Point3(Point):
    z: float


@dataclasses.dataclass
class Place:
    x: float


class Answers:
    """A message for each type of answer that the tests need."""

    def __class_getitem__(cls, answer: Any) -> type[Message[Any]]:
        class Ask(Message[answer]):  # type: ignore[valid-type]
            pass

        return Ask


def route_to(
    message: type[Message[Any]], function: Callable[..., Any], wireformat: WireFormat, **options: bool
) -> Route:
    """The route to a function that handles one message."""
    calc = Namespace("calc", [message])
    services = Services(calc)
    services.handler(message, function, **options)
    route = services.router(wireformat)(calc.sid(message))
    assert route is not None
    return route


async def answer_of(route: Route, payload: bytes = b'{"a":1,"b":2}', *, answered: bool = True) -> bytes:
    """What the driver gets, whichever way it runs the route."""
    if route.mode is Mode.TASK:
        return await route.run(payload, CONTEXT, answered)
    there = route.run_sync(payload, CONTEXT, answered)
    assert await route.run(payload, CONTEXT, answered) == there, "a function can be awaited too"
    return there


async def add(msg: Add) -> int:
    return msg.a + msg.b


async def add_with_context(msg: Add, ctx: Context) -> int:
    assert ctx is CONTEXT
    return msg.a + msg.b


def add_in_thread(msg: Add) -> int:
    return msg.a + msg.b


def add_in_thread_with_context(msg: Add, ctx: Context) -> int:
    assert ctx is CONTEXT
    return msg.a + msg.b


KINDS = [add, add_with_context, add_in_thread, add_in_thread_with_context]
every_kind = pytest.mark.parametrize("function", KINDS)


@every_kind
async def test_each_kind_of_handler_answers(function: Any, wireformat: WireFormat) -> None:
    assert await answer_of(route_to(Add, function, wireformat)) == b"3"


@every_kind
async def test_a_one_way_message_has_no_answer_to_encode(function: Any, wireformat: WireFormat) -> None:
    """What its handler returns is nobody's business; the encoder never sees it."""
    route = route_to(Add, function, wireformat)
    assert await answer_of(route, answered=False) in (b"", 3)
    object.__setattr__(route, "_encode_answer", None)
    await answer_of(route, answered=False)
    with pytest.raises(TypeError, match="not callable"):
        await answer_of(route)


@every_kind
def test_a_route_says_how_it_is_to_be_run(function: Any, wireformat: WireFormat) -> None:
    route = route_to(Add, function, wireformat, ordered=True)
    is_thread = "thread" in function.__name__
    assert route.name == "calc::Add"
    assert route.mode is (Mode.THREAD if is_thread else Mode.TASK)
    assert route.wants_context is ("context" in function.__name__)
    assert (route.ordered, route.takes_permit, route.has_handler) == (True, True, True)
    assert isinstance(route, HandlerRoute)
    assert f"calc::Add, {route.mode.value}, ordered>" in repr(route)


@every_kind
@pytest.mark.parametrize("payload", [b"", b"{", b'{"a":1}', b'{"a":1,"b":"2"}', b"[1,2]", b"\xff"])
async def test_a_payload_that_does_not_decode(function: Any, payload: bytes, wireformat: WireFormat) -> None:
    """The handler never starts, and the cause is the codec's error."""
    with pytest.raises(RequestFault) as info:
        await answer_of(route_to(Add, function, wireformat), payload)
    assert info.value.kind is FailureKind.DESERIALIZE
    assert isinstance(info.value.__cause__, DecodeError)


@pytest.mark.parametrize(
    "error", [ValueError("mine"), DecodeError("of another message"), EncodeError("of a call")]
)
async def test_what_a_handler_raises_is_its_own(error: Exception, wireformat: WireFormat) -> None:
    """Even an error of a codec: it is about something that the handler did, not about this request."""

    async def fail(msg: Add) -> int:
        raise error

    def fail_in_thread(msg: Add) -> int:
        raise error

    for function in (fail, fail_in_thread):
        with pytest.raises(type(error)) as info:
            await answer_of(route_to(Add, function, wireformat))
        assert info.value is error


@pytest.mark.parametrize(
    ("declared", "returned", "payload"),
    [
        (int, 3, b"3"),
        (None, None, b"null"),
        (float, 3, b"3.0"),
        (bytes, b"abc", b'"YWJj"'),
        (bytes, bytearray(b"abc"), b'"YWJj"'),
        (UserId, 3, b"3"),
        (int | None, None, b"null"),
        (int | None, 3, b"3"),
        (list[int], [1, 2], b"[1,2]"),
        (list[int], (1, 2), b"[1,2]"),
        (list[int], [], b"[]"),
        (list, [1, "a"], b'[1,"a"]'),
        (dict[str, int], {"a": 1}, b'{"a":1}'),
        (tuple[int, str], (1, "a"), b'[1,"a"]'),
        (Any, {"a": [1]}, b'{"a":[1]}'),
        (Colour, Colour.RED, b'"red"'),
        (datetime.date, datetime.date(2024, 2, 29), b'"2024-02-29"'),
        (Point, Point(1.0), b'{"x":1.0}'),
        (Point, {"x": 1.0}, b'{"x":1.0}'),
        (Point, Point3(1.0, 2.0), b'{"x":1.0}'),
        (list[Point], [Point(1.0), Point3(2.0, 3.0)], b'[{"x":1.0},{"x":2.0}]'),
        (Place, Place(1.0), b'{"x":1.0}'),
    ],
    ids=repr,
)
async def test_answers_of_the_declared_type(
    declared: Any, returned: Any, payload: bytes, wireformat: WireFormat
) -> None:
    """What is not exactly of the type, and can be turned into it without loss, goes out as the type."""
    route = route_to(Answers[declared], lambda _: returned, wireformat, inline=True)
    assert await answer_of(route, b"{}") == payload


@pytest.mark.parametrize(
    ("declared", "returned"),
    [
        (int, "3"),
        (int, 3.5),
        (int, None),
        (int, True),
        (bool, 1),
        (None, 3),
        (str, b"abc"),
        (bytes, "YWJj"),
        (bytes, None),
        (list[int], ["1"]),
        (list[int], [1, None]),
        (list[int], 3),
        (list, 3),
        (dict[str, int], {"a": "1"}),
        (dict[str, int], {1: 1}),
        (tuple[int, str], (1, 2)),
        (int | None, "3"),
        (datetime.date, "2024-02-29"),
        (Point, 3),
        (Point, None),
        (Point, {"y": 1.0}),
        (list[Point], [Point(1.0), 3]),
        (Place, Colour.RED),
        (int, object()),
        (list[int], iter([1])),
    ],
    ids=lambda value: repr(value).partition(" at ")[0],
)
async def test_a_handler_that_answers_another_type_fails(
    declared: Any, returned: Any, wireformat: WireFormat
) -> None:
    """No annotation can promise it, so it is looked at: the caller gets an error, never a value of a wrong type.

    This codec would write any of them, and a caller that expects bytes would read a text as base64.
    """
    route = route_to(Answers[declared], lambda _: returned, wireformat, inline=True)
    with pytest.raises(RequestFault) as info:
        await answer_of(route, b"{}")
    assert info.value.kind is FailureKind.SERIALIZE
    cause = info.value.__cause__
    assert isinstance(cause, EncodeError)
    assert f"returned a {type(returned).__name__}, where Ask declares" in str(cause)


async def test_an_answer_that_fails_while_it_is_made_of_what_was_returned(wireformat: WireFormat) -> None:
    """Its own error is the cause of the cause, since that is what has to be mended."""

    class Ratio(Message[None]):
        of: int

        def __post_init__(self) -> None:
            1 / self.of

    route = route_to(Answers[Ratio], lambda _: {"of": 0}, wireformat, inline=True)
    with pytest.raises(RequestFault) as info:
        await answer_of(route, b"{}")
    assert info.value.kind is FailureKind.SERIALIZE
    cause = info.value.__cause__
    assert isinstance(cause, EncodeError)
    assert isinstance(cause.__cause__, ZeroDivisionError)


async def test_a_wrong_answer_to_a_one_way_message_harms_nobody(wireformat: WireFormat) -> None:
    assert await answer_of(route_to(Add, lambda _: "text", wireformat), answered=False) == b""


async def test_an_answer_that_the_codec_refuses(wireformat: WireFormat) -> None:
    """Of the declared type, and impossible to write all the same."""
    route = route_to(Answers[str], lambda _: "\ud800", wireformat)
    with pytest.raises(RequestFault) as info:
        await answer_of(route, b"{}")
    assert info.value.kind is FailureKind.SERIALIZE
    assert isinstance(info.value.__cause__, EncodeError)


@pytest.mark.fault(83)
async def test_a_service_without_a_handler_is_known_and_fails(wireformat: WireFormat) -> None:
    """A service that nobody handles now: its requests fail as `NoHandler`, and an id that no namespace has leads nowhere.

    Neither answer depends on whether a handler exists elsewhere, so that trying ids tells nothing else.
    """
    calc = Namespace("calc", [Add])
    router = Services(calc).router(wireformat)
    route = router(calc.sid(Add))
    assert route is not None
    assert (route.has_handler, route.name) == (False, "calc::Add")
    for payload in (b'{"a":1,"b":2}', b"nonsense"):
        with pytest.raises(RequestFault) as info:
            await route.run(payload, CONTEXT, True)
        assert info.value.kind is FailureKind.NO_HANDLER
        with pytest.raises(RequestFault):
            route.run_sync(payload, CONTEXT, True)
    assert router(calc.sid(Add) + 1) is None


def test_a_coroutine_is_not_run_as_a_function(wireformat: WireFormat) -> None:
    with pytest.raises(TypeError, match="await run"):
        route_to(Add, add, wireformat).run_sync(b"", CONTEXT, True)


@pytest.mark.fault(80, 82)
async def test_a_fault_carries_its_kind_and_nothing_of_the_data(wireformat: WireFormat) -> None:
    """Details of a failure must not leak to the remote: what goes up is a kind; the rest is in the cause, for this side.

    And types come from the declared ones only: a payload that names another is data, or does not decode.
    """
    payload = b'{"a":1,"b":{"py/object":"subprocess.Popen"}}'
    with pytest.raises(RequestFault) as info:
        await answer_of(route_to(Add, add, wireformat), payload)
    assert str(info.value) == "Deserialize"
