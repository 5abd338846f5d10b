"""One kind of plug-in, by name: loaded when it is asked for, checked, and kept."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar, cast

import pluggy

from duologue.errors import PluginError

P = TypeVar("P")

_OURS = "duologue"


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """A plug-in that is there, whether it can be used or not."""

    group: str
    """The group of its entry point: `duologue.adapters` or `duologue.wireformats`."""
    name: str
    """The URL scheme, or the name of the wire format."""
    distribution: str
    """What has installed it; empty if it was registered by hand."""
    version: str
    """The version of that."""
    place: str
    """The module that it is in, as its entry point says."""
    problem: str
    """Why it can't be used, and what to do about it; empty if it can."""


class Registry(Generic[P]):
    """The plug-ins of one entry-point group, and what was registered by hand."""

    def __init__(
        self,
        *,
        port: type[object],
        parts: tuple[str, ...],
        names: Callable[[P], Collection[str]],
        group: str,
        manager: pluggy.PluginManager,
        hook: str,
        unknown: Callable[[str, tuple[str, ...]], PluginError],
        extras: Mapping[str, str],
    ) -> None:
        self._port = port
        self._parts = parts
        """The attributes that the port asks for, to name the one that is missing."""
        self._names = names
        self._group = group
        self._manager = manager
        self._hook = hook
        self._unknown = unknown
        self._extras = extras
        """Which extra of ours brings the library of a plug-in of ours."""
        self._by_hand: dict[str, P] = {}
        self._loaded: dict[str, P] = {}
        self._installed: dict[str, list[EntryPoint]] | None = None

    def find(self, name: str) -> P:
        """The plug-in of that name, loaded now if it was not before. Raises `PluginError`."""
        for known in (self._by_hand, self._loaded):
            if name in known:
                return known[name]
        point = self._entry_point(name)
        if point is None:
            raise self._unknown(name, self.known())
        self._loaded[name] = found = self._load(point)
        return found

    def known(self) -> tuple[str, ...]:
        """The names that can be asked for, whether what they need is installed or not."""
        return tuple(sorted({*self._by_hand, *self._entry_points()}))

    def register(self, name: str, plugin: P) -> None:
        """Add one by hand. Raises `PluginError` if the name is taken, or the object does not fulfil the port."""
        self._check(plugin, f"what is to be registered as {name!r}" if name else "what is to be registered")
        if name in self._by_hand:
            raise PluginError(
                f"{name!r} is registered already, as {self._by_hand[name]!r}: unregister it first"
            )
        if points := self._entry_points().get(name):
            raise PluginError(
                f"{name!r} is taken by the plug-in {_origin(points[0])}: choose another name, or uninstall that"
            )
        self._by_hand[name] = plugin

    def unregister(self, name: str) -> None:
        """Take one back that was added by hand. Raises `PluginError` if it was not."""
        if self._by_hand.pop(name, None) is None:
            raise PluginError(f"{name!r} was not registered by hand, so it can't be taken back")

    def listing(self) -> list[PluginInfo]:
        """All of them, by name. Each is loaded for that, since only so it shows whether it can be used."""
        found = [self._info(name, module=type(plugin).__module__) for name, plugin in self._by_hand.items()]
        for name, points in self._entry_points().items():
            try:
                self.find(name)
            except PluginError as exc:
                problem = str(exc)
            else:
                problem = ""
            found += [self._info(name, point, problem=problem) for point in points]
        return sorted(found, key=lambda info: (info.name, info.distribution))

    # -- inside ------------------------------------------------------------------------------

    def _entry_points(self) -> dict[str, list[EntryPoint]]:
        # Looking for them walks all distributions that are installed: milliseconds, so it is done once.
        if self._installed is None:
            self._installed = {}
            for point in entry_points(group=self._group):
                self._installed.setdefault(point.name, []).append(point)
        return self._installed

    def _entry_point(self, name: str) -> EntryPoint | None:
        if name not in self._entry_points():
            # It may have been installed since we looked: before saying no, look again.
            self._installed = None
        points = self._entry_points().get(name, [])
        if len(points) > 1:
            raise PluginError(
                f"{name!r} is offered by several plug-ins, {' and '.join(sorted(map(_origin, points)))}: uninstall one, or let it choose another name"
            )
        return points[0] if points else None

    def _load(self, point: EntryPoint) -> P:
        try:
            plugin = point.load()
        except ImportError as exc:
            raise PluginError(
                f"the plug-in {_origin(point)} can't be imported, since {_reason(exc)}: {self._advice(point)}"
            ) from exc
        except Exception as exc:
            raise PluginError(f"the plug-in {_origin(point)} failed while it was imported: {exc!r}") from exc
        try:
            found = self._ask(point, plugin)
        except Exception as exc:
            raise PluginError(f"{self._hook}() of the plug-in {_origin(point)} failed: {exc!r}") from exc
        if found is None:
            callers = self._manager.get_hookcallers(plugin) or []
            if any(caller.name == self._hook for caller in callers):
                raise PluginError(
                    f"{self._hook}() of the plug-in {_origin(point)} returned None: "
                    f"it must return an object of a class derived from duologue.{self._port.__name__}"
                )
            raise PluginError(
                f"the plug-in {_origin(point)} has no function {self._hook}() marked with duologue.hookimpl"
            )
        self._check(found, f"what {self._hook}() of the plug-in {_origin(point)} returned")
        if point.name not in self._names(found):
            raise PluginError(
                f"the plug-in {_origin(point)} is installed as {point.name!r}, and says it is for "
                f"{', '.join(map(repr, self._names(found)))}: mend the name of its entry point"
            )
        return found

    def _ask(self, point: EntryPoint, plugin: object) -> P | None:
        """What this one plug-in gives; None if it implements no hook."""
        # One module may stand behind several names, as with `ws` and `wss`.
        if not self._manager.is_registered(plugin):
            self._manager.register(plugin, name=point.value)
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        given: P | None = self._manager.subset_hook_caller(self._hook, others)()
        return given

    def _check(self, found: P, what: str) -> None:
        """Hooks and callers without a type checker may bring anything."""
        missing = [part for part in self._parts if not hasattr(found, part)]
        if missing or not isinstance(found, self._port):
            port = self._port.__name__
            lacks = f", which lacks {', '.join(missing)}" if missing else ""
            raise PluginError(
                f"{what} is {found!r}{lacks}: it must be an object of a class derived from duologue.{port}"
            )
        names = cast("Collection[object]", self._names(found))
        if isinstance(names, str) or not names or not all(isinstance(name, str) and name for name in names):
            raise PluginError(
                f"{what}, {found!r}, says it is for {names!r}: the names must be texts that are not empty"
            )

    def _info(
        self, name: str, point: EntryPoint | None = None, *, module: str = "", problem: str = ""
    ) -> PluginInfo:
        owner = point.dist if point is not None else None
        return PluginInfo(
            group=self._group,
            name=name,
            distribution=owner.name if owner is not None else "",
            version=owner.version if owner is not None else "",
            place=point.value if point is not None else module,
            problem=problem,
        )

    def _advice(self, point: EntryPoint) -> str:
        owner = point.dist.name if point.dist is not None else ""
        if owner != _OURS:
            return f"install the library, or the extra of {owner or 'its distribution'} that brings it"
        if point.name not in self._extras:
            return f"the installation of {_OURS} is incomplete, install it again"
        return f"pip install '{_OURS}[{self._extras[point.name]}]'"


def _reason(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return f"there is no module {error.name!r}"
    return str(error)


def _origin(point: EntryPoint) -> str:
    owner = point.dist.name if point.dist is not None else "an unknown distribution"
    return f"{point.value} of {owner}"
