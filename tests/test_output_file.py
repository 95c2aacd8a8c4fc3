"""The file of an output notebook."""

from __future__ import annotations

import copy
import json
import os
import stat
from pathlib import Path

import making
import nbformat
import pytest

from nbvertex import output_file
from nbvertex.errors import StoreError, UsageError


def test_the_file_is_laid_out_as_jupyter_does(tmp_path: Path) -> None:
    """Byte for byte what nbformat would write."""
    data = {
        "text/plain": "a\nb",
        "image/svg+xml": "<svg>\n</svg>",
        "application/json": {"a": "x\ny"},
        "text/html": "é",
    }
    notebook = making.document(["# text\nmore", making.cell("x\ny")])
    notebook["cells"][1]["outputs"] = [
        {"output_type": "display_data", "metadata": {}, "data": data},
        {"output_type": "stream", "name": "stdout", "text": "hello\n"},
    ]
    output_file.write(tmp_path / "out.ipynb", notebook)
    theirs = nbformat.from_dict(copy.deepcopy(json.loads(output_file.encode(notebook))))
    nbformat.write(theirs, tmp_path / "theirs.ipynb")
    assert (tmp_path / "out.ipynb").read_text() == (tmp_path / "theirs.ipynb").read_text()


def test_half_a_surrogate_pair_is_written_as_an_escape() -> None:
    """Some notebooks hold them in old outputs and metadata."""
    assert b"\\ud83d" in output_file.encode({"cells": [], "metadata": {"x": "\ud83d"}})


def test_a_reader_finds_the_old_file_or_the_new(tmp_path: Path) -> None:
    """The file is replaced as a whole, keeps its mode, and nothing else is left behind."""
    path = tmp_path / "out.ipynb"
    path.write_text("old")
    path.chmod(0o640)
    with path.open() as old:
        output_file.write(path, making.document([]))
        assert old.read() == "old"
    assert json.loads(path.read_text())["nbformat"] == 4
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["out.ipynb"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it leads to is replaced."""
    (tmp_path / "real.ipynb").write_text("old")
    (tmp_path / "link.ipynb").symlink_to("real.ipynb")
    output_file.write(tmp_path / "link.ipynb", making.document([]))
    assert (tmp_path / "link.ipynb").is_symlink()
    assert json.loads((tmp_path / "real.ipynb").read_text())["nbformat"] == 4


def test_a_full_disk_is_one_error(tmp_path: Path) -> None:
    """It names the file."""
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full")
    with pytest.raises(StoreError, match="/dev/full cannot be written: No space left"):
        output_file.write(full, making.document([]))


def test_where_an_output_notebook_may_go(tmp_path: Path) -> None:
    """A new file, an old one, and a device."""
    notebook = tmp_path / "nb.ipynb"
    notebook.write_text("{}")
    (tmp_path / "old.ipynb").write_text("{}")
    for out in (tmp_path / "new.ipynb", tmp_path / "old.ipynb", tmp_path / "plain", Path(os.devnull)):
        output_file.check_place(out, notebook, overwrite=False)
    output_file.check_place(notebook, notebook, overwrite=True)
    assert sorted(os.listdir(tmp_path)) == ["nb.ipynb", "old.ipynb"]


@pytest.mark.parametrize(
    "out, message, hint",
    [
        ("nb.ipynb", "is the notebook itself", "--overwrite"),
        ("link.ipynb", "is the notebook itself", "--overwrite"),
        ("../{}/nb.ipynb", "is the notebook itself", "--overwrite"),
        ("script.py", "is no name for a notebook", "script.ipynb"),
        ("folder", "is a folder", "folder/nb.ipynb"),
        ("none/out.ipynb", "there is no folder", "mkdir -p"),
        ("no ne/out.ipynb", "there is no folder", "mkdir -p '"),
        ("gs://bucket/out.ipynb", "is not on this machine", "copy"),
        ("nb.ipynb/out.ipynb", "there is no folder", "mkdir"),
    ],
)
def test_where_it_may_not_go(
    out: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused before anything runs, with what to do."""
    monkeypatch.chdir(tmp_path)
    Path("nb.ipynb").write_text("{}")
    Path("link.ipynb").hardlink_to("nb.ipynb")
    Path("folder").mkdir()
    with pytest.raises(UsageError, match=message) as caught:
        output_file.check_place(Path(out.format(tmp_path.name)), Path("nb.ipynb"), overwrite=False)
    assert hint in str(caught.value.hint)


def test_an_unwritable_folder(tmp_path: Path) -> None:
    """Found by trying, before anything runs."""
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path / "locked"
    if folder != Path("/proc"):
        folder.mkdir(mode=0o500)
    with pytest.raises(UsageError, match="cannot be written"):
        output_file.check_place(folder / "out.ipynb", tmp_path / "nb.ipynb", overwrite=False)
