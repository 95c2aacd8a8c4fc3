"""The hashes of requirements come from the project's own lock file."""

from __future__ import annotations

from pathlib import Path

import pytest

from nbvertex import hashes

ONE, TWO = "a" * 64, "b" * 64
KINDS = {
    "uv.lock": (
        f'version = 1\n[[package]]\nname = "num_py"\nversion = "2.0"\nsdist = {{ url = "u", hash = "sha256:{ONE}" }}\n'
        f'wheels = [{{ url = "w", hash = "sha256:{TWO}" }}]\n[[package]]\nname = "own"\nversion = "0"\nsource = {{ editable = "." }}\n'
    ),
    "pylock.toml": (
        f'lock-version = "1.0"\n[[packages]]\nname = "num-py"\nversion = "2.0"\nsdist = {{ hashes = {{ sha256 = "{ONE}" }} }}\n'
        f'wheels = [{{ hashes = {{ sha256 = "{TWO}" }} }}]\n'
    ),
    "requirements.txt": f"# x\nNum.Py==2.0 \\\n    --hash=sha256:{ONE} \\\n    --hash=sha256:{TWO}\nother>=1\n",
    "requirements-dev.txt": f"num-py[extra]==2.0 ; python_version > '3' --hash=sha256:{ONE} --hash=sha256:{TWO}\n",
}


@pytest.mark.parametrize("name", KINDS)
def test_lock_files_are_read(name: str, tmp_path: Path) -> None:
    """Of every kind, from the notebook's folder or the nearest above that has one."""
    (tmp_path / name).write_text(KINDS[name])
    folder = tmp_path / "deep" / "er"
    folder.mkdir(parents=True)
    assert hashes.found(folder) == {}  # what lies above is somebody else's
    (tmp_path / "pyproject.toml").touch()
    known = hashes.found(folder)
    assert known == {("num-py", "2.0"): frozenset({f"sha256:{ONE}", f"sha256:{TWO}"})}
    assert hashes.locked(["num-py==2.0"], known) == (
        f"num-py==2.0 \\\n    --hash=sha256:{ONE} \\\n    --hash=sha256:{TWO}",
    )


@pytest.mark.parametrize(
    "lines", [["num-py==2.1"], ["num-py==2.0", "other==1"], ["num-py>=2"], ["x @ https://y"]]
)
def test_all_or_none(lines: list[str], tmp_path: Path) -> None:
    """An installer that is asked for one hash wants them all."""
    (tmp_path / "uv.lock").write_text(KINDS["uv.lock"])
    assert hashes.locked(lines, hashes.found(tmp_path)) is None


@pytest.mark.parametrize("text", ["nonsense = [", "package = 3", "[[package]]\nname = 3\n", ""])
def test_what_is_no_lock_file_is_passed_over(text: str, tmp_path: Path) -> None:
    """Whatever it is called; and nothing above a repository is looked at."""
    (tmp_path / "uv.lock").write_text(KINDS["uv.lock"])
    inner = tmp_path / "repository"
    (inner / ".git").mkdir(parents=True)
    (inner / "uv.lock").write_text(text)
    assert hashes.found(inner) == {}
