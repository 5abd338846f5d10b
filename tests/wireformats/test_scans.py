"""The scans say exactly what a slow and obvious reading of the same bytes says."""

from __future__ import annotations

from typing import Any
from unittest import mock

import cbor2
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.profiles import look

from duologue import DecodeError
from duologue_wireformats import json_scan
from duologue_wireformats.byte_runs import ByteRuns
from duologue_wireformats.cbor_scan import CborScan
from duologue_wireformats.json_scan import JsonScan, has_long_integer, outside_strings
from duologue_wireformats.messagepack_scan import MessagePackScan

NESTING, ITEMS = 6, 60

texts = st.text(max_size=12) | st.sampled_from(['"', "\\", '\\"', "[[", "{,:", '"]', "1" * 25])
scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.integers(0, 300) | st.floats(allow_nan=False, allow_infinity=False) | texts
)  # fmt: skip
values = st.recursive(
    scalars | st.binary(max_size=40),
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(texts | st.binary(max_size=5), inner, max_size=4)
        | st.lists(st.integers(0, 23), min_size=8, max_size=60)
        | st.lists(st.floats(width=64, allow_nan=False), min_size=8, max_size=30)
        | inner.map(lambda value: [[[value]]])
    ),
    max_leaves=30,
)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=6)
        | st.dictionaries(texts, inner, max_size=4)
        | inner.map(lambda value: [[[value]]])
    ),
    max_leaves=40,
)


def depth_and_items(value: Any) -> tuple[int, int]:
    """In how many containers the deepest value lies, and how many values there are, with keys counted with theirs."""
    parts = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    inner = [depth_and_items(part) for part in parts]
    return (1 + max(depth for depth, _ in inner) if inner else 0), 1 + sum(items for _, items in inner)


def is_refused(scan: Any, payload: bytes) -> bool:
    try:
        scan.check(payload)
    except DecodeError:
        return True
    return False


def indefinite(value: Any) -> bytes:
    """As CBOR with every container and string of indefinite length."""
    match value:
        case dict():
            return (
                b"\xbf"
                + b"".join(indefinite(key) + indefinite(part) for key, part in value.items())
                + b"\xff"
            )
        case list():
            return b"\x9f" + b"".join(map(indefinite, value)) + b"\xff"
        case _:
            return cbor2.dumps(value)


@given(values)
@look(brief=300, thorough=20_000)
def test_limits_are_exact(value: Any) -> None:
    """CBOR and MessagePack: refused are the payloads with more items, or deeper, than allowed, and no others."""
    depth, items = depth_and_items(value)
    expected = depth > NESTING or items > ITEMS
    cbor = CborScan(nesting=NESTING, items=ITEMS, integer_keys=False, tags=())
    for payload in (cbor2.dumps(value), indefinite(value)):
        assert is_refused(cbor, payload) == expected
        assert is_refused(cbor, payload + b"\x00")
        assert is_refused(cbor, payload[:-1])
    for strict in (False, True):
        scan = MessagePackScan(nesting=NESTING, items=ITEMS, integer_keys=False, strict=strict)
        payload = msgspec.msgpack.encode(value)
        assert is_refused(scan, payload) == expected
        assert is_refused(scan, payload + b"\x00")
        assert is_refused(scan, payload[:-1])


@given(json_values, st.integers(0, 2), st.integers(1, 40) | st.just(1000))
@look(brief=300, thorough=20_000)
def test_json_limits_are_exact(value: Any, indent: int, piece: int) -> None:
    """JSON: the same, however it is spaced, whatever is in strings, and in whatever pieces it is looked at."""
    depth, items = depth_and_items(value)
    scan = JsonScan(nesting=NESTING, items=ITEMS, strict=True, integers=True, integer_keys=False)
    payload = msgspec.json.format(msgspec.json.encode(value), indent=indent)
    with mock.patch.object(json_scan, "_PIECE", piece):
        assert is_refused(scan, payload) == (depth > NESTING or items > ITEMS)


# Around where one byte no longer does, and the bytes that say so.
some_bytes = st.sampled_from([0, 0x17, 0x18, 0x19, 0x7F, 0x80, 0xCC, 0xFF]) | st.integers(0, 255)
byte_runs = pytest.mark.parametrize(
    ("runs", "write"),
    [
        (ByteRuns(head=0x18, below=0x18), cbor2.dumps),
        (ByteRuns(head=0xCC, below=0x80), msgspec.msgpack.encode),
    ],
    ids=["cbor", "msgpack"],
)


@byte_runs
@given(st.lists(some_bytes, min_size=1, max_size=60), st.binary(max_size=5), st.integers(0, 3))
@look(brief=500, thorough=50_000)
def test_arrays_of_bytes_are_passed(
    runs: ByteRuns, write: Any, items: list[int], behind: bytes, before: int
) -> None:
    """Whatever is before and behind, exactly so many integers from 0 to 255 are passed."""
    array = b"".join(map(write, items))
    assert runs.after(bytes(before) + array + behind, before, len(items)) == before + len(array)


@byte_runs
@given(
    st.lists(some_bytes, max_size=40),
    st.sampled_from([256, -1, 2**40, "a", b"a", None, True, [], {}, 1.5]),
    st.data(),
)
@look(brief=500, thorough=50_000)
def test_other_arrays_are_not_passed(
    runs: ByteRuns, write: Any, items: list[Any], other: Any, data: st.DataObject
) -> None:
    """One item that is something else, anywhere, and it is no array of bytes."""
    items.insert(data.draw(st.integers(0, len(items))), other)
    array = b"".join(map(write, items))
    assert runs.after(b"\x00" + array + bytes(len(items)), 1, len(items)) == 1


@byte_runs
@given(st.lists(some_bytes, min_size=1, max_size=40))
@look(brief=200, thorough=20_000)
def test_arrays_of_bytes_that_end_early(runs: ByteRuns, write: Any, items: list[int]) -> None:
    """The end of what there is shows, one way or the other."""
    array = b"".join(map(write, items))[:-1]
    try:
        assert runs.after(array, 0, len(items)) > len(array)
    except IndexError:
        pass


byte_values = st.recursive(
    st.lists(some_bytes, max_size=100) | st.none() | st.text(max_size=3) | st.integers(0, 1000),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=30,
)


def without_byte_lists(value: Any) -> Any:
    """The same with one value for each array of bytes, however long."""
    if isinstance(value, dict):
        return {key: without_byte_lists(part) for key, part in value.items()}
    if isinstance(value, list):
        are_bytes = value and all(isinstance(part, int) and 0 <= part < 256 for part in value)
        return [] if are_bytes else [without_byte_lists(part) for part in value]
    return value


@given(byte_values)
@look(brief=300, thorough=20_000)
def test_limits_are_exact_with_byte_lists(value: Any) -> None:
    """Where some are declared, an array of bytes counts as one value, and as deep as every array; everything else counts as ever."""
    (depth, _), (_, items) = depth_and_items(value), depth_and_items(without_byte_lists(value))
    expected = depth > NESTING or items > ITEMS
    cbor = CborScan(nesting=NESTING, items=ITEMS, integer_keys=False, tags=(), byte_lists=True)
    pack = MessagePackScan(nesting=NESTING, items=ITEMS, integer_keys=False, strict=True, byte_lists=True)
    for scan, payload in ((cbor, cbor2.dumps(value)), (pack, msgspec.msgpack.encode(value))):
        assert is_refused(scan, payload) == expected
        assert is_refused(scan, payload + b"\x00")
        assert is_refused(scan, payload[:-1])


@given(byte_values, st.integers(0, 2), st.integers(1, 40) | st.just(1000))
@look(brief=300, thorough=20_000)
def test_json_limits_with_byte_lists(value: Any, indent: int, piece: int) -> None:
    """JSON takes every array of integers with up to three digits for one, since 999 costs as little as 255."""

    def grown(part: Any) -> Any:
        return 1000 if type(part) is int and 256 <= part < 1000 else part

    def without_middling(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: without_middling(each) for key, each in part.items()}
        return [without_middling(each) for each in part] if isinstance(part, list) else grown(part)

    value = without_middling(value)
    (depth, _), (_, items) = depth_and_items(value), depth_and_items(without_byte_lists(value))
    scan = JsonScan(
        nesting=NESTING, items=ITEMS, strict=True, integers=True, integer_keys=False, byte_lists=True
    )
    payload = msgspec.json.format(msgspec.json.encode(value), indent=indent)
    with mock.patch.object(json_scan, "_PIECE", piece):
        assert is_refused(scan, payload) == (depth > NESTING or items > ITEMS)


@given(st.binary(max_size=60))
@look(brief=1000, thorough=100_000)
def test_random_bytes(payload: bytes) -> None:
    """What cbor2 reads as one plain value the scan lets pass, and nothing else; and the same for MessagePack."""
    cbor = CborScan(nesting=32, items=1000, integer_keys=True, tags=())
    if not is_refused(cbor, payload):
        try:
            value = cbor2.loads(payload, max_depth=32)
        except cbor2.CBORDecodeError as exc:
            assert "UTF-8" in str(exc.__cause__) or "utf-8" in str(exc.__cause__) or "text string" in str(exc)
        else:
            depth_and_items(value)
    pack = MessagePackScan(nesting=32, items=1000, integer_keys=True, strict=False)
    if not is_refused(pack, payload):
        try:
            msgspec.msgpack.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as exc:
            assert "trunc" not in str(exc)
            assert "trailing" not in str(exc)
    is_refused(JsonScan(nesting=32, items=1000, strict=True, integers=True, integer_keys=True), payload)


@given(json_values, st.integers(1, 20))
@look(brief=300, thorough=20_000)
def test_strings_are_taken_out(value: Any, piece: int) -> None:
    """What is left of a text without its strings has the same brackets, commas and colons as the value, in any pieces."""
    with mock.patch.object(json_scan, "_PIECE", piece):
        bare = b"".join(outside_strings(msgspec.json.encode(value)))
    pairs, lists = 0, 0
    rest = [value]
    while rest:
        part = rest.pop()
        if isinstance(part, dict):
            pairs += len(part)
            rest.extend(part.values())
        elif isinstance(part, list):
            lists += 1
            rest.extend(part)
    assert (bare.count(b":"), bare.count(b"["), b'"' in bare) == (pairs, lists, False)


@pytest.mark.parametrize("text", [b'"', b'"\\', b'"\\"', b'"a\\\\', b'a"b', b'"\n"', b'""""'])
def test_strings_that_do_not_end(text: bytes) -> None:
    """A string that is open to the end is taken out to the end, and a lone quote is no more than that."""
    for piece in (1, 2, 100):
        with mock.patch.object(json_scan, "_PIECE", piece):
            bare = b"".join(outside_strings(text))
        assert b"a" not in bare.replace(b"a", b"", text.startswith(b"a"))


@given(st.integers(0, 40), st.integers(0, 40), st.sampled_from([b" ", b"a", b'"', b"-", b"."]))
@look(brief=300, thorough=5_000)
def test_long_integers_are_found_wherever_they_begin(before: int, digits: int, other: bytes) -> None:
    """20 digits in a row are found at each offset, 19 are not."""
    assert has_long_integer(other * before + b"7" * digits + other * 3) == (digits >= 20)


@given(json_values, st.integers(10**18, 10**21), st.booleans())
@look(brief=300, thorough=20_000)
def test_integers_out_of_range_are_found_wherever_they_are(
    value: Any, number: int, is_negative: bool
) -> None:
    """Behind whatever comes before, those of 64 bits pass, and one more does not; fractions, exponents and texts are none."""
    number = -number if is_negative else number
    scan = JsonScan(nesting=99, items=1000, strict=True, integers=True, integer_keys=False)
    before = msgspec.json.encode(value)
    for form, matters in (
        (b"%d", True),
        (b"%d.5", False),
        (b"0.%d", False),
        (b"1e%d", False),
        (b'"%d"', False),
    ):
        text = b'{"a":%b,"b":[1,%b]}' % (
            before,
            form % (abs(number) if form.startswith((b"0", b"1")) else number),
        )
        assert is_refused(scan, text) == (matters and not -(2**64) <= number < 2**64), text


CBOR_MALFORMED = {
    "break in a definite array": "8101ff", "break at the top": "ff", "break instead of an item": "81ff", "break after a key": "bf6161ff",
    "reserved length": "1c", "reserved length of a map": "bd", "endless integer": "1f", "endless tag": "df00", "simple value": "e0",
    "two-byte simple value": "f8ff", "undefined": "f7", "pieces of another kind": "5f6161ff", "pieces in pieces": "5f5f4101ffff",
    "pieces without end": "5f4101", "a length cut off": "1901", "a string cut off": "4201", "a tag": "c000", "an unknown tag": "d9ffff00",
    "text as long as all there is": "7bffffffffffffffff", "after the value": "0000", "nothing": "",
}  # fmt: skip


@pytest.mark.parametrize("payload", CBOR_MALFORMED.values(), ids=CBOR_MALFORMED)
@pytest.mark.parametrize("around", ["", "81", "a16161"])
def test_malformed_cbor(payload: str, around: str) -> None:
    """Each is refused, also inside of something else."""
    scan = CborScan(nesting=32, items=1000, integer_keys=True, tags=())
    assert is_refused(scan, bytes.fromhex(around + payload))


@pytest.mark.parametrize(
    ("payload", "refused"),
    [
        ("c000", False),
        ("c1c000", True),
        ("81c08100", False),
        ("c0" * 7 + "00", True),
        ("c0" * 6 + "00", False),
        ("a1c06161 00", True),
    ],
)
def test_tags_that_are_allowed_are_depth(payload: str, refused: bool) -> None:
    """An allowed tag is a container of one, and no key."""
    scan = CborScan(nesting=NESTING, items=ITEMS, integer_keys=True, tags={0})
    assert is_refused(scan, bytes.fromhex(payload)) == refused


@pytest.mark.parametrize(
    "payload",
    [
        "c1",
        "81",
        "c701",
        "c70105",
        "d401",
        "c9ffffffff05",
        "dc00",
        "d9",
        "da00",
        "c4",
        "cb00",
        "91c1",
        "0000",
        "",
    ],
)
def test_malformed_messagepack(payload: str) -> None:
    scan = MessagePackScan(nesting=32, items=1000, integer_keys=True, strict=False)
    assert is_refused(scan, bytes.fromhex(payload))


@pytest.mark.parametrize(
    "payload",
    [
        "c70105ff",
        "c8000105ff",
        "c90000000105ff",
        "d405ff",
        "d6ff00000000",
        "d8" + "05" + "00" * 16,
        "98" + "d4ff00" * 8,
    ],
)
def test_extensions_are_stepped_over_or_refused(payload: str) -> None:
    """In unknown fields of closed types they are stepped over; where something would be made of them they are refused."""
    for strict in (False, True):
        scan = MessagePackScan(nesting=32, items=1000, integer_keys=True, strict=strict)
        assert is_refused(scan, bytes.fromhex(payload)) == strict
