"""What a peer serves: a port that says where a service id leads, and the map from messages to handlers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol, TypeVar, cast, overload
from weakref import WeakValueDictionary

from duologue.context import Context
from duologue.errors import RegistrationError, ServiceIdError
from duologue.handler_routes import NoHandlerRoute, handler_route
from duologue.handlers import Handler, read_handler
from duologue.namespace import MessageType, Namespace, is_message_class
from duologue.protocol.routes import Route, Router
from duologue.service_ids import hex_id
from duologue.wireformat import WireFormat

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
R = TypeVar("R")
R_contra = TypeVar("R_contra", contravariant=True)


class MessageClass(Protocol[M_co, R_contra]):
    """For type checkers: the class of the messages `M`, which takes `R` for an answer, or what is derived from it."""

    def __handled_by__(self, function: Callable[[M_co], R_contra], /) -> None:
        """Declared by `Message`, and never called."""


class ServiceMap(ABC):
    """A port: what a peer serves. It decides where a request goes, and does nothing itself."""

    @abstractmethod
    def router(self, wireformat: WireFormat) -> Router:
        """From service ids to routes, for a connection with this wire format.

        It is asked for each request, and stays right while services come and go. Raises `RegistrationError` if the
        format can't carry a type that is served.
        """

    def sids(self) -> Iterable[int]:
        """The ids of the services that it knows, so that two maps with the same one are found. None, if it can't tell."""
        return ()

    def name_of(self, sid: int) -> str:
        """The name of a service, for people."""
        return hex_id(sid)


class Services(ServiceMap):
    """The handlers of the messages of one or more namespaces: `services = Services(calc)`.

    One object may serve many peers at once, in several wire formats. Handlers can be added and removed at any time,
    also while peers are connected. Raises `ServiceIdError` if two messages have the same service id.
    """

    def __init__(self, *namespaces: Namespace) -> None:
        self._namespaces = namespaces
        self._sids: dict[MessageType, list[int]] = {}
        self._services: dict[int, _Service] = {}
        self._handlers: dict[int, Handler] = {}
        self._tables: WeakValueDictionary[int, _RouteTable] = WeakValueDictionary()
        for namespace in cast("tuple[object, ...]", namespaces):
            if not isinstance(namespace, Namespace):
                raise RegistrationError(f"{namespace!r} is not a Namespace: write Services(one, another)")
            for message in namespace:
                self._add_service(_Service(namespace, message))

    @property
    def namespaces(self) -> tuple[Namespace, ...]:
        """What it was given."""
        return self._namespaces

    @overload
    def handler(self, function: F, /, *, ordered: bool = False, inline: bool = False) -> F: ...

    @overload
    def handler(self, /, *, ordered: bool = False, inline: bool = False) -> Callable[[F], F]: ...

    @overload
    def handler(
        self,
        message: MessageClass[M, R],
        function: Callable[[M], Awaitable[R]]
        | Callable[[M, Context], Awaitable[R]]
        | Callable[[M], R]
        | Callable[[M, Context], R],
        /,
        *,
        ordered: bool = False,
        inline: bool = False,
    ) -> None: ...

    def handler(
        self, first: Any = None, function: Any = None, /, *, ordered: bool = False, inline: bool = False
    ) -> Any:
        """Register a handler: as a decorator, with or without options, or as `services.handler(Add, function)`.

        A handler takes the message, and a `Context` if it has a second parameter. An `async def` runs in a task of
        its own, a `def` in a worker thread, or in place with `inline=True`, where it must not block. `ordered=True`:
        one after another with the other ordered handlers of the connection, in the order of arrival.

        The decorator reads message and answer from the annotations; the call form is checked by type checkers too.
        Raises `RegistrationError` if the function can't handle the message, `ServiceIdError` if it has a handler.
        """
        if function is not None:
            return self._register(function, first, ordered=ordered, inline=inline)
        if is_message_class(first):
            raise RegistrationError(
                f"services.handler({first.__name__}) lacks the function: services.handler({first.__name__}, function)"
            )

        def decorate(function: F) -> F:
            self._register(function, None, ordered=ordered, inline=inline)
            return function

        return decorate if first is None else decorate(first)

    def remove(self, message: MessageType) -> None:
        """Take back the handler of a message: requests for it fail from now on, those that run are left alone.

        Raises `RegistrationError` if there is none.
        """
        sids = [sid for sid in self._sids.get(message, ()) if sid in self._handlers]
        if not sids:
            raise RegistrationError(f"{message.__name__} has no handler here that could be removed")
        for sid in sids:
            del self._handlers[sid]
            for table in self._tables.values():
                table[sid] = NoHandlerRoute(self._services[sid].name)

    def router(self, wireformat: WireFormat) -> Router:
        """From service ids to routes. Handlers that come later appear in it too."""
        table = self._tables.get(id(wireformat))
        if table is None:
            table = _RouteTable(wireformat)
            for sid, service in self._services.items():
                handler = self._handlers.get(sid)
                table[sid] = service.route(handler, wireformat) if handler else NoHandlerRoute(service.name)
            self._tables[id(wireformat)] = table
        return table.get

    def sids(self) -> Iterable[int]:
        """The ids of all messages of the namespaces, with a handler or without."""
        return self._services.keys()

    def name_of(self, sid: int) -> str:
        """`calc::Add`, or the id in hex if it is of none of the namespaces."""
        return self._services[sid].name if sid in self._services else hex_id(sid)

    def __repr__(self) -> str:
        handlers = (
            f"{service.name} {self._handlers.get(sid) or 'no handler'}"
            for sid, service in self._services.items()
        )
        return f"<Services: {', '.join(handlers) or 'none'}>"

    def __str__(self) -> str:
        """A table, to be printed: one line for each service."""
        lines = [f"<Services of {', '.join(each.name for each in self._namespaces) or 'no namespace'}>"]
        width = max((len(each.name) for each in self._services.values()), default=0)
        for sid, service in self._services.items():
            handler = self._handlers.get(sid)
            lines.append(f"  {service.name:{width}}  {hex_id(sid)}  {handler or 'no handler'}")
        return "\n".join(lines)

    def _add_service(self, service: _Service) -> None:
        sid = service.namespace.sid(service.message)
        if sid in self._services:
            other = self._services[sid]
            what = (
                "is there twice"
                if other.message is service.message
                else f"has the service id of {other.name}"
            )
            raise ServiceIdError(
                f"{service.name}, {hex_id(sid)}, {what}: a peer could not tell them apart", sid, service.name
            )
        self._services[sid] = service
        self._sids.setdefault(service.message, []).append(sid)

    def _register(
        self, function: Callable[..., Any], message: MessageType | None, *, ordered: bool, inline: bool
    ) -> None:
        handler = read_handler(function, message, self._sids, ordered=ordered, inline=inline)
        if handler.message not in self._sids:
            raise RegistrationError(
                f"the handler {handler.name} is for {handler.message.__name__}, which is in none of the namespaces "
                f"{', '.join(each.name for each in self._namespaces)}: add it there"
            )
        sids = self._sids[handler.message]
        for sid in sids:
            if sid in self._handlers:
                name = self._services[sid].name
                raise ServiceIdError(
                    f"{name} can't be handled by {handler.name}: it is by {self._handlers[sid].name}; remove that first",
                    sid,
                    name,
                )
        # All routes are made before any is shown, since a wire format may refuse the types.
        routes = [
            (table, sid, self._services[sid].route(handler, table.wireformat))
            for table in self._tables.values()
            for sid in sids
        ]
        for table, sid, route in routes:
            table[sid] = route
        for sid in sids:
            self._handlers[sid] = handler


class _Service:
    """A message of one of the namespaces."""

    __slots__ = ("message", "name", "namespace")

    def __init__(self, namespace: Namespace, message: MessageType) -> None:
        self.namespace = namespace
        self.message = message
        self.name = namespace.name_of(namespace.sid(message))

    def route(self, handler: Handler, wireformat: WireFormat) -> Route:
        """The route to its handler, in a wire format."""
        return handler_route(handler, self.name, self.namespace.codecs(wireformat)[self.message])


class _RouteTable(dict[int, Route]):
    """The routes in one wire format. It lives as long as a peer has the router, which is its `get`."""

    __slots__ = ("__weakref__", "wireformat")

    def __init__(self, wireformat: WireFormat) -> None:
        super().__init__()
        self.wireformat = wireformat
        """Kept, so that no other object can get its id while the table is found by it."""
