"""Which Python a word means: a path, an environment's folder, or the name of a Jupyter kernel."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nbvertex.errors import UsageError
from nbvertex.interpreters import resolve_python


def kernel(home: Path, name: str, spec: Any) -> dict[str, str]:
    """A kernel in the user's data folder, and the variables that lead there."""
    folder = home / "data" / "kernels" / name
    folder.mkdir(parents=True)
    (folder / "kernel.json").write_text(spec if isinstance(spec, str) else json.dumps(spec))
    return {"HOME": str(home), "JUPYTER_DATA_DIR": str(home / "data")}


def executable(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_a_path_means_itself(tmp_path: Path) -> None:
    """Links are not followed: a link in an environment's folder is what makes the environment."""
    real = executable(tmp_path / "real" / "python")
    link = tmp_path / "env" / "bin" / "python"
    link.parent.mkdir(parents=True)
    link.symlink_to(real)
    assert resolve_python(str(link)) == str(link)
    assert resolve_python(str(tmp_path / "env")) == str(link)
    assert resolve_python(sys.executable) == sys.executable


def test_a_name_means_a_kernel_before_a_program(tmp_path: Path) -> None:
    """`python3` is the usual name of a kernel."""
    python = executable(tmp_path / "python")
    environ = kernel(
        tmp_path, "mine", {"argv": [str(python), "-m", "ipykernel_launcher"], "language": "python"}
    )
    assert resolve_python("mine", environ) == str(python)
    environ = kernel(tmp_path, "bare", {"argv": ["python", "-m", "x"], "language": "python"})
    assert resolve_python("bare", environ) == sys.executable
    assert resolve_python("sh", {"HOME": str(tmp_path)}).endswith("/sh")


def test_folders_of_kernels_are_searched_in_jupyters_order(tmp_path: Path) -> None:
    """JUPYTER_PATH first."""
    first, second = executable(tmp_path / "first"), executable(tmp_path / "second")
    for name, python in (("a", first), ("b", second)):
        folder = tmp_path / name / "kernels" / "k"
        folder.mkdir(parents=True)
        (folder / "kernel.json").write_text(json.dumps({"argv": [str(python)], "language": "python"}))
    environ = {"HOME": str(tmp_path), "JUPYTER_PATH": f"{tmp_path}/a:{tmp_path}/b"}
    assert resolve_python("k", environ) == str(first)


WRONG: list[tuple[str, str]] = [
    ("nothing-of-that-name", "is no interpreter, no environment and no Jupyter kernel; kernels here:"),
    ("./nothing", "there is no interpreter"),
    ("plain.txt", "cannot be executed"),
    (".", "holds no Python environment"),
    ("julia", "runs julia, not Python"),
    ("broken", "cannot be read"),
    ("empty", "cannot be read"),
    ("gone", "which is no Python interpreter here"),
]


@pytest.mark.parametrize("spec, message", WRONG)
def test_what_is_wrong_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, message: str
) -> None:
    """One sentence; where a name is unknown, the names that there are."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.txt").write_text("")
    kernel(tmp_path, "julia", {"argv": ["julia"], "language": "julia"})
    kernel(tmp_path, "broken", "{")
    kernel(tmp_path, "empty", {})
    environ = kernel(tmp_path, "gone", {"argv": ["/nowhere/python"], "language": "python"})
    given = f"./{spec}" if spec == "plain.txt" else spec
    with pytest.raises(UsageError, match=message):
        resolve_python(given, environ)
