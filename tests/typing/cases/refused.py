"""What the type checkers refuse. Each line marked `E:` is an error, and its message has the words after the mark.

Nothing here is run; test_inference.py has both checkers read it, and compares.
"""

from __future__ import annotations

from typing import Any, assert_never, assert_type

from duologue import ByteList, Case, Context, Message, Namespace, Peer, PubSub, Services, connect
from duologue_contrib.actors import Actor, Address, LocalAddress, actor_scope, handles


class Add(Message[int]):
    a: int
    b: int


class Log(Message[None]):
    line: str


class Circle(Case):
    radius: float


class Nowhere(Case, name="nowhere"):
    pass


class Elsewhere(Case):
    pass


Shape = Circle | Nowhere


class Draw(Message[Shape]):
    shape: Shape
    data: ByteList = b""


class NotAMessage:
    line = "a line"


calc = Namespace("calc", [Add, Log])
services = Services(calc)


async def add(msg: Add) -> int:
    return msg.a + msg.b


async def answers_text(msg: Add) -> str:
    return str(msg.a)


def answers_text_in_a_thread(msg: Add) -> str:
    return str(msg.a)


async def takes_another(msg: Log) -> int:
    return len(msg.line)


async def takes_too_much(msg: Add, ctx: Context, more: int) -> int:
    return msg.a + more


def a_message_is_checked_like_a_dataclass() -> None:
    Add(a="one", b=2)  # E: "a" "int"
    Add(a=1)  # E: "b"
    Add(a=1, b=2, c=3)  # E: "c"
    Log()  # E: "line"
    Add(a=1, b=2).a = 3  # E: "a"


async def a_call_is_checked(peer: Peer) -> None:
    remote = peer.remote(calc)
    assert_type(await remote.call(Add(a=1, b=2)), str)  # E: str
    text: str = await remote.call(Add(a=1, b=2))  # E: str
    await remote.call(NotAMessage())  # E: NotAMessage
    await remote.call(Add)  # E: Add
    await remote.send(NotAMessage())  # E: NotAMessage
    await remote.send({"a": 1, "b": 2})  # E: dict
    await remote.call(Add(a=1, b=2), timeout="soon")  # E: timeout
    await peer.call_raw(7, "text")  # E: bytes
    print(text)


def a_handler_is_checked() -> None:
    services.handler(Add, add)
    services.handler(Add, answers_text)  # E: Add str
    services.handler(Add, answers_text_in_a_thread)  # E: Add str
    services.handler(Add, takes_another)  # E: Log Add
    services.handler(Add, takes_too_much)  # E: Context
    services.handler(Draw, a_handler_answers_with_a_case)  # E: Elsewhere
    services.handler(NotAMessage, add)  # E: NotAMessage


def a_case_is_checked_like_a_dataclass() -> None:
    Circle(radius="wide")  # E: "radius" "float"
    Circle()  # E: "radius"
    Circle(1.0, 2.0)  # E: argument
    Circle(1.0).radius = 2.0  # E: "radius"


def a_union_holds_its_cases() -> None:
    Draw(Elsewhere())  # E: Elsewhere
    Draw("Nowhere")  # E: Circle
    Draw(Circle(1.0), data="text")  # E: "data" bytes
    Draw(Circle(1.0), data=[1, 2])  # E: "data" bytes


def a_case_that_was_forgotten(shape: Shape) -> float:
    match shape:
        case Circle(radius):
            return radius
        case _:
            assert_never(shape)  # E: Nowhere


async def a_handler_answers_with_a_case(msg: Draw) -> Elsewhere:
    return Elsewhere()


def a_namespace_holds_messages() -> None:
    Namespace("calc", [Add, NotAMessage])  # E: NotAMessage
    Namespace("calc", [Add(a=1, b=2)])  # E: Add


async def the_wire_format_must_be_said() -> None:
    async with connect("tcp://127.0.0.1:1"):  # E: wireformat
        pass


class Actress(Actor):
    @handles(Add)  # E: Add str
    async def answers_text(self, msg: Add) -> str:
        return str(msg.a)


async def a_call_of_an_actor_is_checked(address: Address, local: LocalAddress) -> None:
    assert_type(await address.call(Add(a=1, b=2)), str)  # E: str
    await address.call(NotAMessage())  # E: NotAMessage
    await local.send(NotAMessage())  # E: NotAMessage
    await local.stop("later")  # E: later
    async with actor_scope() as actors:
        await actors.start(NotAMessage)  # E: NotAMessage


async def hear_later(message: Message[Any]) -> None:
    pass


def hear_addition(message: Add) -> None:
    pass


def a_function_listens_to_what_it_takes(published: PubSub) -> None:
    published.listen(hear_later)  # E: listen
    published.listen(hear_addition)  # E: listen
    published.listen(hear_addition, Draw)  # E: listen
