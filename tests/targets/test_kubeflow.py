"""What we write for KFP, its own compiler writes too, and its own runner runs, with the outputs of a run here."""

from __future__ import annotations

import importlib.util
import json
import runpy
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import making
import pytest
import yaml

from nbvertex.actions import converting, running
from nbvertex.actions.reading import open_notebook

pytestmark = pytest.mark.skipif(importlib.util.find_spec("kfp") is None, reason="kfp is not installed")
NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
LOCAL = """
import json, sys
from kfp import components, local
local.init(runner=local.SubprocessRunner(use_venv=False), pipeline_root=sys.argv[2], raise_on_error=True)
components.load_component_from_file(sys.argv[1])(**json.loads(sys.argv[3]))
"""
MARKED = [
    making.cell("n = 3\nstate = 'x'  # a name that our artifacts have, too", "parameters"),
    making.cell("base = n * 10\nrates = [0.5, 0.25]\nprint(base, state)", "step:a"),
    making.cell("total = n * k + base\nprint(k, total)", "step:c", "each:k in [1, 2, 3]"),
    making.cell(
        "scaled = [r * t for t in total]\nprint(r, scaled)", "step:d", "each:r in rates", "retries:1"
    ),
    making.cell("metrics = {'best': max(total)}\nprint(base, total, scaled, k, r)", "step:Ends-all"),
]
ENDS = making.cell("metrics = {'best': max(total)}\nprint(base, total, k)", "step:Ends-all")
CONDITIONS = [
    *MARKED[:2],
    making.cell("bonus = base + 1\nprint('bonus', bonus)", "step:b", "when:base > 20"),
    making.cell(
        "more = [r for _ in rates]\nprint(r)", "step:d", "when:n < 5", "each:r in rates", "memory:4G"
    ),
    making.cell("print(more, n)", "step:e", "gpu:nvidia-l4:2", "cpu:2"),
]


def write(notebook: Path, folder: Path) -> None:
    """Convert a notebook."""
    converting.write(converting.convert(open_notebook(str(notebook)), "kubeflow").files, folder)


def told(folder: Path) -> dict[str, Any]:
    """The document, without the version of the compiler, numbers as YAML's readers have them."""
    said: dict[str, Any] = json.loads(json.dumps(yaml.safe_load((folder / "pipeline.yaml").read_text())))
    said.pop("sdkVersion")
    return said


@pytest.mark.parametrize("name", ["quickstart", "breast_cancer", "subtract_numbers", "marked", "conditions"])
def test_the_source_compiles_to_the_document(name: str, tmp_path: Path) -> None:
    """kfp's compiler makes of pipeline.py what pipeline.yaml says."""
    from kfp import compiler

    cells = {"marked": MARKED, "conditions": CONDITIONS}
    path = making.write(tmp_path / "nb.ipynb", cells[name]) if name in cells else NOTEBOOKS / f"{name}.ipynb"
    write(path, tmp_path / "out")
    ours = told(tmp_path / "out")
    pipeline = runpy.run_path(str(tmp_path / "out" / "pipeline.py"))["pipeline"]
    compiler.Compiler().compile(pipeline, str(tmp_path / "out" / "pipeline.yaml"))
    assert told(tmp_path / "out") == ours


def run_there(folder: Path, root: Path, values: Mapping[str, object]) -> dict[int, list[str]]:
    """Run it with kfp's own runner; gives what each cell showed."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOCAL, str(folder / "pipeline.yaml"), str(root), json.dumps(values)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    shown: dict[int, list[str]] = {}
    for piece in sorted(root.rglob("state/cells.ipynb"), key=lambda path: "-lists" in str(path)):
        for cell in json.loads(piece.read_text())["cells"]:
            shown[cell["metadata"]["nbvertex"]["cell"]] = texts(cell["outputs"])
    return shown


def texts(outputs: list[dict[str, Any]]) -> list[str]:
    """What outputs say, without what differs by nature."""
    said = (
        "".join(one.get("text", "")) or "".join(one.get("data", {}).get("text/plain", "")) for one in outputs
    )
    return [text for text in said if text]


def run_here(path: Path, tmp_path: Path, values: Mapping[str, object]) -> dict[int, list[str]]:
    """Run it on this machine; gives what each cell showed."""
    given = running.Given(typed=tuple((name, str(value)) for name, value in values.items()))
    how = running.How(cache=False, cwd=str(tmp_path))
    ran = running.run(open_notebook(str(path)), str(tmp_path / "out.ipynb"), given=given, how=how)
    assert ran.result.error is None
    return {
        cell.position: texts([dict(output) for output in cell.outputs])
        for step in ran.result.steps.values()
        for cell in step.cells.values()
        if cell.count
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name, values",
    [
        ("quickstart", {}),
        ("quickstart", {"limit": 100}),
        ("subtract_numbers", {"highest": 0}),
        ("breast_cancer", {}),
        ("marked", {"n": 4}),
    ],
)
def test_its_own_runner_shows_what_a_run_here_shows(
    name: str, values: dict[str, object], tmp_path: Path
) -> None:
    """Every output of every cell is equal."""
    path = NOTEBOOKS / f"{name}.ipynb"
    if name == "marked" and tuple(map(int, version("kfp").split(".")[:2])) < (2, 17):
        pytest.skip("the local runner of kfp before 2.17 fails at loops")
    if name == "marked":  # takes no list of a task, nor an artifact of one of two branches
        cells = [cell for cell in MARKED if "each:r in rates" not in cell["metadata"]["tags"]]
        path = making.write(tmp_path / "nb.ipynb", [*cells[:-1], ENDS])
    write(path, tmp_path / "converted")
    there = run_there(tmp_path / "converted", tmp_path / "root", values)
    assert there == run_here(path, tmp_path, values)
    pages = list((tmp_path / "root").rglob("page"))
    assert pages
    assert all(page.read_text().startswith("<!doctype html>") for page in pages)
    if name == "marked":
        (metrics,) = (tmp_path / "root").rglob("metrics")
        assert json.loads(metrics.read_text()) == {"best": 52.0}


@pytest.mark.slow
def test_a_failing_cell_is_named(tmp_path: Path) -> None:
    """The log says the notebook, the cell and the line, and shows none of our frames."""
    cells = [making.cell("x = 1", "step:a"), making.cell("print('begins')\n\nx / (x - 1)", "step:b")]
    write(making.write(tmp_path / "nb.ipynb", cells), tmp_path / "out")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOCAL, str(tmp_path / "out/pipeline.yaml"), str(tmp_path / "root"), "{}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert "nb.ipynb, cell 2 [step b], line 3: ZeroDivisionError: division by zero" in done.stdout
    assert "begins" in done.stdout
    assert "nbvertex-kit" not in done.stdout
    assert "runtime/" not in done.stdout
