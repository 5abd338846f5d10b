"""A folder of files by the paths of URLs: what is found, and that nothing outside of it ever is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from duologue_adapters.static_files import LARGEST, StaticFiles, StaticFolders


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
    assert files.find(path) == (content_type, content.encode())


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


def test_a_file_that_is_too_large(files: StaticFiles, tmp_path: Path) -> None:
    """It would be in memory once for each who asks."""
    with (tmp_path / "root" / "large").open("wb") as stream:
        stream.truncate(LARGEST)
    found = files.find("/large")
    assert found is not None
    assert len(found[1]) == LARGEST
    with (tmp_path / "root" / "large").open("wb") as stream:
        stream.truncate(LARGEST + 1)
    assert files.find("/large") is None


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
        content = folders.find(path)
        assert (content and content[1]) == found, path


@pytest.mark.parametrize("path", ["", "client", "/client", "client/"])
def test_paths_of_folders_that_make_no_sense(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="begin and end with a slash"):
        StaticFolders({path: tmp_path})
