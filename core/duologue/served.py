"""Several service maps as one, which can change while peers are connected."""

from __future__ import annotations

from collections.abc import Iterable
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
        taken = {sid: each for each in self._maps for sid in each.sids()}
        for sid in services.sids():
            if sid in taken:
                name = f"{services.name_of(sid)}, {hex_id(sid)},"
                raise ServiceIdError(f"{name} is served already: remove that map first", sid, name)
        # All routers are made before any is used, since a wire format may refuse the types.
        routers = [(combined, services.router(combined.wireformat)) for combined in self._combined]
        self._maps.append(services)
        for combined, router in routers:
            combined.routers = (*combined.routers, router)

    def remove(self, services: ServiceMap) -> None:
        """Serve this map no more. Requests that run may end; later ones are for an unknown service.

        Raises `RegistrationError` if it is not among them.
        """
        if services not in self._maps:
            raise RegistrationError(f"{services!r} is not served here, so it can't be removed")
        self._maps.remove(services)
        for combined in self._combined:
            combined.routers = tuple(each.router(combined.wireformat) for each in self._maps)

    def router(self, wireformat: WireFormat) -> Router:
        """From service ids to routes, in whichever map."""
        combined = _Combined(wireformat, tuple(each.router(wireformat) for each in self._maps))
        self._combined.add(combined)
        return combined.route

    def sids(self) -> Iterable[int]:
        """The services of all the maps."""
        return [sid for each in self._maps for sid in each.sids()]

    def name_of(self, sid: int) -> str:
        """The name that the map has for it which serves it."""
        for each in self._maps:
            if sid in each.sids():
                return each.name_of(sid)
        return hex_id(sid)

    def __repr__(self) -> str:
        return f"<ServiceMaps: {', '.join(map(repr, self._maps)) or 'none'}>"


class _Combined:
    """The routers of the maps, in one wire format. It lives as long as a peer has its `route`."""

    __slots__ = ("__weakref__", "routers", "wireformat")

    def __init__(self, wireformat: WireFormat, routers: tuple[Router, ...]) -> None:
        self.wireformat = wireformat
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
