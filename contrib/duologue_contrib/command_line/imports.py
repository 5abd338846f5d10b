"""From `module:name` to the object: what a program would import, found from the folder that one is in, too."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType, TracebackType
from typing import Any, TypeGuard

import typer

from duologue import Namespace, Peer, ServiceMap, Services
from duologue_contrib.command_line.endings import Exit, Mistake

Served = ServiceMap | Callable[[Peer], ServiceMap | None]
"""What `duologue.serve` takes."""


def imported_services(spec: str) -> Served:
    """What `module:name` holds, to be served. Raises `Mistake`."""
    found = _imported(spec)
    if _is_served(found):
        return found
    what = "a namespace, which has no handlers" if isinstance(found, Namespace) else _kind(found)
    raise Mistake(f"{spec} is {what}: give Services, or a function of the new peer that makes them")


def imported_namespaces(spec: str) -> Sequence[Namespace]:
    """The namespaces of `module:name`. Raises `Mistake`."""
    found = _imported(spec)
    match found:
        case Namespace():
            return (found,)
        case Services():
            return found.namespaces
        case _:
            raise Mistake(f"{spec} is {_kind(found)}: give a Namespace, or Services")


def _is_served(found: object) -> TypeGuard[Served]:
    if isinstance(found, type):
        return issubclass(found, ServiceMap)  # of which one is made for each peer
    return isinstance(found, ServiceMap) or (callable(found) and not inspect.iscoroutinefunction(found))


def _kind(found: object) -> str:
    if isinstance(found, type):
        return f"the class {found.__name__}"
    if inspect.iscoroutinefunction(found):
        return "an async function"
    return f"of the type {type(found).__name__}"


def _imported(spec: str) -> object:
    name, _, attributes = spec.partition(":")
    if name.endswith(".py"):
        raise Mistake(f"{spec!r} names a file: write the module, as in {_as_module(name)}:services")
    if not attributes or not all(part.isidentifier() for part in name.split(".")):
        raise Mistake(f"{spec!r} is not module:name: write, for example, calculator:services")
    found: object = _module(name)
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            raise Mistake(f"{name} has no {attributes}{_what_it_has(found)}") from None
    return found


def _as_module(path: str) -> str:
    return path.removesuffix(".py").removeprefix("./").replace("/", ".") or "module"


def _module(name: str) -> ModuleType:
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)  # the script `duologue` has the folder of scripts there
    try:
        return importlib.import_module(name)
    except Exception as exc:
        if isinstance(exc, ModuleNotFoundError) and exc.name and f"{name}.".startswith(f"{exc.name}."):
            raise Mistake(
                f"there is no module {exc.name} in this folder, or where Python looks for it"
            ) from None
        # It is there, and has a bug. Whoever wrote it wants to see where.
        traceback.print_exception(exc.with_traceback(_in_the_module(exc.__traceback__)))
        raise typer.Exit(Exit.BROKEN) from None


def _in_the_module(trace: TracebackType | None) -> TracebackType | None:
    """A traceback without what stands before the module: this one, and the machinery of imports."""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        if file not in (__file__, importlib.__file__) and not file.startswith("<frozen importlib"):
            break
        trace = trace.tb_next
    return trace


def _what_it_has(found: object) -> str:
    members: dict[str, Any] = getattr(found, "__dict__", {})
    fitting = [name for name, value in members.items() if isinstance(value, Namespace | ServiceMap)]
    return f": it has {', '.join(fitting)}" if fitting else ""
