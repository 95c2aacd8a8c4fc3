"""A copy to run in: everything is reachable, and nothing of the original is touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nbvertex import mirror
from nbvertex.mirror import make


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a notebook's folder in it."""
    files = {
        "pyproject.toml": "",
        "data/raw.csv": "1,2",
        "work/local.py": "X = 1",
        "work/deep/er/note.txt": "n",
        "work/__pycache__/local.pyc": "",
        ".git/config": "",
        ".nbvertex/lineage.db": "",
    }
    for name, content in files.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "project"


def listed(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def test_the_whole_project_is_reachable(project: Path, tmp_path: Path) -> None:
    """The working folder, what lies above and beside it, and the repository."""
    copy = make(project / "work", tmp_path / "to")
    assert (copy.root.name, copy.cwd.name) == ("project", "work")
    assert {"pyproject.toml", "data/raw.csv", "work/local.py", "work/deep/er/note.txt"} <= listed(copy.root)
    assert (copy.root / ".git").is_symlink()
    assert not (copy.root / ".nbvertex").exists()
    assert not (copy.cwd / "__pycache__").exists()


def test_without_a_project_it_is_the_folder(tmp_path: Path) -> None:
    """Nothing above it is copied."""
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "a.txt").write_text("a")
    (tmp_path / "other.txt").write_text("b")
    if mirror.project_of(tmp_path / "alone") != tmp_path / "alone":
        pytest.skip("the temporary folder lies in a project")
    assert listed(make(tmp_path / "alone", tmp_path / "to").root) == {"a.txt"}


def test_what_is_written_in_it_stays_in_it(project: Path, tmp_path: Path) -> None:
    """New, changed, removed and moved."""
    before = {name: (project / name).read_bytes() for name in listed(project)}
    copy = make(project / "work", tmp_path / "to")
    (copy.cwd / "local.py").write_text("X = 2")
    (copy.cwd / "new" / "er").mkdir(parents=True)
    (copy.cwd / "new" / "er" / "a.txt").write_text("a")
    (copy.root / "data" / "raw.csv").unlink()
    assert copy.changed() == {
        "work/local.py",
        "work/new/",
        "work/new/er/",
        "work/new/er/a.txt",
        "data/raw.csv",
    }
    assert {name: (project / name).read_bytes() for name in listed(project)} == before
    assert not copy.written_through()


def test_what_is_not_touched_has_not_changed(project: Path, tmp_path: Path) -> None:
    """Reading and compiling is no change."""
    copy = make(project / "work", tmp_path / "to")
    (copy.cwd / "local.py").read_bytes()
    (copy.cwd / "__pycache__").mkdir()
    (copy.cwd / "__pycache__" / "local.pyc").write_bytes(b"x")
    assert not copy.changed()


def test_too_much_is_linked(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And who writes to it is told so."""
    monkeypatch.setattr(mirror, "BIGGEST", 10)
    (project / "work" / "big.bin").write_bytes(b"x" * 11)
    copy = make(project / "work", tmp_path / "to")
    assert (copy.cwd / "big.bin").is_symlink()
    assert (copy.cwd / "big.bin").read_bytes() == b"x" * 11
    (copy.cwd / "big.bin").write_bytes(b"y")
    assert copy.written_through() == [project / "work" / "big.bin"]


def test_far_folders_are_linked_when_the_means_are_spent(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies near the notebook is copied first."""
    monkeypatch.setattr(mirror, "MOST_FILES", 1)
    copy = make(project / "work", tmp_path / "to")
    assert not (copy.cwd / "local.py").is_symlink()
    assert (copy.cwd / "deep" / "er" / "note.txt").read_text() == "n"
    assert (copy.root / "data").is_symlink()
    assert (copy.root / "data" / "raw.csv").read_text() == "1,2"


def test_links_lead_where_they_led(project: Path, tmp_path: Path) -> None:
    """Within the project to the copy, out of it to the original."""
    outside = tmp_path / "outside.txt"
    outside.write_text("o")
    (project / "work" / "near").symlink_to("local.py")
    (project / "work" / "far").symlink_to(outside)
    (project / "work" / "up").symlink_to("../../outside.txt")
    (project / "work" / "gone").symlink_to("nothing")
    copy = make(project / "work", tmp_path / "to" / "deep")
    assert os.readlink(copy.cwd / "near") == "local.py"
    assert (copy.cwd / "far").read_text() == (copy.cwd / "up").read_text() == "o"
    assert (copy.cwd / "gone").is_symlink()


def test_a_copy_within_the_folder_does_not_copy_itself(project: Path) -> None:
    """Where the temporary folder is the folder to copy."""
    copy = make(project, project / "tmp" / "to", without=(project / "tmp",))
    assert not (copy.root / "tmp").exists()
