"""Remote: messages go out and answers come back, typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from duologue import (
    DEFAULT,
    AnswerUnreadable,
    DecodeError,
    EncodeError,
    Executed,
    Message,
    Namespace,
    Overloaded,
    RegistrationError,
    Services,
)


class Add(Message[int]):
    a: int
    b: int


class Log(Message[None]):
    line: str


class MoreThanAdd(Add):
    c: int = 0


calc = Namespace("calc", [Add, Log])
services = Services(calc)


@services.handler
async def add(msg: Add) -> int:
    return msg.a + msg.b


@services.handler
async def log(msg: Log) -> None: ...


Loop = Callable[[Services], Any]


async def test_a_call_and_its_answer(loop_peer: Loop) -> None:
    peer = loop_peer(services)
    remote = peer.remote(calc)
    assert await remote.call(Add(a=1, b=2)) == 3
    assert await remote.call(Log("x"), timeout=1.5) is None
    assert await remote.call(Log("x"), timeout=None) is None
    assert peer.asked == [
        (calc.sid(Add), b'{"a":1,"b":2}', DEFAULT),
        (calc.sid(Log), b'{"line":"x"}', 1.5),
        (calc.sid(Log), b'{"line":"x"}', None),
    ]


async def test_a_send(loop_peer: Loop) -> None:
    peer = loop_peer(services)
    await peer.remote(calc).send(Log("x"))
    await peer.remote(calc).send(Add(1, 2), timeout=0)
    assert peer.sent == [(calc.sid(Log), b'{"line":"x"}', DEFAULT), (calc.sid(Add), b'{"a":1,"b":2}', 0)]


def test_what_it_is_and_whose(loop_peer: Loop) -> None:
    peer = loop_peer(services)
    remote = peer.remote(calc)
    assert (remote.peer, remote.namespace) == (peer, calc)
    assert repr(remote) == "<Remote 'calc' of <LoopPeer loop (loop:)>>"


async def test_an_answer_that_does_not_decode(loop_peer: Loop) -> None:
    """The handler has run, so trying again would run it twice: `executed` says so."""
    peer = loop_peer(services)
    peer.tamper = lambda payload: b'"three"'
    with pytest.raises(
        AnswerUnreadable,
        match=r"calc::Add at loop \(loop:\): the answer does not decode to the declared type: ",
    ) as info:
        await peer.remote(calc).call(Add(1, 2))
    assert info.value.executed is Executed.YES
    assert isinstance(info.value.__cause__, DecodeError)


async def test_a_message_that_can_not_be_written_is_not_sent(loop_peer: Loop) -> None:
    peer = loop_peer(services)
    remote = peer.remote(calc)
    for go in (remote.call, remote.send):
        with pytest.raises(EncodeError):
            await go(Log("\ud800"))
    assert peer.asked == peer.sent == []


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (MoreThanAdd(1, 2), "MoreThanAdd is not a message of the namespace 'calc', which holds Add, Log"),
        (Add, "give an object of it"),
        ({"a": 1}, "dict is not a message of the namespace"),
    ],
)
async def test_a_message_of_another_namespace(message: Any, text: str, loop_peer: Loop) -> None:
    remote = loop_peer(services).remote(calc)
    for go in (remote.call, remote.send):
        with pytest.raises(RegistrationError, match=text) as info:
            await go(message)
        assert info.value.__cause__ is None


async def test_a_call_that_fails_says_which_service_it_was(loop_peer: Loop) -> None:
    """Among many calls that fail at once, the text alone must tell which is which."""
    peer = loop_peer(services)

    async def refuse(*_: Any, **__: Any) -> bytes:
        raise Overloaded("too many")

    peer.call_raw = refuse
    with pytest.raises(Overloaded, match=r"calc::Add at loop \(loop:\): too many \(executed: no\)") as caught:
        await peer.remote(calc).call(Add(1, 2))
    assert caught.value.service == "calc::Add"


def test_a_remote_is_of_a_namespace(loop_peer: Loop) -> None:
    """Not of services, nor of a name: the error says what to give."""
    with pytest.raises(TypeError, match="give the Namespace that the messages are in"):
        loop_peer(services).remote(services)
