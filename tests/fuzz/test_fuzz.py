"""The targets can fail, and the fuzzer's command line says what a failure was and how to see it again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.core.defects import close_twice, keep_the_permit, promise_too_much
from tests.fuzz.choices import Choices, cut, pieces
from tests.fuzz.cli import inputs_of, main, replay
from tests.fuzz.runs import HERE, ROOT, Outcome
from tests.fuzz.targets import find

from duologue.protocol.frames import LengthPrefixedDecoder
from duologue_adapters.layers.websocket import base
from duologue_adapters.zeromq.session import Session
from duologue_wireformats.cbor_scan import CborScan
from duologue_wireformats.json_scan import JsonScan
from duologue_wireformats.messagepack_scan import MessagePackScan


def forget_the_pieces(patch: pytest.MonkeyPatch) -> None:
    """What is left of a chunk gets lost."""
    patch.setattr(LengthPrefixedDecoder, "_keep_rest", lambda self, chunk, offset: self._chunks.popleft())


def count_no_items(patch: pytest.MonkeyPatch) -> None:
    """CBOR may hold any number of values."""
    patch.setattr(CborScan, "check", lambda self, data: None)


def look_at_nothing(patch: pytest.MonkeyPatch) -> None:
    """MessagePack is not looked at before it is read."""
    patch.setattr(MessagePackScan, "check", lambda self, data: None)


def measure_nothing(patch: pytest.MonkeyPatch) -> None:
    """Nor is JSON."""
    patch.setattr(JsonScan, "check", lambda self, text: None)


def print_anything(patch: pytest.MonkeyPatch) -> None:
    """What the other end says is shown as it is."""
    patch.setattr(base, "printable", lambda text: text)


def count_no_credit(patch: pytest.MonkeyPatch) -> None:
    """More is sent than there is credit for."""
    patch.setattr(Session, "_credit", property(lambda self: 1 << 30, lambda self, value: None), raising=False)


DEFECTS = [
    ("frames", forget_the_pieces),
    ("connection", keep_the_permit),
    ("connection", close_twice),
    ("connection", promise_too_much),
    ("story", close_twice),
    ("cbor", count_no_items),
    ("messagepack", look_at_nothing),
    ("json", measure_nothing),
    ("websocket", print_anything),
    ("zeromq", count_no_credit),
]


@pytest.mark.parametrize(("name", "defect"), DEFECTS)
def test_a_defect_is_found(
    name: str, defect: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a mistake built in, the corpus alone fails: so the targets would tell."""
    defect(monkeypatch)
    target = find(name)
    with pytest.raises(Exception):  # noqa: B017 - each shows in its own way
        replay(target, name, inputs_of(name))


def test_a_failure_says_what_it_was(tmp_path: Path) -> None:
    """The report of a failure has the exception, the input itself, and the commands that play it again, here and elsewhere."""
    artifact = tmp_path / "frames-crash-1"
    artifact.write_bytes(b"\x00\xff")
    log = "INFO: noise\n\n === Uncaught Python exception: ===\nAssertionError: no\nTraceback: here\nDone 17 runs in 2 second(s)\n"
    outcome = Outcome("frames", 77, log, (artifact,))
    assert not outcome.is_good
    text = outcome.describe()
    assert "after 17 inputs" in text
    assert "AssertionError: no" in text
    assert "noise" not in text
    assert f"--target frames --replay {artifact}" in text
    assert "--target frames --hex 00ff" in text
    assert "tests/fuzz/corpus/frames/" in text


def test_a_run_that_could_not_begin_is_a_failure() -> None:
    """Not only inputs fail: whatever ends the fuzzer with a status is told, with the end of its log."""
    outcome = Outcome("frames", 1, "ImportError: nothing there\n", ())
    assert not outcome.is_good
    assert "ImportError" in outcome.describe()
    assert (
        Outcome("frames", 0, "Done 1000 runs in 2 second(s)", ())
        .describe()
        .startswith("frames: 1,000 inputs in 2 s, 500 a")
    )


def test_an_input_is_played_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From files and as text; and one that fails says which it was."""
    path = tmp_path / "input"
    path.write_bytes(bytes(50))
    assert main(["--target", "frames", "--replay", str(path), "--hex", "00ff"]) == 0
    assert "frames: 2 inputs played" in capsys.readouterr().out

    def fails(data: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        replay(fails, "frames", [("it", b"\x01\x02")])
    assert caught.value.__notes__ == ["target frames, input it: 0102"]


def test_an_input_is_for_one_target() -> None:
    assert main(["--hex", "00"]) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--replay", "not/there"], "not/there: No such file"),
        (["--hex", "0g"], "'0g' has other characters"),
        (["--hex", "012"], "'012' has other characters"),
        (["--seconds", "0"], "give 1 or more"),
        (["--jobs", "-1"], "give 1 or more"),
    ],
)
def test_what_can_not_be_played_is_refused(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what is wrong, in a sentence, and the status of a wrong argument."""
    try:
        status: object = main(["--target", "json", *arguments])
    except SystemExit as exc:
        status = exc.code
    assert status == 2
    assert words in "".join(capsys.readouterr())


def test_without_a_fuzzer_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where atheris is not installed the corpus is played, and nobody can take that for fuzzing."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["--target", "zeromq", "--target", "json"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("NOT FUZZED: atheris is not installed")
    assert "json: " in output


def test_the_folder_runs() -> None:
    """`python tests/fuzz` finds its own modules from anywhere, and shadows none of Python's."""
    done = subprocess.run(
        [sys.executable, str(HERE), "--target", "zeromq", "--hex", "00"], cwd=ROOT.parent, check=False
    )
    assert done.returncode == 0


def test_any_bytes_are_choices() -> None:
    """Missing bytes are 0, and pieces are never all empty: each input has an end."""
    choices = Choices(b"\x07\x01\x02\x03")
    assert (choices.byte(), choices.choice("ab"), choices.integer(2), choices.is_empty) == (
        7,
        "b",
        0x0302,
        True,
    )
    assert (choices.byte(), choices.rest(), choices.randint(3, 5), choices.choice(range(1000))) == (
        0,
        b"",
        3,
        0,
    )
    assert pieces(Choices(b"")) == [1]
    assert cut(b"abcdef", [1, 0, 3]) == [b"a", b"", b"bcd", b"e", b"", b"f"]
