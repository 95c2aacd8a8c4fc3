"""The reference notebooks: papermill runs them, nbval holds their outputs, and as steps they print the same."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from places import ROOT

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def tags(cell: dict[str, Any]) -> list[str]:
    """The tags of a cell."""
    return cell["metadata"].get("tags", [])


def shown(cell: dict[str, Any]) -> list[dict[str, Any]]:
    """What a cell shows: its outputs, with the parts of one stream put together."""
    merged: list[dict[str, Any]] = []
    for output in cell["outputs"]:
        if (
            merged
            and output["output_type"] == merged[-1]["output_type"] == "stream"
            and output["name"] == merged[-1]["name"]
        ):
            merged[-1] = {**output, "text": merged[-1]["text"] + output["text"]}
        else:
            merged.append(dict(output))
    return merged


def run_steps(notebook: Path, out: Path, *words: str) -> list[dict[str, Any]]:
    """The code cells of `nbvertex run`, and all its JSON lines."""
    command = [sys.executable, "-m", "nbvertex", "run", str(notebook), str(out), "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=notebook.parent)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module", params=NOTEBOOKS)
def notebook(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of each reference notebook."""
    return Path(
        shutil.copy(ROOT / "notebooks" / f"{request.param}.ipynb", tmp_path_factory.mktemp(request.param))
    )


@pytest.fixture(scope="module")
def straight(notebook: Path) -> list[dict[str, Any]]:
    """The code cells after Run All without the skipped cells, by papermill."""
    folder = notebook.parent
    book = nbformat.read(notebook, 4)
    book.cells = [cell for cell in book.cells if "skip" not in tags(cell)]
    nbformat.write(book, folder / "unskipped.ipynb")
    executed = papermill.execute_notebook(
        folder / "unskipped.ipynb", folder / "straight.ipynb", cwd=folder, progress_bar=False
    )
    return [cell for cell in executed.cells if cell["cell_type"] == "code"]


def test_the_notebook_is_well_kept(notebook: Path) -> None:
    """Valid nbformat 4.5, ids for every cell, outputs of a Run All from top to bottom, nothing of a machine."""
    text = notebook.read_text(encoding="utf-8")
    book = json.loads(text)
    nbformat.validate(book)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert set(book["metadata"]) == {"kernelspec", "language_info"}
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])
    assert all(set(cell["metadata"]) <= {"tags"} for cell in book["cells"])
    assert text == json.dumps(book, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def test_nbval_holds_the_outputs(notebook: Path) -> None:
    """Every stored output is what the cell prints today, but where it varies by intent."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--nbval",
        "-c",
        os.devnull,
        "--rootdir",
        ".",
        notebook.name,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=notebook.parent)
    assert done.returncode == 0, done.stdout + done.stderr


def test_papermill_executes_it(notebook: Path, straight: list[dict[str, Any]]) -> None:
    """From top to bottom, every cell."""
    assert [cell["execution_count"] for cell in straight] == list(range(1, len(straight) + 1))
    assert all(cell["metadata"]["papermill"]["status"] == "completed" for cell in straight)


def test_its_steps_print_the_same(notebook: Path, straight: list[dict[str, Any]], tmp_path: Path) -> None:
    """The law, cell by cell: outputs and counts; cells that vary by intent need only have run."""
    run_steps(notebook, tmp_path / "steps.ipynb")
    book = nbformat.read(tmp_path / "steps.ipynb", 4)
    nbformat.validate(book)
    steps = [cell for cell in book.cells if cell["cell_type"] == "code" and "skip" not in tags(cell)]
    assert [cell["id"] for cell in steps] == [cell["id"] for cell in straight]
    for ours, theirs in zip(steps, straight, strict=True):
        assert ours["execution_count"] == theirs["execution_count"]
        if "varies" in tags(ours):
            assert [output["output_type"] for output in shown(ours)] == [
                o["output_type"] for o in shown(theirs)
            ]
        else:
            assert shown(ours) == shown(theirs), ours["source"]


def test_a_second_run_comes_from_the_cache(tmp_path: Path) -> None:
    """Nothing of the quickstart is computed twice, and the copy shows the same outputs."""
    notebook = Path(shutil.copy(ROOT / "notebooks/quickstart.ipynb", tmp_path))
    run_steps(notebook, tmp_path / "first.ipynb")
    events = run_steps(notebook, tmp_path / "second.ipynb")
    states = {event["step"]: event["state"] for event in events if event["event"] == "step"}
    assert set(states.values()) == {"cached"}
    first, second = (
        json.loads((tmp_path / f"{name}.ipynb").read_text(encoding="utf-8")) for name in ("first", "second")
    )
    assert [cell.get("outputs") for cell in first["cells"]] == [
        cell.get("outputs") for cell in second["cells"]
    ]


def test_an_uncached_step_draws_again(tmp_path: Path) -> None:
    """In subtract_numbers the first number comes from the cache, the random one never does."""
    notebook = Path(shutil.copy(ROOT / "notebooks/subtract_numbers.ipynb", tmp_path))
    run_steps(notebook, tmp_path / "first.ipynb")
    events = run_steps(notebook, tmp_path / "second.ipynb")
    states = {event["step"]: event["state"] for event in events if event["event"] == "step"}
    assert states["first_number"] == "cached"
    assert states["random_number"] == "done"


@pytest.mark.parametrize("name", ["quickstart"])
def test_the_quickstart_needs_the_base_only(name: str) -> None:
    """It imports the standard library and nothing else."""
    import ast

    book = json.loads((ROOT / f"notebooks/{name}.ipynb").read_text(encoding="utf-8"))
    source = "\n".join("".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code")
    roots = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).partition(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert roots <= set(sys.stdlib_module_names)
