"""What can't be written is told to whoever wants it written, with the path to it, and nothing leaves."""

from __future__ import annotations

import dataclasses
import enum
import gc
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from tests.wireformats.declared import Mutable, Sparse
from tests.wireformats.formats import CBOR, JSON, MSGPACK, encode_refusal, every_format

from duologue import EncodeError, Message, WireFormat
from duologue_wireformats.cbor import Cbor
from duologue_wireformats.json_text import Json
from duologue_wireformats.messagepack import MessagePack


class Tree(msgspec.Struct):
    label: str
    children: list[Tree] = msgspec.field(default_factory=list["Tree"])


@dataclass
class Holder:
    inside: Any


class Free(Message[None]):
    anything: Any


class Closed(Message[None]):
    number: int
    text: str = ""
    rows: list[list[int]] | None = None


class Single(Message[None], newtype=True):
    number: int


class Odd(enum.Enum):
    TOO_LARGE = 2**70


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def circle() -> list[Any]:
    value: list[Any] = [1]
    value.append({"again": value})
    return value


def deep_tree(depth: int) -> Tree:
    tree = Tree("leaf")
    for _ in range(depth):
        tree = Tree("branch", [tree])
    return tree


@pytest.mark.fault(35)
@every_format
@pytest.mark.parametrize("depth", [33, 100, 1000, 9_000, 100_000])
def test_row_35_too_deep(wireformat: WireFormat, depth: int) -> None:
    """A value nested deeper than 32 is an `EncodeError`, however deep: cbor2 by itself would crash the interpreter."""
    deep = nested(depth)
    for type_, value in ((Any, deep), (Free, Free(deep)), (Holder, Holder({"a": deep})), (list[Any], deep)):
        assert "deep" in encode_refusal(wireformat, type_, value)
    del value
    while deep:  # freeing it in one go would recurse as well
        deep = deep[0]
    gc.collect()  # the errors hold on to the beginning of it: not in some later test's thread


@pytest.mark.fault(35)
@every_format
def test_row_35_as_deep_as_can_be_read(wireformat: WireFormat) -> None:
    """What may be written may be read: the limit is the same."""
    for type_, value in ((Any, nested(32)), (Tree, deep_tree(15))):
        codec: Any = wireformat.codec(type_)
        assert codec.decode(codec.encode(value)) == value
    assert "deep" in encode_refusal(wireformat, Tree, deep_tree(16))


@pytest.mark.fault(35)
@every_format
def test_row_35_in_itself(wireformat: WireFormat) -> None:
    """A value that is in itself is an `EncodeError`."""
    tree = Tree("root")
    tree.children.append(tree)
    mapping: dict[str, Any] = {}
    mapping["a"] = mapping
    holder = Holder(None)
    holder.inside = holder
    for type_, value in (
        (Any, circle()),
        (Any, mapping),
        (Free, Free(circle())),
        (Tree, tree),
        (Any, holder),
        (Holder, holder),
    ):
        assert "in itself" in encode_refusal(wireformat, type_, value)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is freed by the garbage collector meanwhile: what it finds, it frees in whichever thread is running."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.collect()


@pytest.mark.fault(35)
@every_format
def test_row_35_in_a_thread_with_little_stack(wireformat: WireFormat, no_collector: None) -> None:
    """In a thread with a small stack the encoders would crash much earlier: nothing that deep gets to them."""
    # Made, kept and freed out here: Python 3.13 by itself crashes when it frees a list of this depth on a small stack.
    values = (nested(5_000), circle())
    codec: Any = wireformat.codec(Any)
    refused: list[bool] = []

    def work() -> None:
        for value in values:
            try:
                codec.encode(value)
            except EncodeError:
                refused.append(True)

    before = threading.stack_size(128 * 1024)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert refused == [True, True]


@pytest.mark.fault(35)
@every_format
@pytest.mark.parametrize("value", [2**64, -(2**64) - 1, 2**70, -(10**30)])
def test_row_35_too_large(wireformat: WireFormat, value: int) -> None:
    """An integer that no other end could read is an `EncodeError`, in every place."""
    for type_, whole, path in (
        (int, value, "$"),
        (Single, Single(value), "$"),
        (Closed, Closed(value), "$.number"),
        (Closed, Closed(1, rows=[[1], [2, value]]), "$.rows[1][1]"),
        (dict[int, int], {1: value}, "$[...]"),
        (dict[int, int], {value: 1}, "$"),
        (Any, [{"a": value}], "$[0][...]"),
        (Free, Free(Holder([value])), "$.anything.inside[0]"),
    ):
        text = encode_refusal(wireformat, type_, whole)
        assert text.endswith(f"- at `{path}`")
        assert "Integers must be from -2^6" in text
        assert str(abs(value)) not in text


@pytest.mark.fault(35)
def test_row_35_the_lowest_integers() -> None:
    """CBOR and JSON go down to -2^64, MessagePack to -2^63."""
    for wireformat in (CBOR, JSON):
        for type_ in (int, Any):
            codec: Any = wireformat.codec(type_)
            assert codec.decode(codec.encode(-(2**64))) == -(2**64)
    assert "-2^63" in encode_refusal(MSGPACK, int, -(2**63) - 1)
    assert "-2^63" in encode_refusal(MSGPACK, Any, -(2**63) - 1)


@pytest.mark.fault(35)
@every_format
def test_row_35_lone_surrogates(wireformat: WireFormat) -> None:
    """A text that is no Unicode is an `EncodeError`, as a value and as a key."""
    for type_, value, path in (
        (str, "a\ud800", "$"),
        (Closed, Closed(1, "\udfff"), "$.text"),
        (Any, ["a", ["\ud800"]], "$[1][0]"),
        (Any, {"a": {"\ud800": 1}}, "$[...]"),
        (dict[str, int], {"\ud800": 1}, "$"),
        (Tree, Tree("a", [Tree("b"), Tree("\ud800")]), "$.children[1].label"),
    ):
        assert (
            encode_refusal(wireformat, type_, value)
            == f"Not a Unicode text: it has a lone surrogate - at `{path}`"
        )


@pytest.mark.fault(35)
@every_format
def test_row_35_what_is_no_data(wireformat: WireFormat) -> None:
    """Objects that no format knows are an `EncodeError`, with their type and their place."""

    def generator() -> Any:
        yield 1

    for value in (object(), 1j, generator(), print, range(3), dataclasses, int):
        wrong: Any = value
        for type_, whole, path in (
            (Any, [value], "$[0]"),
            (Free, Free(value), "$.anything"),
            (Closed, Closed(1, wrong), "$.text"),
        ):
            text = encode_refusal(wireformat, type_, whole)
            assert text == f"Objects of type {type(value).__name__} can't be written - at `{path}`"
    assert encode_refusal(wireformat, Any, [Odd.TOO_LARGE])


@pytest.mark.fault(35)
@every_format
@pytest.mark.parametrize("key", [1.5, (1, 2), None, True, frozenset({1})], ids=repr)
def test_row_35_keys(wireformat: WireFormat, key: Any) -> None:
    """Keys that no other end would take are an `EncodeError`; integers too, where they are not declared."""
    assert "Keys" in encode_refusal(wireformat, Any, {"a": {key: 1}})
    assert "Keys" in encode_refusal(wireformat, Any, {"a": {1: 1}})
    codec: Any = wireformat.codec(dict[int, Any])
    assert codec.decode(codec.encode({1: [2]})) == {1: [2]}


@every_format
def test_nothing_and_values_of_the_wrong_kind(wireformat: WireFormat) -> None:
    """A codec for None or for a newtype says so if it is given something else."""
    none: Any = wireformat.codec(type(None))
    with pytest.raises(EncodeError, match="Expected None, got int"):
        none.encode(5)
    single: Any = wireformat.codec(Single)
    with pytest.raises(EncodeError, match="has no field 'number'"):
        single.encode("text")


@every_format
def test_what_has_no_explanation(wireformat: WireFormat) -> None:
    """Whatever else goes wrong is an `EncodeError` with the exception behind it: here a field that somebody has deleted."""
    broken: Any = Mutable(1)
    del broken.number
    text = encode_refusal(wireformat, Mutable, broken)
    assert text == f"A Mutable can't be written as {wireformat.name}: AttributeError"
    assert encode_refusal(wireformat, list[Any], [Mutable(2**70), 1]).endswith("- at `$[0].number`")
    sparse: Any = wireformat.codec(list[Any])
    assert sparse.decode(sparse.encode([Sparse(), Sparse(1)])) == [{}, {"present": 1}]


@every_format
def test_what_stops_a_program_gets_out(wireformat: WireFormat) -> None:
    """Ctrl-C while a value is being looked at is no `EncodeError`."""

    class Impatient(list[int]):
        def __iter__(self) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wireformat.encode_plain(Impatient([1]))


@pytest.mark.parametrize("kind", [Cbor, MessagePack, Json])
def test_a_limit_over_that_of_python(kind: Any) -> None:
    """Where somebody raises the limit on nesting beyond what Python itself takes, it is an `EncodeError` still."""
    assert "deep" in encode_refusal(kind(nesting=10**6), Any, nested(5_000))
    for nesting, items in ((0, 1), (1, 0), (-1, 5)):
        with pytest.raises(ValueError, match="at least 1"):
            kind(nesting=nesting, items=items)
