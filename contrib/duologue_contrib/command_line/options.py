"""`--option key=value`: options of adapters, as `connect` and `serve` take them by keyword."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from typing import Any

from duologue import connect, serve
from duologue_contrib.command_line.endings import Mistake

_TEXTS = frozenset(
    {
        *("ca", "certificate", "client_ca", "cwd", "key", "password", "server_hostname", "static"),
        *("public_key", "secret_key", "server_key"),
    }
)
"""Options that are texts, whatever they look like: a password may be a number."""

_NOT_OPTIONS = {*inspect.signature(connect).parameters, *inspect.signature(serve).parameters}

_WORDS = {"true": True, "false": False, "none": None, "null": None}


def options_for(urls: Sequence[str], given: Sequence[str]) -> list[dict[str, Any]]:
    """The options for each URL: those without a scheme are for all, `ws:origins=any` is for those of that scheme.

    Raises `Mistake`. Whether an adapter knows an option it says itself.
    """
    schemes = [url.partition(":")[0].lower() for url in urls]
    made: list[dict[str, Any]] = [{} for _ in urls]
    for each in given:
        left, equals, text = each.partition("=")
        scheme, _, key = left.rpartition(":")
        if not equals or not key.isidentifier():
            raise Mistake(f"--option {each}: write key=value, or scheme:key=value")
        if key in _NOT_OPTIONS:
            raise Mistake(f"--option {key}: that is no option of an adapter")
        if scheme and scheme.lower() not in schemes:
            raise Mistake(f"--option {left}: no URL here has the scheme {scheme}")
        for options, its_scheme in zip(made, schemes, strict=True):
            if scheme.lower() in ("", its_scheme):
                if key in options:
                    raise Mistake(f"--option {left}: it is given twice")
                options[key] = _value(key, text)
    return made


def _value(key: str, text: str) -> Any:
    """Numbers, lists, maps and quoted texts in Python's notation, which for most of them is JSON's as well; else the text."""
    if key in _TEXTS:
        return text
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
