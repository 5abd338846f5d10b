"""Services: handlers come and go, for any number of peers, in several wire formats."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from duologue import Message, Namespace, RegistrationError, ServiceIdError, Services, WireFormat, service_id
from duologue.protocol.routes import Mode
from duologue.service_ids import hex_id


class Add(Message[int]):
    a: int
    b: int


class Log(Message[None]):
    line: str


class Square(Message[complex]):
    of: float


calc = Namespace("calc", [Add, Log])


async def add(msg: Add) -> int:
    return msg.a + msg.b


async def test_a_handler_that_comes_later_appears_in_the_router(wireformat: WireFormat) -> None:
    services = Services(calc)
    router = services.router(wireformat)
    assert [router(sid).has_handler for sid in (calc.sid(Add), calc.sid(Log))] == [False, False]  # type: ignore[union-attr]
    services.handler(add)
    route = router(calc.sid(Add))
    assert route is not None
    assert await route.run(b'{"a":1,"b":2}', None, True) == b"3"


def test_services_tell_their_namespaces() -> None:
    """Tools that are given services find the messages by them."""
    other = Namespace("other", [Square])
    assert Services(calc, other).namespaces == (calc, other)
    assert Services().namespaces == ()


def test_a_handler_that_is_removed_disappears_from_the_router(wireformat: WireFormat) -> None:
    services = Services(calc)
    services.handler(add)
    router = services.router(wireformat)
    services.remove(Add)
    route = router(calc.sid(Add))
    assert route is not None
    assert not route.has_handler
    with pytest.raises(RegistrationError, match="Add has no handler here that could be removed"):
        services.remove(Add)
    with pytest.raises(RegistrationError, match="Square has no handler"):
        services.remove(Square)
    services.handler(add)
    route = router(calc.sid(Add))
    assert route is not None
    assert route.has_handler


def test_the_decorator_leaves_the_function_as_it_is() -> None:
    services = Services(calc)
    assert services.handler(add) is add

    @services.handler(ordered=True)
    async def log(msg: Log) -> None: ...

    assert log.__name__ == "log"


def test_the_options_reach_the_route(wireformat: WireFormat) -> None:
    services = Services(calc)

    @services.handler(inline=True, ordered=True)
    def add(msg: Add) -> int:
        return 0

    services.handler(Log, lambda _: None, inline=True)
    router = services.router(wireformat)
    added, logged = router(calc.sid(Add)), router(calc.sid(Log))
    assert added is not None
    assert logged is not None
    assert (added.mode, added.ordered) == (Mode.INLINE, True)
    assert (logged.mode, logged.ordered) == (Mode.INLINE, False)


def test_one_object_serves_several_wire_formats_and_peers(wireformat: WireFormat) -> None:
    """The routes of a format are made once while a peer uses them; the codecs of a namespace once for all."""
    services = Services(calc)
    services.handler(add)
    other = type(wireformat)()
    router, again, another = services.router(wireformat), services.router(wireformat), services.router(other)
    sid = calc.sid(Add)
    assert router(sid) is again(sid)
    assert router(sid) is not another(sid)
    del router, again
    gc.collect()
    services.remove(Add)
    route = another(sid)
    assert route is not None
    assert not route.has_handler


def test_messages_of_several_namespaces(wireformat: WireFormat) -> None:
    """One handler serves a message in each namespace that holds it: the ids differ, the work does not."""
    old = Namespace("old", [Add])
    services = Services(calc, old)
    services.handler(add)
    router = services.router(wireformat)
    for namespace in (calc, old):
        route = router(namespace.sid(Add))
        assert route is not None
        assert (route.has_handler, route.name) == (True, f"{namespace.name}::Add")
    services.remove(Add)
    assert not any(router(each.sid(Add)).has_handler for each in (calc, old))  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("namespaces", "text"),
    [
        ((calc, calc), "calc::Add, 0x8742ece5ed619835, is there twice"),
        ((calc, Namespace("calc", [Add])), "calc::Add, 0x8742ece5ed619835, is there twice"),
        (
            (calc, Namespace("other", [Log], ids={Log: calc.sid(Add)})),
            "other::Log, .* has the service id of calc::Add",
        ),
    ],
    ids=["the same object", "the same message", "an id that is taken"],
)
def test_weak_point_24_two_services_with_one_id_are_refused(namespaces: Any, text: str) -> None:
    """In the original the later one replaces the earlier without a word, in release builds."""
    with pytest.raises(ServiceIdError, match=text) as info:
        Services(*namespaces)
    assert info.value.sid == calc.sid(Add)


def test_only_namespaces_can_be_given() -> None:
    with pytest.raises(RegistrationError, match=r"write Services\(one, another\)"):
        Services([calc])  # type: ignore[arg-type]


def test_a_type_that_the_wire_format_can_not_carry(wireformat: WireFormat) -> None:
    """Found when a peer would be served, or else when the handler is added; and then nothing is half done."""
    shapes = Namespace("shapes", [Square])
    services = Services(shapes)
    router = services.router(wireformat)

    def square(msg: Square) -> complex:
        return complex(msg.of)

    with pytest.raises(RegistrationError, match="complex"):
        services.handler(square)
    assert "no handler" in repr(services)
    del router
    services.handler(square)
    with pytest.raises(RegistrationError, match="complex"):
        services.router(wireformat)


def test_its_text_is_a_table() -> None:
    services = Services(Namespace("remotes", [Add, Log]), Namespace("a_longer_name", [Log]))
    services.handler(add)
    assert str(services).splitlines() == [
        "<Services of remotes, a_longer_name>",
        f"  remotes::Add        0x6440cfd17c374646  {__name__}.add (task)",
        "  remotes::Log        0x919acee41d4b237d  no handler",
        f"  a_longer_name::Log  {hex_id(service_id('a_longer_name', 'Log'))}  no handler",
    ]
    assert str(Services()) == "<Services of no namespace>"
