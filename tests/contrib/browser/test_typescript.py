"""Declarations in TypeScript, as texts, and the command that writes them. Whether TypeScript takes them `test_types` shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.contrib.browser import declared
from tests.contrib.command_runs import run

from duologue import Message, Namespace, RegistrationError
from duologue_contrib.browser import typescript

EVERYTHING = """\
/** Adds two numbers. */
export interface Add {
  a: number;
  b?: number;
}

export type Resize = [width: number, height?: number];

/** A place, and * / what is there. */
export interface Point {
  x: number;
  y: number;
  label?: string | null;
  inner?: Point[];
}

export interface Person {
  name?: string;
}

export interface Box_int {
  it: number;
}

export interface Box_str {
  it: string;
}

export type Row = [a: number, b?: string];

export interface Everything {
  color: "red" | "blue";
  spot: [x: number, y?: number];
  points: Array<Point | null>;
  person: Person;
  data: Bytes;
  word: null | 1 | "a" | "b";
  pair: [number, string];
  many: number[];
  by_name: Record<string, Bytes[]>;
  by_word: { [key in "x" | "y"]?: number };
  whole: Box_int;
  text: Box_str;
  row: Row;
  anything: unknown;
  words: string[];
  "other-name": boolean;
}

export interface Found {
  count: number;
  rest: number;
}

export interface Sparse {
  rest?: number;
}

/** The namespace "my.calc". */
export type MyCalcMessages = {
  Add: { message: Add; answer: number };
  "sub::Now": { message: null; answer: string };
  Ident: { message: number | bigint; answer: string };
  Resize: { message: Resize; answer: null };
  Everything: { message: Everything; answer: ByNumber<Found> };
  /** Its service id is given: `new Namespace("my.calc", { ids: { Map: 0x0000000000001234n } })`. */
  Map: { message: null; answer: Sparse[] };
};
"""

DRAWING = """\
export type Circle = { Circle: { radius: number; center?: [x: number, y?: number] | null } };

export type Line = { Line: [start: [x: number, y?: number], end: [x: number, y?: number]] };

export type Named = { Label: string };

export type Nowhere = "Nowhere";

export interface Draw {
  shape: Circle | Line | Named | Nowhere;
  raw?: Bytes | number[];
}

/** The namespace "drawing". */
export type DrawingMessages = {
  Draw: { message: Draw; answer: Array<Circle | Nowhere> };
};
"""


def body(text: str) -> str:
    """What comes behind the head and its helpers."""
    return text[text.index("\n\n/**" if "\n\n/** Adds" in text else "\n\nexport") + 2 :]


def test_every_type() -> None:
    """Each type that can go over the wire, in the form that it has there; names that are taken get a number."""
    text = typescript(declared.calc)
    assert body(text) == EVERYTHING
    assert "type Bytes = Uint8Array;" in text
    assert "type ByNumber<Value> = Map<number | bigint, Value> | { [key: number]: Value };" in text


def test_tagged_unions_and_byte_lists() -> None:
    """As Rust writes them: a name, or a map with one entry; an array of integers, for which bytes may be sent."""
    assert body(typescript(declared.drawing)) == DRAWING


def test_bytes_are_texts_in_json() -> None:
    assert "type Bytes = string;" in typescript(declared.drawing, wireformat="json")


def test_several_namespaces_share_what_they_have_in_common() -> None:
    """A class is declared once; two of one name are told apart; helpers are only there where they are used."""

    class Add(Message[int]):
        c: str

    text = typescript(
        [declared.chat, declared.calc, Namespace("calc-2", [Add]), Namespace("calc-3", [declared.Add])]
    )
    assert text.count("export interface Add ") == 1
    assert "export interface Add_2 {\n  c: string;\n}" in text
    assert "export type Calc2Messages = {\n  Add: { message: Add_2; answer: number };\n" in text
    assert "export type Calc3Messages = {\n  Add: { message: Add; answer: number };\n" in text
    assert "Bytes" not in typescript(declared.chat)
    assert "ByNumber" not in typescript(declared.chat)


def test_what_can_not_go_over_the_wire() -> None:
    class Wrong(Message[None]):
        it: object

    with pytest.raises(RegistrationError):
        typescript(Namespace("wrong", [Wrong]))


def test_the_command(tmp_path: Path) -> None:
    """It prints them, or writes them into a file; what is wrong is one line, and an exit code."""
    root = Path(__file__).parents[3]
    spec = "tests.contrib.browser.declared:drawing"
    printed = run("typescript", spec, folder=root)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout == typescript(declared.drawing)
    file = tmp_path / "drawing.d.ts"
    written = run("typescript", spec, "--output", str(file), "--wireformat", "json", folder=root)
    assert (written.returncode, written.stdout, written.stderr) == (0, "", "")
    assert file.read_text(encoding="utf-8") == typescript(declared.drawing, wireformat="json")
    nowhere = run("typescript", spec, "--output", str(tmp_path / "no/where"), folder=root)
    assert nowhere.returncode == 1
    assert nowhere.stderr.startswith("duologue typescript: can't write there")
    for wrong in ("tests.contrib.browser.declared:nothing", "no.module:calc", "declared.py"):
        failed = run("typescript", wrong, folder=root)
        assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)


def test_the_command_with_several() -> None:
    """What a page calls and what it is called with come into one file, so a class in both is declared once; so is a namespace named twice."""
    root = Path(__file__).parents[3]
    specs = [f"tests.contrib.browser.declared:{name}" for name in ("calc", "drawing", "calc")]
    printed = run("typescript", *specs, folder=root)
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout == typescript([declared.calc, declared.drawing])
    failed = run("typescript", specs[0], "tests.contrib.browser.declared:nothing", folder=root)
    assert (failed.returncode, failed.stdout, failed.stderr.count("\n")) == (2, "", 1)
