"""The client without a network, in Node.js: its own tests, and service ids against the library that Python uses."""

from __future__ import annotations

import json
import random
import re
import subprocess
from pathlib import Path

import pytest
import xxhash
from tests.contrib.browser.nodes import HERE, NO_CODE_FROM_TEXTS, Node, every_node

from duologue import ErrorKind, Executed, RemoteError
from duologue_contrib.browser import CLIENT_FILES

UNIT = sorted((HERE / "unit").glob("*.test.mjs"))
LONGEST = 120.0


@every_node
@pytest.mark.parametrize("module", UNIT, ids=lambda path: path.name.partition(".")[0])
def test_the_clients_own_tests(node: Node, module: Path) -> None:
    """Frames, golden bytes, wire formats, calls, requests, endings and reconnecting, against a WebSocket that does what a test says."""
    done = subprocess.run(
        [node.path, "--test", NO_CODE_FROM_TEXTS, "--test-reporter=tap", str(module)],
        capture_output=True,
        text=True,
        check=False,
        timeout=LONGEST,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    # A file that runs no test passes, too.
    assert int(re.findall(r"^# pass (\d+)$", done.stdout, re.MULTILINE)[-1]) > 5


@every_node
def test_service_ids_of_every_length(node: Node) -> None:
    """XXH64 of names of 0 to 200 bytes, of all kinds of characters, is what the library says that Python uses."""
    dice = random.Random(7)
    texts = [
        "".join(chr(dice.choice((97, 228, 8364, 128512))) for _ in range(length)) for length in range(60)
    ]
    texts += ["".join(chr(dice.randrange(32, 127)) for _ in range(length)) for length in range(200)]
    script = f"""
        import {{ xxh64 }} from {json.dumps((CLIENT_FILES / "ids.mjs").as_uri())};
        const texts = JSON.parse((await import("node:fs")).readFileSync(0));
        console.log(JSON.stringify(texts.map((text) => String(xxh64(new TextEncoder().encode(text))))));
    """
    done = subprocess.run(
        [node.path, "--input-type=module", "-e", script],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        timeout=LONGEST,
    )
    assert json.loads(done.stdout) == [str(xxhash.xxh64_intdigest(text.encode())) for text in texts]


def test_no_code_is_made_of_texts() -> None:
    """A page whose policy is `script-src 'self'` can have it: nothing in any file asks for more, or for another server."""
    files = list(CLIENT_FILES.rglob("*js"))
    assert len(files) > 30
    for file in files:
        text = file.read_text(encoding="utf-8")
        for word in ("eval(", "new Function", "Function(", "importScripts", "XMLHttpRequest", "fetch("):
            assert word not in text, f"{file.name}: {word}"


@every_node
def test_errors_of_the_remote_are_explained_as_in_python(node: Node) -> None:
    """For each kind of error, with what the remote said and without, the text is the same."""
    cases = [(kind.value, said) for kind in ErrorKind for said in ("", "no disk")]
    script = f"""
        import {{ RemoteError }} from {json.dumps((CLIENT_FILES / "duologue.mjs").as_uri())};
        const cases = {json.dumps(cases)};
        console.log(JSON.stringify(cases.map(([kind, said]) => new RemoteError(kind, "no", said).message)));
    """
    done = subprocess.run(
        [node.path, "--input-type=module", "--eval", script], capture_output=True, check=True, timeout=LONGEST
    )
    assert json.loads(done.stdout) == [
        str(RemoteError(ErrorKind(kind), Executed.NO, said)) for kind, said in cases
    ]
