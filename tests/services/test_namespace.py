"""Namespaces: ids for message classes, and every way to get one wrong."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import pytest

from duologue import Message, Namespace, RegistrationError, ServiceIdError, WireFormat, service_id


class Add(Message[int]):
    a: int
    b: int


class Log(Message[None]):
    line: str


class Square(Message[complex]):
    of: float


def another_class_named_add() -> type[Message[str]]:
    class Add(Message[str]):
        text: str

    return Add


def test_ids_come_from_the_names_of_the_classes() -> None:
    remotes = Namespace("remotes", [Add, Log])
    assert remotes.sid(Add) == 0x6440CFD17C374646
    assert remotes.sid(Log) == service_id("remotes", "Log")
    assert (remotes.name_of(remotes.sid(Add)), remotes.name_of(0xAB)) == (
        "remotes::Add",
        "0x00000000000000ab",
    )


def test_it_is_a_collection_of_classes() -> None:
    calc = Namespace("calc", iter([Add, Log]))
    assert (calc.name, list(calc), len(calc)) == ("calc", [Add, Log], 2)
    assert Add in calc
    assert Square not in calc
    assert [] not in calc, "what can't be hashed is not in it either"


def test_names_and_ids_can_be_given() -> None:
    """Where the remote has a message in a module, under another name, or with an id of its own."""
    calc = Namespace("calc", [Add, Log], names={Add: "sub::Add"}, ids={Log: 7})
    assert calc.sid(Add) == service_id("calc", "sub::Add")
    assert calc.name_of(calc.sid(Add)) == "calc::sub::Add"
    assert (calc.sid(Log), calc.name_of(7)) == (7, "calc::Log")


def test_its_text_helps_to_find_an_id_from_a_log() -> None:
    assert repr(Namespace("remotes", [Add])) == "<Namespace 'remotes': remotes::Add 0x6440cfd17c374646>"
    assert repr(Namespace("empty", [])) == "<Namespace 'empty': no messages>"


@pytest.mark.parametrize(
    ("messages", "options", "text"),
    [
        ([int], {}, "<class 'int'> in the namespace 'calc' is not a message class: write `class Name"),
        ([Add(1, 2)], {}, "list its class, not an object of it"),
        ([Message], {}, "write `class Name"),
        ([Message[int]], {}, "is not a message class"),
        (["Add"], {}, "'Add' in the namespace 'calc' is not a message class"),
        ([Add], {"names": {Log: "Line"}}, "given for Log, which it does not hold"),
        ([Add], {"ids": {Log: 7}, "names": {Log: "Line"}}, "given for Log, Log, which"),
        ([Add], {"names": {Add: ""}}, "must not be empty"),
        (Add, {}, r"the messages of the namespace 'calc' are Add: give a list, \[Add\]"),
    ],
)
def test_what_is_refused(messages: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(RegistrationError, match=text):
        Namespace("calc", messages, **options)


def test_a_message_without_an_answer_is_refused_at_once() -> None:
    """The error is that of `answer_type`; what matters here is that the namespace asks."""

    class Silent(Message): ...  # type: ignore[type-arg]

    with pytest.raises(RegistrationError, match="Silent"):
        Namespace("calc", [Silent])


@pytest.mark.parametrize(
    ("messages", "options", "text"),
    [
        ([Add, Add], {}, "calc::Add is listed twice in the namespace 'calc'"),
        (
            [Add, another_class_named_add()],
            {},
            "calc::Add would have the service id 0x8742ece5ed619835, which calc::Add has",
        ),
        (
            [Add, Log],
            {"ids": {Add: 7, Log: 7}},
            "calc::Log would have the service id 0x0000000000000007, which calc::Add has",
        ),
        ([Add, Log], {"names": {Log: "Add"}}, "give one of them another name with names"),
        ([Add], {"ids": {Add: 0}}, "calc::Add can't have the service id 0x0000000000000000"),
        ([Add], {"ids": {Add: 2**64 - 1}}, "can't have the service id 0xffffffffffffffff"),
        ([Add], {"ids": {Add: 0xF782274C9450AA10}}, "can't have the service id 0xf782274c9450aa10"),
        ([Add], {"ids": {Add: 2**64}}, "must be a 64-bit number"),
    ],
)
def test_weak_point_24_ids_that_are_taken_or_reserved_are_refused(
    messages: list[Any], options: dict[str, Any], text: str
) -> None:
    """The original takes them in release builds, and one service silently gets the messages of another."""
    with pytest.raises(ServiceIdError, match=text) as info:
        Namespace("calc", messages, **options)
    assert info.value.name.startswith("calc::")
    assert isinstance(info.value.sid, int)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (Log, "Log is not a message of the namespace 'calc', which holds Add: add it"),
        (Log("x"), "Log is not a message of"),
        (Add, "is a message class: give an object of it"),
        (3, "int is not a message of"),
    ],
)
def test_a_refusal_lists_what_there_is(message: Any, text: str) -> None:
    assert text in str(Namespace("calc", [Add]).refusal(message))


def test_asking_for_the_id_of_a_stranger() -> None:
    with pytest.raises(RegistrationError, match="which holds none"):
        Namespace("calc", []).sid(Add)


def test_codecs_are_made_once_for_a_wire_format(wireformat: Any) -> None:
    calc = Namespace("calc", [Add, Log])
    calls = calc.calls(wireformat)
    assert wireformat.made == [Add, int, Log, type(None)]
    assert calc.calls(wireformat) is calls
    assert list(calc.codecs(wireformat)) == [Add, Log]
    assert len(wireformat.made) == 4

    sid, encode, decode_answer = calls[Add]
    assert (sid, encode(Add(1, 2)), decode_answer(b"3")) == (calc.sid(Add), b'{"a":1,"b":2}', 3)


def test_a_type_that_the_wire_format_can_not_carry_is_refused(wireformat: Any) -> None:
    calc = Namespace("calc", [Square])
    with pytest.raises(RegistrationError, match="complex"):
        calc.calls(wireformat)


def test_a_program_that_makes_wire_formats_for_ever_does_not_leak(wireformat: WireFormat) -> None:
    calc = Namespace("calc", [Add])
    kind = type(wireformat)
    formats = [ref(made) for made in (kind() for _ in range(20)) if calc.calls(made)]
    gc.collect()
    assert sum(each() is not None for each in formats) <= 8
