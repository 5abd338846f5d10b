"""A folder of files by the paths of URLs: what is found, and that nothing outside of it ever is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from duologue_adapters.static_files import PIECE, Page, StaticFiles, StaticFolders


@pytest.fixture
def files(tmp_path: Path) -> StaticFiles:
    """A folder with files, and a secret beside it."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / ".git").mkdir()
    for name in (
        *("index.html", "app.mjs", "app.js", "style.css", "data.json", "module.wasm", "README", "ä b.txt"),
        *("sub/index.html", "sub/UPPER.HTML", ".git/config", ".env"),
    ):
        (root / name).write_bytes(name.encode())
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "secret").write_bytes(b"secret")
    (root / "escape").symlink_to(tmp_path / "secret")
    (root / "escape2").symlink_to("../root2")
    (root / "circle").symlink_to("circle")
    (root / "inside").symlink_to("sub/index.html")
    os.mkfifo(root / "pipe")
    return StaticFiles(root)


def whole(page: Page) -> bytes:
    """All of its pieces, which are as long as they are said to be."""
    content = b""
    while piece := page.read(len(content)):
        content += piece
    assert len(content) == page.size
    return content


@pytest.mark.parametrize(
    ("path", "content_type", "content"),
    [
        ("/", "text/html; charset=utf-8", "index.html"),
        ("/index.html", "text/html; charset=utf-8", "index.html"),
        ("/app.mjs", "text/javascript; charset=utf-8", "app.mjs"),
        ("/app.js", "text/javascript; charset=utf-8", "app.js"),
        ("/style.css", "text/css; charset=utf-8", "style.css"),
        ("/data.json", "application/json", "data.json"),
        ("/module.wasm", "application/wasm", "module.wasm"),
        ("/README", "application/octet-stream", "README"),
        ("/%C3%A4%20b.txt", "text/plain; charset=utf-8", "ä b.txt"),
        ("/sub/", "text/html; charset=utf-8", "sub/index.html"),
        ("/sub%2Findex.html", "text/html; charset=utf-8", "sub/index.html"),
        ("/sub/UPPER.HTML", "text/html; charset=utf-8", "sub/UPPER.HTML"),
        ("/inside", "text/html; charset=utf-8", "sub/index.html"),
    ],
)
def test_what_is_found(files: StaticFiles, path: str, content_type: str, content: str) -> None:
    """Files by their names, with a content type by the end of the name, and `index.html` for a folder."""
    page = files.find(path)
    assert page is not None
    assert (page.content_type, whole(page)) == (content_type, content.encode())


@pytest.mark.parametrize(
    "path",
    [
        *("", "index.html", "http://example.org/", "*", "//", "//index.html", "/sub", "/sub//index.html", "/nothing"),
        *("/../secret", "/sub/../../secret", "/%2e%2e/secret", "/..%2fsecret", "/%2e%2e%2fsecret", "/../root2/secret"),
        *("/..\\secret", "/..%5csecret", "/C:/secret", "/./index.html", "/sub/../index.html"),
        *("/escape", "/escape2/secret", "/escape2/", "/circle", "/pipe"),
        *("/.env", "/.git/config", "/.git/", "/%2eenv"),
        *("/index.html%00", "/index.html%00.png", "/%ff", "/" + "x" * 5000, "/" + "x/" * 5000),
        *("/index.html/", "/index.html/x", "/%252e%252e/secret"),
    ],
)  # fmt: skip
def test_what_is_not_there(files: StaticFiles, path: str) -> None:
    """Nothing outside, whether by dots, encodings or symbolic links; nothing hidden; nothing that is no file."""
    assert files.find(path) is None


def test_a_large_file(files: StaticFiles, tmp_path: Path) -> None:
    """It comes in pieces, so that no more of it is in memory than leaves."""
    content = bytes(range(256)) * (PIECE // 128) + b"end"
    (tmp_path / "root" / "large").write_bytes(content)
    page = files.find("/large")
    assert page is not None
    assert len(page.read(0)) == PIECE
    assert whole(page) == content


@pytest.mark.parametrize("change", ["replaced", "shorter", "gone"])
def test_a_file_that_changes_while_it_is_read(files: StaticFiles, tmp_path: Path, change: str) -> None:
    """It ends there: half of one file and half of another would be worse. Whoever asks anew gets the new one, with another tag."""
    file = tmp_path / "root" / "large"
    file.write_bytes(b"x" * 2 * PIECE)
    page = files.find("/large")
    assert page is not None
    assert page.read(0) == b"x" * PIECE
    if change == "replaced":
        (tmp_path / "new").write_bytes(b"y" * 2 * PIECE)
        (tmp_path / "new").replace(file)
    elif change == "shorter":
        os.truncate(file, PIECE)
    else:
        file.unlink()
    assert page.read(PIECE) == b""
    again = files.find("/large")
    assert (again is None) is (change == "gone")
    assert again is None or again.tag != page.tag


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    """Said at once, and not with each request."""
    with pytest.raises(FileNotFoundError):
        StaticFiles(tmp_path / "nothing")
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError):
        StaticFiles(tmp_path / "file")


def test_several_folders(tmp_path: Path) -> None:
    """Each under a path of its own, and of two that fit the longer one has it all."""
    for name, files in (
        ("page", ("index.html", "client/x.mjs")),
        ("client", ("y.mjs",)),
        ("deep", ("z.mjs",)),
    ):
        for file in files:
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_text(name)
    folders = StaticFolders(
        {"/": tmp_path / "page", "/client/": tmp_path / "client", "/client/deep/": tmp_path / "deep"}
    )
    for path, found in (
        ("/", b"page"),
        ("/client/y.mjs", b"client"),
        ("/client/deep/z.mjs", b"deep"),
        ("/client/x.mjs", None),
        ("/client/../page/index.html", None),
        ("/client", None),
        ("x", None),
    ):
        page = folders.find(path)
        assert (page and whole(page)) == found, path


@pytest.mark.parametrize("path", ["", "client", "/client", "client/"])
def test_paths_of_folders_that_make_no_sense(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="begin and end with a slash"):
        StaticFolders({path: tmp_path})
