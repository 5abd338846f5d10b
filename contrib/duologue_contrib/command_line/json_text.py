"""JSON as people write it for a call, and as the answer is printed: plain data, and a way to say what JSON has no word for.

Byte strings are `{"$bytes": "AAEC"}`, in base64, both ways. Integer keys are printed as texts, NaN and the infinities as
"NaN", "Infinity" and "-Infinity".
"""

from __future__ import annotations

import base64
import json
import math
from typing import Any, TypeGuard

from duologue import DecodeError, find_wireformat
from duologue_contrib.command_line.endings import Mistake

BYTES = "$bytes"
"""The only key of a map that stands for a byte string."""


# `isinstance(value, list)` leaves a type checker with a list of nobody knows what.


def is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether it is an array."""
    return isinstance(value, list)


def is_dict(value: object) -> TypeGuard[dict[Any, Any]]:
    """Whether it is a map."""
    return isinstance(value, dict)


def read_plain(text: bytes) -> Any:
    """The plain data that a JSON text says. Raises `Mistake`."""
    try:
        value = find_wireformat("json").decode_plain(text)
    except DecodeError as exc:
        raise Mistake(f"the JSON can't be used: {exc}") from exc
    return _with_bytes(value, "$")


def _with_bytes(value: Any, path: str) -> Any:
    if is_list(value):
        return [_with_bytes(each, f"{path}[{index}]") for index, each in enumerate(value)]
    if not is_dict(value):
        return value
    if set(value) != {BYTES}:
        return {key: _with_bytes(each, f"{path}.{key}") for key, each in value.items()}
    try:
        return base64.b64decode(value[BYTES], validate=True)
    except (TypeError, ValueError) as exc:
        raise Mistake(f"{BYTES} needs a text in base64 - at `{path}`") from exc


def text_of_plain(value: Any) -> str:
    """Plain data as JSON, in one line. Raises `DecodeError` where two keys of a map would be the same text."""
    return json.dumps(_sayable(value), ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _sayable(value: Any) -> Any:
    if isinstance(value, bytes):
        return {BYTES: base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if is_list(value):
        return [_sayable(each) for each in value]
    if not is_dict(value):
        return value
    made = {_key(key): _sayable(each) for key, each in value.items()}
    if len(made) != len(value):
        raise DecodeError("two keys of a map would be the same in JSON")
    return made


def _key(key: Any) -> str:
    return base64.b64encode(key).decode() if isinstance(key, bytes) else str(key)
