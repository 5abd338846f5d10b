"""What the type checkers know about a call: the type of its answer, by the message alone. Nothing here is run."""

from __future__ import annotations

from typing import Generic, TypeVar, assert_never, assert_type

from duologue import ByteList, Case, Context, Message, Namespace, Peer, Server, Services, connect, serve


class Point(Message[None]):
    x: float
    y: float = 0.0


class Add(Message[int]):
    a: int
    b: int


class Split(Message[list[str]]):
    text: str
    separator: str | None = None


class Mirror(Message[Point]):
    point: Point


class Find(Message[Point | None]):
    name: str


class Ping(Message[None]):
    pass


class Circle(Case):
    radius: float


class Nowhere(Case):
    pass


class Named(Case, newtype=True, name="named"):
    value: str


class Line(Case, as_tuple=True):
    start: int
    end: int = 0


Shape = Circle | Nowhere | Named | Line

T = TypeVar("T")


class Ok(Case, Generic[T], newtype=True):
    value: T


class Err(Case, newtype=True):
    reason: str


class Draw(Message[Shape | None], newtype=True):
    shape: Shape


class Measure(Message[Ok[float] | Err]):
    shapes: list[Shape]
    by_name: dict[str, Shape | None]


class Store(Message[ByteList]):
    data: ByteList
    more: ByteList | None = None


calc = Namespace("calc", [Add, Split, Mirror, Find, Ping, Draw, Measure, Store])
services = Services(calc)


@services.handler
async def add(msg: Add) -> int:
    assert_type(msg.a, int)
    return msg.a + msg.b


@services.handler
async def split(msg: Split, ctx: Context) -> list[str]:
    assert_type(ctx.peer, Peer)
    assert_type(msg.separator, str | None)
    return msg.text.split(msg.separator)


@services.handler
def find(msg: Find) -> Point | None:
    """Runs in a worker thread."""
    return Point(x=1.0) if msg.name else None


@services.handler(inline=True)
def ping(msg: Ping) -> None:
    """Runs in place."""


async def mirror(msg: Mirror) -> Point:
    return Point(msg.point.y, msg.point.x)


services.handler(Mirror, mirror)


def area(shape: Shape) -> float:
    """Every case is there, so there is nothing left for `assert_never`."""
    match shape:
        case Circle(radius):
            assert_type(radius, float)
            return radius**2
        case Line(start=start, end=end):
            assert_type(start, int)
            return float(end - start)
        case Named(value):
            assert_type(value, str)
            return 0.0
        case Nowhere():
            return 0.0
        case _:
            assert_never(shape)


@services.handler
async def draw(msg: Draw) -> Circle | None:
    """One of the cases is an answer of the union's."""
    assert_type(msg.shape, Circle | Nowhere | Named | Line)
    return msg.shape if isinstance(msg.shape, Circle) else None


@services.handler
async def measure(msg: Measure) -> Ok[float] | Err:
    return Ok(sum(map(area, msg.shapes))) if msg.shapes else Err("nothing to measure")


@services.handler
async def store(msg: Store) -> bytes:
    assert_type(msg.data, bytes)
    assert_type(msg.more, bytes | None)
    return msg.data


class Calculator:
    """Methods of an object are handlers too."""

    def __init__(self) -> None:
        self.calls = 0

    async def add(self, msg: Add) -> int:
        self.calls += 1
        return msg.a + msg.b

    async def split(self, msg: Split, ctx: Context) -> list[str]:
        return [*msg.text, str(ctx.call_id)]

    def ping(self, msg: Ping) -> None:
        self.calls += 1


def services_of(peer: Peer) -> Services:
    """State per connection: one object for each peer."""
    calculator = Calculator()
    mine = Services(calc)
    mine.handler(Add, calculator.add)
    mine.handler(Split, calculator.split)
    mine.handler(Ping, calculator.ping)
    return mine


async def a_decorated_handler_is_still_the_function(msg: Add) -> None:
    assert_type(await add(msg), int)


async def the_answer_is_what_the_message_says(peer: Peer) -> None:
    remote = peer.remote(calc)
    assert_type(await remote.call(Add(a=1, b=2)), int)
    assert_type(await remote.call(Add(1, 2)), int)
    assert_type(await remote.call(Split("a b", separator=" "), timeout=1.5), list[str])
    assert_type(await remote.call(Mirror(Point(x=1.0))), Point)
    assert_type(await remote.call(Find(name="a"), timeout=None), Point | None)
    await remote.call(Ping())
    assert_type(await remote.call(Draw(Nowhere())), Circle | Nowhere | Named | Line | None)
    assert_type(await remote.call(Store(b"data")), bytes)
    match await remote.call(Measure([Circle(1.0), Line(1, 2)], by_name={"a": None})):
        case Ok(value):
            assert_type(value, float)
        case Err(reason):
            assert_type(reason, str)
    await remote.send(Point(1.0, 2.0))


async def the_raw_calls_are_about_bytes(peer: Peer) -> None:
    assert_type(await peer.call_raw(7, b"payload"), bytes)
    await peer.send_raw(7, b"payload", timeout=1.0)


async def both_ends() -> None:
    async with serve("tcp://127.0.0.1:0", services, wireformat="cbor") as server:
        assert_type(server, Server)
        assert_type(server.url, str)
        for one in server.peers:
            assert_type(one, Peer)
        async with connect(server.url, services=services_of, wireformat="cbor") as peer:
            assert_type(peer, Peer)
            await peer.close(grace=1.0)
        await server.close(grace=1.0)
