"""Several maps as one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.services.conftest import PlainFormat

from duologue import (
    Message,
    Namespace,
    PubSub,
    RegistrationError,
    RelayMap,
    ServiceIdError,
    ServiceMap,
    ServiceMaps,
    Services,
    WireFormat,
)
from duologue.protocol.routes import Route
from duologue.relay import RelayRoute


class Add(Message[int]):
    a: int


class Sub(Message[int]):
    a: int


class News(Message[None]):
    text: str


class Complex(Message[complex]): ...


adding, subtracting, news = Namespace("a", [Add]), Namespace("s", [Sub]), Namespace("n", [News])
ADD, SUB, NEWS = adding.sid(Add), subtracting.sid(Sub), news.sid(News)


def kinds(router: Callable[[int], Route | None]) -> list[str]:
    return [type(router(sid)).__name__ for sid in (ADD, SUB, NEWS)]


def test_each_service_is_found_in_its_map() -> None:
    """Whichever it is, and in each wire format."""
    maps = ServiceMaps(Services(adding), RelayMap(print, subtracting), PubSub(news))
    for _ in range(2):
        router = maps.router(PlainFormat())
        assert kinds(router) == ["NoHandlerRoute", "RelayRoute", "PublishRoute"]
        assert router(17) is None
    assert set(maps.sids()) == {ADD, SUB, NEWS}
    assert (maps.name_of(SUB), maps.name_of(17)) == ("s::Sub", "0x0000000000000011")
    assert "RelayMap of s::Sub" in repr(maps)
    assert repr(ServiceMaps()) == "<ServiceMaps: none>"


def test_maps_come_and_go_while_they_are_served() -> None:
    """A router that a peer has stays right."""
    maps = ServiceMaps()
    router = maps.router(PlainFormat())
    assert kinds(router) == ["NoneType"] * 3
    relay = RelayMap(print, adding)
    maps.add(relay)
    maps.add(PubSub(news))
    assert kinds(router) == ["RelayRoute", "NoneType", "PublishRoute"]
    maps.remove(relay)
    assert kinds(router) == ["NoneType", "NoneType", "PublishRoute"]
    maps.add(Services(adding))
    assert kinds(router) == ["NoHandlerRoute", "NoneType", "PublishRoute"]


def test_one_service_in_two_maps_is_refused() -> None:
    """When the second is added, which changes nothing then."""
    maps = ServiceMaps(Services(adding))
    with pytest.raises(ServiceIdError, match=r"a::Add.* is served already"):
        maps.add(RelayMap(print, adding))
    assert isinstance(maps.router(PlainFormat())(ADD), Route)
    assert not isinstance(maps.router(PlainFormat())(ADD), RelayRoute)


def test_what_a_wire_format_can_not_carry_is_refused_for_all() -> None:
    """No peer gets it then, not even one that could."""
    maps = ServiceMaps()
    router = maps.router(PlainFormat())
    services = Services(Namespace("maths", [Complex]))
    services.handler(Complex, lambda message: 1j)
    with pytest.raises(RegistrationError, match="complex"):
        maps.add(services)
    assert router(Namespace("maths", [Complex]).sid(Complex)) is None
    assert set(maps.sids()) == set()


def test_only_maps_and_only_what_is_there() -> None:
    """Mistakes say what to do."""
    maps = ServiceMaps()
    with pytest.raises(RegistrationError, match="give Services"):
        maps.add(adding)  # type: ignore[arg-type]
    with pytest.raises(RegistrationError, match="is not served here"):
        maps.remove(Services(adding))


def test_one_of_the_maps_may_be_left_out_for_one_who_has_them_all() -> None:
    """Others have it still, and what comes and goes in the whole does so in the part."""
    adder, relay = Services(adding), RelayMap(print, subtracting)
    whole = ServiceMaps(adder, relay)
    own = ServiceMaps(whole)
    of_all, of_one = whole.router(PlainFormat()), own.router(PlainFormat())
    own.remove(adder)
    assert kinds(of_all) == ["NoHandlerRoute", "RelayRoute", "NoneType"]
    assert kinds(of_one) == ["NoneType", "RelayRoute", "NoneType"]
    assert set(own.sids()) == {SUB}
    assert (own.name_of(SUB), own.name_of(ADD)) == ("s::Sub", f"0x{ADD:016x}")
    assert "part of ServiceMaps: <RelayMap of s::Sub" in repr(own)
    published = PubSub(news)
    whole.add(published)
    assert kinds(of_one) == ["NoneType", "RelayRoute", "PublishRoute"]
    own.remove(relay)
    assert kinds(of_one) == ["NoneType", "NoneType", "PublishRoute"]
    whole.remove(adder)
    whole.add(adder)
    assert (kinds(of_all)[0], kinds(of_one)[0]) == ("NoHandlerRoute", "NoneType")
    own.add(adder)
    assert kinds(of_one) == ["NoHandlerRoute", "NoneType", "PublishRoute"]
    with pytest.raises(RegistrationError, match="is not served here"):
        own.remove(relay)
    whole.remove(published)
    assert kinds(of_one) == ["NoHandlerRoute", "NoneType", "NoneType"]


def test_maps_do_not_contain_themselves() -> None:
    """Neither at once nor by another: whoever looked for a service there would never come to an end."""
    inner = ServiceMaps()
    outer = ServiceMaps(inner)
    for one, other in ((inner, inner), (inner, outer)):
        with pytest.raises(RegistrationError, match="one of its own maps"):
            one.add(other)


def test_a_map_need_not_tell_what_it_serves() -> None:
    """Then two with the same service are not found, and the first answers."""

    class Silent(ServiceMap):
        def router(self, wireformat: WireFormat) -> Callable[[int], Route | None]:
            return {ADD: RelayRoute("silent", print, None)}.get  # type: ignore[arg-type]

    maps = ServiceMaps(Services(adding), Silent())
    assert isinstance(maps.router(PlainFormat())(ADD), Route)
    assert (list(Silent().sids()), Silent().name_of(1)) == ([], "0x0000000000000001")


def test_services_tell_what_they_serve() -> None:
    """With a handler or without."""
    services = Services(adding, subtracting)
    assert set(services.sids()) == {ADD, SUB}
    assert (services.name_of(ADD), services.name_of(NEWS)) == ("a::Add", f"0x{NEWS:016x}")
