"""What links to a page, and what the code says about a page, finds something there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = ("core", "adapters", "wireformats", "contrib", "tests")

_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ (?P<text>.*)$", re.MULTILINE)
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_REFERENCE = re.compile(r"docs/(?P<page>[a-z]+\.md)(?P<more>(?:,? (?:sections?|rows?|and|[F\d]+))*)")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", heading["text"].lower()).replace(" ", "-")
        for heading in _HEADING.finditer(text)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a page or a heading of ours finds it."""
    for found in _LINK.finditer(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        path, _, anchor = found["target"].partition("#")
        target = page if not path else (page.parent / path).resolve()
        assert target.is_file(), f"{page.name} links to {found['target']}, which is not there"
        assert not anchor or anchor in anchors(target), (
            f"{page.name} links to {found['target']}: no such heading"
        )


def references() -> Iterator[tuple[str, str, str]]:
    """Where the code speaks of a page: the place, the page, and what is said about where in it."""
    for source in SOURCES:
        for path in sorted((ROOT / source).rglob("*.py")):
            if path != Path(__file__):
                for found in _REFERENCE.finditer(path.read_text(encoding="utf-8")):
                    yield str(path.relative_to(ROOT)), found["page"], found["more"]


def test_comments_refer_to_what_is_there() -> None:
    """The pages that comments name exist, and so do their sections, rules and rows."""
    wrong: list[str] = []
    for place, page, more in references():
        text = (
            (ROOT / "docs" / page).read_text(encoding="utf-8") if (ROOT / "docs" / page).is_file() else None
        )
        beginnings = {
            "protocol.md": [f"\n## {number}. " for number in re.findall(r"\d+", more)],
            "flow.md": [f"\n## {rule}. " for rule in re.findall(r"F\d", more)],
            "faults.md": [f"\n| {number} |" for number in re.findall(r"\d+", more)],
        }.get(page, [])
        # A row without a test yet is in a list.
        listed = [beginning.replace("| ", "- ").replace(" |", ":") for beginning in beginnings]
        if text is None or not all(
            one in text or other in text for one, other in zip(beginnings, listed, strict=True)
        ):
            wrong.append(f"{place}: docs/{page}{more}")
    assert not wrong, "\n".join(wrong)
