"""Service ids: 64-bit numbers made from names, the same as the original makes (docs/protocol.md, section 2)."""

from __future__ import annotations

from xxhash import xxh64_intdigest

from duologue.errors import RegistrationError, ServiceIdError
from duologue.protocol.ids import is_reserved


def service_id(namespace: str, name: str) -> int:
    """The id of a service: XXH64 with seed 0 of `namespace :: name`.

    `name` is the name of the message as the remote declares it: `Add`, or a path such as `sub::Add`.
    Raises `RegistrationError` for a name that can't be hashed, `ServiceIdError` for one whose id is reserved.
    """
    for part in (namespace, name):
        if not part or part != part.strip():
            raise RegistrationError(
                f"{part!r} can't be part of a service's name: it must not be empty, nor begin or end with a space"
            )
    try:
        # One space on each side of `::`, whatever the original's own documentation says.
        text = f"{namespace} :: {name}".encode()
    except UnicodeEncodeError as exc:
        raise RegistrationError(
            f"{namespace!r} and {name!r} can't name a service: they hold characters that UTF-8 has no bytes for"
        ) from exc
    return check_service_id(xxh64_intdigest(text), human_name(namespace, name))


def check_service_id(sid: int, name: str) -> int:
    """The id itself, if a service may have it. Raises `ServiceIdError` if it is reserved or not a 64-bit number."""
    if is_reserved(sid):
        raise ServiceIdError(
            f"{name} can't have the service id {hex_id(sid)}: it must be a 64-bit number that the protocol does "
            "not use itself (0, 2^64-1, 0xf782274c9450aa00 to ..ff); choose another with ids={...}",
            sid,
            name,
        )
    return sid


def human_name(namespace: str, name: str) -> str:
    """How people write it: `remotes::Add`."""
    return f"{namespace}::{name}"


def hex_id(sid: int) -> str:
    """How logs write it: all 16 digits."""
    return f"0x{sid:016x}"
