"""The command `duologue call`."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Annotated, Any

import anyio
import typer

from duologue import (
    AnswerUnreadable,
    CallError,
    CloseReason,
    ConnectionLost,
    DecodeError,
    Executed,
    Limits,
    Peer,
    WireFormat,
    connect,
    find_wireformat,
)
from duologue_contrib.command_line.endings import Mistake, entered, told
from duologue_contrib.command_line.imports import imported_namespaces
from duologue_contrib.command_line.options import options_for
from duologue_contrib.command_line.questions import Question, typed_question, untyped_question


def call(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="Where to connect to, such as tcp://127.0.0.1:7000.")
    ],
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="namespace.Name, such as calc.Add; or an id, 0x...")
    ],
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="JSON",
            show_default=False,
            help="The message; - reads it from standard input. Left out for a message without fields. "
            "Write -- before one that begins with a dash, such as -5.",
        ),
    ] = None,
    wireformat: Annotated[str, typer.Option(help="cbor, msgpack, json: the same as the other end.")] = "json",
    types: Annotated[
        str,
        typer.Option(
            metavar="MODULE:NAME",
            show_default=False,
            help="A Namespace or Services: the message is checked against its class before anything is sent.",
        ),
    ] = "",
    send: Annotated[bool, typer.Option("--send", help="One way: send it, and wait for no answer.")] = False,
    linger: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="After --send, how long to stay connected, for remotes that cancel what runs for one who leaves.",
        ),
    ] = 0.0,
    timeout: Annotated[
        float,
        typer.Option(metavar="SECONDS", help="How long to wait at most, connecting included; inf for ever."),
    ] = 60.0,
    option: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE", show_default=False, help="An option of the transport, such as ca=ca.pem."
        ),
    ] = None,
) -> None:
    """Call a service, or send it a message: JSON in, JSON out.

    Without --types the message is plain data, and so is the answer; a byte string is {"$bytes": "AAEC"}, in base64.
    """
    with told("call"):
        check_seconds("--timeout", timeout)
        check_seconds("--linger", linger)
        options = options_for([url], option or [])[0]
        chosen = find_wireformat(wireformat)
        message = _given(text, url)
        if types:
            question = typed_question(service, message, chosen, imported_namespaces(types))
        else:
            question = untyped_question(service, message, chosen)
        answer = anyio.run(_ask, url, chosen, options, question, timeout, linger if send else None)
    if answer is not None:
        typer.echo(answer.encode("utf-8", "backslashreplace"))


def check_seconds(option: str, seconds: float) -> None:
    """Raises `Mistake` for what is no length of time."""
    if math.isnan(seconds) or seconds < 0:
        raise Mistake(f"{option} {seconds:g}: give seconds, 0 or more")


def _given(text: str | None, url: str) -> bytes | None:
    if text is None:
        return None
    if text != "-":
        return os.fsencode(text)
    if url.lower().startswith("stdio:"):
        raise Mistake("the JSON can't come from standard input: with stdio: that is the connection")
    return sys.stdin.buffer.read()


async def _ask(
    url: str,
    wireformat: WireFormat,
    options: Mapping[str, Any],
    question: Question,
    timeout: float,
    linger: float | None,
) -> str | None:
    """The answer, in JSON; None if none was asked for, and `linger` says how long to stay."""
    deadline = anyio.current_time() + timeout
    limits = Limits(handshake_timeout=min(timeout, Limits().handshake_timeout))
    async with AsyncExitStack() as stack:
        peer = await entered(stack, lambda: connect(url, wireformat=wireformat, limits=limits, **options))
        left = max(0.0, deadline - anyio.current_time())
        seconds = None if math.isinf(left) else left
        try:
            if linger is None:
                return _shown(question, await peer.call_raw(question.sid, question.payload, timeout=seconds))
            await peer.send_raw(question.sid, question.payload, timeout=seconds)
            await _stay(peer, linger)
        except CallError as exc:
            # Who was asked stands in the command, and it was the only call.
            exc.service, exc.peer, exc.call_id = question.name, "", 0
            raise
    return None


def _shown(question: Question, answer: bytes) -> str:
    try:
        return question.answer(answer)
    except DecodeError as exc:
        raise AnswerUnreadable(f"the answer can't be read: {exc}") from exc


async def _stay(peer: Peer, seconds: float) -> None:
    """Keep the connection for a while. That the remote ends it in peace may be just what it was told to do."""
    with anyio.move_on_after(seconds):
        reason = await peer.wait_closed()
        if reason is not CloseReason.CLOSED_BY_REMOTE:
            raise ConnectionLost(reason, Executed.UNKNOWN)
