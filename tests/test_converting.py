"""The command `convert`, as a user meets it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import making
import pytest
from saying import Said, said

CELLS = [making.cell("n = 1", "parameters"), making.cell("print(n)", "step:tell", "label:team:x")]


@pytest.fixture
def nbvertex(
    capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Said]:
    """Run the command line in this process, in a folder with a notebook."""
    monkeypatch.chdir(tmp_path)
    making.write(tmp_path / "nb.ipynb", CELLS)

    return lambda *words: said(capfd, words)


def test_the_paths_that_were_written_are_printed(nbvertex: Callable[..., Said], tmp_path: Path) -> None:
    """Warnings go to stderr, and nothing else is touched."""
    done = nbvertex("convert", "nb.ipynb", "--to", "kubeflow", "-o", "out")
    assert done.code == 0
    assert "`label` cannot be expressed for kubeflow" in done.err
    paths = done.out.split()
    assert "out/pipeline.yaml" in paths
    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == {*paths, "nb.ipynb"}
    before = {path: Path(path).read_bytes() for path in paths}
    assert nbvertex("convert", "nb.ipynb", "--to", "kubeflow", "-o", "out").out == done.out
    assert {path: Path(path).read_bytes() for path in paths} == before


def test_the_folder_is_named_where_none_is_said(nbvertex: Callable[..., Said]) -> None:
    """After the notebook and the target; JSON says it, too."""
    done = nbvertex("convert", "nb.ipynb", "--to", "vertex-job", "--json")
    said = json.loads(done.out)
    assert said["folder"] == "nb-vertex-job"
    assert "nb-vertex-job/jobs.json" in said["files"]
    assert all(Path(path).is_file() for path in said["files"])


def test_targets_are_listed(nbvertex: Callable[..., Said]) -> None:
    """With what steps may ask of each; no notebook is needed."""
    lines = nbvertex("convert", "--list").out.splitlines()
    assert [line.split()[0] for line in lines] == sorted(line.split()[0] for line in lines)
    found = {one["name"]: one for one in json.loads(nbvertex("convert", "--list", "--json").out)}
    assert {"kubeflow", "vertex-job", "vertex-notebook", "vertex-pipeline"} <= found.keys()
    assert "replicas" in found["vertex-job"]["supports"]
    assert "replicas" not in found["vertex-pipeline"]["supports"]


@pytest.mark.parametrize(
    "words, says",
    [
        (["nb.ipynb"], "convert needs a target"),
        (["nb.ipynb", "--to", "kubflow"], "did you mean kubeflow?"),
        (["none.ipynb", "--to", "kubeflow"], "none.ipynb"),
        (["nb.ipynb", "--to", "kubeflow", "-o", "nb.ipynb"], "is no folder"),
        (["nb.ipynb", "--to", "kubeflow", "--profile", "prod"], "there is no profile 'prod'"),
        (["nb.ipynb", "--to", "kubeflow", "-k", "no-such-python"], "no-such-python"),
    ],
)
def test_what_is_wrong_is_said(nbvertex: Callable[..., Said], words: list[str], says: str) -> None:
    """With exit code 2, and nothing is written."""
    done = nbvertex("convert", *words)
    assert done.code == 2
    assert says in done.err
    assert done.out == ""
    assert not Path("nb-kubeflow").exists()
