"""The files of the chat's page: what may be looked at without a browser."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from messages import chat, screen
from tests.contrib.browser.test_types import compiler, errors  # noqa: F401 - a fixture
from tests.docs.chat.processes import CHAT

from duologue_contrib.browser import CLIENT_FILES, CLIENT_PATH, typescript

PAGE = CHAT / "page"
TEXTS = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGE.iterdir())}


def test_its_types_are_those_of_the_messages() -> None:
    """What an editor knows of the messages is what Python declares. If this fails write that text into the file."""
    assert TEXTS["messages.d.ts"] == typescript([chat, screen])


def test_its_scripts_are_right_about_types(compiler: list[str], tmp_path: Path) -> None:  # noqa: F811
    """Every call, every answer and every element, as TypeScript's own compiler sees them at its strictest."""
    shutil.copytree(PAGE, tmp_path / "page")
    files = [f"page/{name}" for name in TEXTS if name.endswith((".mjs", ".d.ts"))]
    assert len(files) > 8
    found = errors(
        compiler,
        tmp_path,
        *files,
        paths={f"{CLIENT_PATH}*": [f"{CLIENT_FILES.as_posix()}/*"]},
        noUncheckedIndexedAccess=True,
    )
    assert found == []


def test_its_policy_lets_in_nothing_from_elsewhere() -> None:
    """And the browser refuses to make HTML of a text, whatever a script may try."""
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy"\s+content="([^"]+)"', TEXTS["index.html"])
    allowed = dict(rule.strip().partition(" ")[::2] for rule in policy.split(";"))
    assert allowed.pop("default-src") == "'none'"
    assert allowed.pop("require-trusted-types-for") == "'script'"
    assert set(allowed.values()) == {"'self'", "'none'"}
    assert "unsafe" not in policy


@pytest.mark.parametrize("name", TEXTS)
def test_it_needs_nothing_from_elsewhere(name: str) -> None:
    """No address of another server, no style or script within the page, no text that becomes HTML or code."""
    text = TEXTS[name].replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?:|//[a-z]+\.[a-z]+/", text)
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|eval\(", text)
    if name.endswith(".html"):
        assert not re.search(r"<style|\bstyle=|\bon[a-z]+=|<script(?! type=\"module\" src=)", text)
