"""Several service maps as one, which can change while peers are connected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from weakref import WeakSet

from duologue.errors import RegistrationError, ServiceIdError
from duologue.namespace import Namespace
from duologue.protocol.ids import is_reserved
from duologue.protocol.routes import Route, Router
from duologue.service_ids import check_service_id, hex_id
from duologue.services import ServiceMap
from duologue.wireformat import WireFormat


class ServiceMaps(ServiceMap):
    """Service maps that are served together: `ServiceMaps(services, relay)`.

    Maps can be added and removed at any time, also while peers are connected: that holds for the next request, and
    what runs is left alone. Raises `ServiceIdError` if two of them serve the same service.
    """

    def __init__(self, *maps: ServiceMap) -> None:
        self._maps: list[ServiceMap] = []
        self._combined: WeakSet[_Combined] = WeakSet()
        for each in maps:
            self.add(each)

    def add(self, services: ServiceMap) -> None:
        """Serve this map too, for each peer that has these.

        Raises `ServiceIdError` if a service of it is served already, `RegistrationError` if it is no service map or
        can't be carried in the wire format of one of the peers.
        """
        if not isinstance(services, ServiceMap):  # pyright: ignore[reportUnnecessaryIsInstance] - not all callers are checked
            raise RegistrationError(
                f"{services!r} is no service map: give Services(...), a RelayMap or a PubSub"
            )
        if services is self or (isinstance(services, ServiceMaps) and services.has(self)):
            raise RegistrationError("a ServiceMaps can't be one of its own maps")
        taken = {sid: each for each in self._maps for sid in each.sids()}
        for sid in services.sids():
            if sid in taken:
                name = f"{services.name_of(sid)}, {hex_id(sid)},"
                raise ServiceIdError(f"{name} is served already: remove that map first", sid, name)
        # All routers are made before any is used, since a wire format may refuse the types.
        routers = [
            (combined, services.router(combined.wireformat))
            for combined in self._combined
            if services not in combined.left_out
        ]
        self._maps.append(services)
        for combined, router in routers:
            combined.routers = (*combined.routers, router)

    def remove(self, services: ServiceMap) -> None:
        """Serve this map no more. Requests that run may end; later ones are for an unknown service.

        It may be one of the maps of a `ServiceMaps` that is among these: those of that others are served stay as they
        are. Raises `RegistrationError` if it is not among them.
        """
        if services in self._maps:
            self._maps.remove(services)
        else:
            for place, each in enumerate(self._maps):
                if isinstance(each, ServiceMaps | _Part) and each.has(services):
                    self._maps[place] = each.without(services)
                    break
            else:
                raise RegistrationError(f"{services!r} is not served here, so it can't be removed")
        for combined in self._combined:
            combined.routers = self._routers(combined.wireformat, combined.left_out)

    def has(self, services: ServiceMap) -> bool:
        """Whether it is one of these maps."""
        return services in self._maps

    def without(self, services: ServiceMap) -> ServiceMap:
        """These for someone who is not to be served one of them. What is added and removed here later holds there, too."""
        return _Part(self._combine, self._maps, (services,))

    def router(self, wireformat: WireFormat) -> Router:
        """From service ids to routes, in whichever map."""
        return self._combine(wireformat, ())

    def _combine(self, wireformat: WireFormat, left_out: tuple[ServiceMap, ...]) -> Router:
        combined = _Combined(wireformat, left_out, self._routers(wireformat, left_out))
        self._combined.add(combined)
        return combined.route

    def _routers(self, wireformat: WireFormat, left_out: tuple[ServiceMap, ...]) -> tuple[Router, ...]:
        return tuple(each.router(wireformat) for each in self._maps if each not in left_out)

    def sids(self) -> Iterable[int]:
        """The services of all the maps."""
        return [sid for each in self._maps for sid in each.sids()]

    def name_of(self, sid: int) -> str:
        """The name that the map has for it which serves it."""
        return _name_in(self._maps, sid)

    def __repr__(self) -> str:
        return f"<ServiceMaps: {', '.join(map(repr, self._maps)) or 'none'}>"


class _Part(ServiceMap):
    """A `ServiceMaps` but for some of its maps: what a peer is served that has removed them for itself."""

    def __init__(
        self,
        combine: Callable[[WireFormat, tuple[ServiceMap, ...]], Router],
        maps: list[ServiceMap],
        left_out: tuple[ServiceMap, ...],
    ) -> None:
        self._combine = combine
        self._all = maps  # those of the whole, which come and go
        self._left_out = left_out

    @property
    def _maps(self) -> list[ServiceMap]:
        return [each for each in self._all if each not in self._left_out]

    def has(self, services: ServiceMap) -> bool:
        """Whether it is one of the maps that are left."""
        return services in self._maps

    def without(self, services: ServiceMap) -> ServiceMap:
        """One less."""
        return _Part(self._combine, self._all, (*self._left_out, services))

    def router(self, wireformat: WireFormat) -> Router:
        return self._combine(wireformat, self._left_out)

    def sids(self) -> Iterable[int]:
        return [sid for each in self._maps for sid in each.sids()]

    def name_of(self, sid: int) -> str:
        return _name_in(self._maps, sid)

    def __repr__(self) -> str:
        return f"<part of ServiceMaps: {', '.join(map(repr, self._maps)) or 'none'}>"


def _name_in(maps: list[ServiceMap], sid: int) -> str:
    for each in maps:
        if sid in each.sids():
            return each.name_of(sid)
    return hex_id(sid)


class _Combined:
    """The routers of the maps, in one wire format. It lives as long as a peer has its `route`."""

    __slots__ = ("__weakref__", "left_out", "routers", "wireformat")

    def __init__(
        self, wireformat: WireFormat, left_out: tuple[ServiceMap, ...], routers: tuple[Router, ...]
    ) -> None:
        self.wireformat = wireformat
        self.left_out = left_out
        """Maps that this peer is not served."""
        self.routers = routers

    def route(self, sid: int) -> Route | None:
        for router in self.routers:
            route = router(sid)
            if route is not None:
                return route
        return None


def named_services(services: Iterable[Namespace | int], what: str) -> dict[int, str]:
    """The names of services by their ids, for maps that don't handle them: of namespaces, and of ids alone.

    Raises `RegistrationError` if there is none, `ServiceIdError` if one is given twice or reserved.
    """
    names: dict[int, str] = {}
    for each in services:
        if isinstance(each, Namespace):
            found = {each.sid(message): each.name_of(each.sid(message)) for message in each}
        elif isinstance(each, int):  # pyright: ignore[reportUnnecessaryIsInstance] - not all callers are checked
            found = {check_service_id(each, hex_id(each)) if is_reserved(each) else each: hex_id(each)}
        else:
            raise RegistrationError(f"{each!r} is neither a Namespace nor a service id: {what} takes those")
        for sid, name in found.items():
            if sid in names:
                raise ServiceIdError(
                    f"{name}, {hex_id(sid)}, is given twice to {what}: give it once", sid, name
                )
            names[sid] = name
    if not names:
        raise RegistrationError(f"{what} without services does nothing: give namespaces, or service ids")
    return names
