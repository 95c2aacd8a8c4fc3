"""The whole notebook as one execution: what is uploaded, and on what it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import making
import nbformat
import pytest

from nbvertex import target
from nbvertex.actions import converting
from nbvertex.actions.reading import open_notebook
from nbvertex.config import Profile
from nbvertex.errors import ProblemsFound
from nbvertex.targets import vertex_notebook


def convert(tmp_path: Path, cells: Sequence[Any]) -> dict[str, Any]:
    """The files, read as JSON."""
    path = making.write(tmp_path / "nb.ipynb", cells)
    files = converting.convert(open_notebook(str(path)), "vertex-notebook").files
    return {name: json.loads(text) for name, text in files.items()}


CELLS = [
    "# A heading",
    making.cell("%load_ext nbvertex"),
    making.cell("n = 3", "parameters"),
    making.cell("%%step train --gpu t4 --disk 200G\nx = n"),
    making.cell("explore()", "skip"),
    making.cell("x", "step:tell"),
]


def test_the_notebook_runs_without_us(tmp_path: Path) -> None:
    """Our own lines are gone, so are skipped cells and old outputs; no line has moved."""
    made = convert(tmp_path, CELLS)
    notebook = nbformat.reads(json.dumps(made["notebook.ipynb"]), 4)
    nbformat.validate(notebook)
    assert [cell.source for cell in notebook.cells] == ["# A heading", "pass", "n = 3", "#\nx = n", "x"]
    spec = made["notebook_job.json"]["customEnvironmentSpec"]
    assert spec["machineSpec"] == {
        "machineType": "n1-highmem-2", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1,
    }  # fmt: skip
    assert spec["persistentDiskSpec"]["diskSizeGb"] == "200"


def test_values_are_set_before_it_is_uploaded(tmp_path: Path) -> None:
    """The service takes none; they stand in a cell of their own, after the one that declares them, as papermill has it."""
    from nbvertex import bundle

    path = making.write(tmp_path / "nb.ipynb", CELLS)
    opened = open_notebook(str(path))
    travelling = bundle.Bundle(opened.pipeline, (), {}, b"", "3.12")
    settings = target.Settings(
        travelling,
        profile=Profile(bucket="gs://b", service_account="a@p.iam.gserviceaccount.com", kms_key="k"),
        document=json.dumps(opened.notebook.raw()),
        values={"n": [1.5, {"a": "it's"}]},
    )
    files = vertex_notebook.render(opened.pipeline, settings)
    cells = json.loads(files["notebook.ipynb"])["cells"]
    assert "".join(cells[3]["source"]) == "# Parameters\nn = [1.5, {'a': \"it's\"}]"
    assert cells[3]["metadata"]["tags"] == ["injected-parameters"]
    job = json.loads(files["notebook_job.json"])
    assert job["gcsOutputUri"].startswith("gs://b/")
    assert job["serviceAccount"] == "a@p.iam.gserviceaccount.com"
    assert job["encryptionSpec"] == {"kmsKeyName": "k"}
    assert vertex_notebook.render(opened.pipeline, replace(settings, values={})) != files


@pytest.mark.parametrize(
    "cells, code",
    [
        ([making.cell("1", "step:a", "machine:n1-standard-4"), making.cell("1", "step:b", "machine:n1-standard-8")], "two-machines"),
        ([making.cell("1", "step:a", "machine:n1-standard-5")], "unknown-machine"),
        ([making.cell("import helper", "step:a")], "beside"),
        ([making.cell("x = 1", "step:a"), making.cell("x", "step:b", "when:x > 0")], "not-supported"),
        ([making.cell("1", "step:a", "image:gcr.io/p/i")], "not-supported"),
    ],
)  # fmt: skip
def test_what_one_execution_cannot_be(tmp_path: Path, cells: Sequence[Any], code: str) -> None:
    """Two machines, modules beside the notebook, conditions, images: refused by name."""
    (tmp_path / "helper.py").write_text("x = 1")
    with pytest.raises(ProblemsFound) as found:
        convert(tmp_path, cells)
    assert [one.code for one in found.value.problems] == [code]
