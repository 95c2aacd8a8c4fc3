"""Which files count as inputs and results of a step, and what is in them."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from nbvertex.files import ABSENT, Files
from nbvertex.state import FileSeen


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_contents(tmp_path: Path) -> None:
    """A file is known by its bytes, a missing one as missing."""
    (tmp_path / "a").write_text("a")
    files = Files(tmp_path)
    assert files.digest(str(tmp_path / "a")) == sha("a")
    assert files.digest(str(tmp_path / "b")) == ABSENT
    assert files.digest(str(tmp_path / "a" / "b")) == ABSENT


@pytest.mark.parametrize("old", [True, False], ids=["settled", "just written"])
def test_change_is_seen(tmp_path: Path, old: bool) -> None:
    """A file that changes is read again, also where its size and time stay."""
    path = tmp_path / "a"
    path.write_text("a")
    if old:
        os.utime(path, (1, 1))
    files = Files(tmp_path)
    seen = files.seen([str(path)])
    assert files.same(seen)
    path.write_text("b")
    if old:
        os.utime(path, (1, 1))
    assert not files.same(seen)
    path.unlink()
    assert not files.same(seen)
    assert files.same([FileSeen(path=str(path), digest=ABSENT)])


def test_file_that_cannot_be_read_is_not_the_same(tmp_path: Path) -> None:
    """What cannot be compared does not count as equal."""
    (tmp_path / "d").mkdir()
    assert not Files(tmp_path).same([FileSeen(path=str(tmp_path / "d"), digest="x")])


def test_what_counts(tmp_path: Path) -> None:
    """Devices, installed packages and our own store are nobody's inputs; compiled Python stands for its source."""
    (tmp_path / "own").mkdir()
    files = Files(tmp_path, lambda path: path.startswith("/packages/"), [str(tmp_path / "own")])
    opened = [
        "data.csv", "/proc/cpuinfo", "/dev/null", "/packages/x.py", str(tmp_path / "own" / "y"), str(tmp_path),
        "/src/__pycache__/m.cpython-311.pyc",
    ]  # fmt: skip
    assert files.inputs(opened) == ["/src/m.py", str(tmp_path / "data.csv")]


def test_results(tmp_path: Path) -> None:
    """What was written, made or removed in the working folder is a result; passing files elsewhere and compiled modules are not."""
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    (work / "__pycache__").mkdir(parents=True)
    (work / "made").mkdir()
    (work / "kept").write_text("")
    (work / "__pycache__" / "m.pyc").write_text("")
    opened = ["kept", "made", "gone", "__pycache__/m.pyc", str(work), str(elsewhere), str(elsewhere / "gone")]
    assert Files(work).results(opened) == [str(work / name) for name in ("gone", "kept", "made")]


def test_names_of_files(tmp_path: Path) -> None:
    """A name may be a file, a folder or a pattern; a missing file stays in the list, to be noticed when it comes."""
    (tmp_path / "d" / "e").mkdir(parents=True)
    for name in ("a.csv", "b.csv", "d/x", "d/e/y"):
        (tmp_path / name).write_text("")
    found = Files(tmp_path).named(["*.csv", "d", "missing"])
    assert [os.path.relpath(path, tmp_path) for path in found] == [
        "a.csv",
        "b.csv",
        "d/e/y",
        "d/x",
        "missing",
    ]


def test_touched_since(tmp_path: Path) -> None:
    """A file that was written after a step began may not be the one it read."""
    path = tmp_path / "a"
    path.write_text("a")
    now = time.time()
    files = Files(tmp_path)
    assert files.touched_since([str(path)], now - 10)
    assert not files.touched_since([str(path)], now + 10)
    assert files.touched_since([str(tmp_path / "gone")], now + 10)
    assert not files.touched_since([], now)
