"""Custom jobs: which there are, and that their containers show what a run here shows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import making
import pytest

from nbvertex.actions import converting
from nbvertex.actions.reading import open_notebook
from nbvertex.errors import ProblemsFound

PLAIN = [
    making.cell("n = 3\nxs = [1]\nxs.append(n)", "parameters"),
    making.cell("base = n * 10\nprint(base, xs)", "step:a"),
    making.cell("bonus = base + 1\nprint(bonus)", "step:b", "when:base > 35"),
    making.cell("total = k + base\nprint(k, total)", "step:c", "each:k in xs"),
    making.cell("metrics = {'best': max(total)}\nprint(total)", "step:d"),
]


def jobs(tmp_path: Path, cells: Sequence[Mapping[str, Any]], **said: str) -> list[dict[str, Any]]:
    """The jobs of a notebook."""
    path = making.write(tmp_path / "nb.ipynb", cells)
    files = converting.convert(open_notebook(str(path)), "vertex-job", converting.Said(**said)).files
    found: list[dict[str, Any]] = json.loads(files["jobs.json"])
    return found


def run(job: Mapping[str, Any], root: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Start a job's container here."""
    said = job["job"]["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    words = [sys.executable, *said["command"][1:], *said["args"]]
    told = {**os.environ, "NBVERTEX_ROOT": str(root), **environ}
    return subprocess.run(words, env=told, capture_output=True, text=True, check=False)


def test_one_job_where_all_steps_want_the_same(tmp_path: Path) -> None:
    """On the smallest machine where nothing is said."""
    (job,) = jobs(tmp_path, PLAIN)
    assert job["steps"] == ["setup", "a", "b", "c", "d"]
    (pool,) = job["job"]["jobSpec"]["workerPoolSpecs"]
    assert pool["machineSpec"] == {"machineType": "e2-standard-4"}
    assert pool["replicaCount"] == "1"
    assert pool["containerSpec"]["imageUri"].startswith("python:3.")


def test_a_job_each_where_they_differ(tmp_path: Path) -> None:
    """Each with its own machine, account, disk and replicas, after those that it needs."""
    tags = ("step:b", "machine:n1-standard-8", "gpu:t4", "replicas:3", "spot", "disk:500G", "retries:2",
            "service-account:b@p.iam.gserviceaccount.com", "image:gcr.io/p/i")  # fmt: skip
    cells = [making.cell("x = 1", "step:a"), making.cell("y = x", *tags), making.cell("z = y", "step:c")]
    first, second, third = jobs(tmp_path, cells, image="gcr.io/p/default")
    assert [job["after"] for job in (first, second, third)] == [[], [1], [2]]
    assert [job["attempts"] for job in (first, second, third)] == [1, 3, 1]
    spec = second["job"]["jobSpec"]
    chief, rest = spec["workerPoolSpecs"]
    assert chief["machineSpec"] == {
        "machineType": "n1-standard-8", "acceleratorType": "NVIDIA_TESLA_T4", "acceleratorCount": 1,
    }  # fmt: skip
    assert (chief["replicaCount"], rest["replicaCount"]) == ("1", "2")
    assert {**rest, "replicaCount": "1"} == chief
    assert chief["diskSpec"]["bootDiskSizeGb"] == 500
    assert chief["containerSpec"]["imageUri"] == "gcr.io/p/i"
    assert spec["scheduling"] == {"strategy": "SPOT"}
    assert spec["serviceAccount"] == "b@p.iam.gserviceaccount.com"
    assert "serviceAccount" not in first["job"]["jobSpec"]


@pytest.mark.parametrize(
    "tag, why",
    [
        ("machine:n1-standard-5", "is no machine of Vertex AI"),
        ("gpu:2", "has no type"),
        ("gpu:quantum:1", "no type of GPU"),
        ("cpu:5000", "more than any machine"),
    ],
)
def test_machines_that_there_are_not(tmp_path: Path, tag: str, why: str) -> None:
    """Refused by what the user typed, with the cell."""
    with pytest.raises(ProblemsFound) as found:
        jobs(tmp_path, [making.cell("x = 1", "step:a"), making.cell("x", "step:b", tag)])
    (problem,) = found.value.problems
    assert f"`{tag}`" in problem.message
    assert why in problem.message
    assert (problem.place.cell, problem.place.step) == (2, "b")


def test_a_job_runs_all_steps(tmp_path: Path) -> None:
    """With the parameters that are given, conditions and lists; a step that has left its state is not run again."""
    (job,) = jobs(tmp_path, PLAIN)
    done = run(job, tmp_path / "root", NBVERTEX_PARAMETERS='{"n": 4}')
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n") == ["40 [1, 3]", "41", "1 41", "3 43", "[41, 43]", ""]
    left = {path.parent.parent.name for path in (tmp_path / "root").glob("*/state/state.json")}
    assert left == {"setup", "a", "b", "c", "d"}
    assert json.loads((tmp_path / "root/d/metrics.json").read_text()) == {"best": 43.0}
    (tmp_path / "root/d/state/state.json").unlink()  # as if the machine had been taken away
    again = run(job, tmp_path / "root", NBVERTEX_PARAMETERS='{"n": 4}')
    assert again.stdout == "[41, 43]\n"


def test_a_failing_step_is_tried_again_and_named(tmp_path: Path) -> None:
    """From its inputs; then the log says the notebook, the cell and the line, and the exit code is 1."""
    (job,) = jobs(
        tmp_path,
        [
            making.cell("xs = []", "step:a"),
            making.cell("xs.append(1)\nprint(xs)\nxs[5]", "step:b", "retries:1"),
        ],
    )
    said = job["job"]["jobSpec"]["workerPoolSpecs"][0]["containerSpec"]
    assert "attempts" not in job
    said["command"] = [
        *said["command"][:2],
        "import time; time.sleep = lambda s: None\n" + said["command"][2],
    ]
    done = run(job, tmp_path / "root")
    assert done.returncode == 1
    assert done.stdout == "[1]\n[1]\n"
    assert "nb.ipynb, cell 2 [step b], line 3: IndexError: list index out of range" in done.stderr


def test_further_replicas_leave_nothing(tmp_path: Path) -> None:
    """Each runs the cells and sees the cluster; only the first keeps what they made."""
    cells = [
        making.cell("x = 1", "step:a"),
        making.cell(
            "import os\nprint('cluster' in os.environ['CLUSTER_SPEC'])\nx += 1", "step:b", "replicas:2"
        ),
    ]
    first, second = jobs(tmp_path, cells)
    assert run(first, tmp_path / "root").returncode == 0
    for kind, kept in (("workerpool1", False), ("workerpool0", True)):
        spec = {
            "cluster": {"workerpool0": ["a:1"], "workerpool1": ["b:1"]},
            "task": {"type": kind, "index": 0},
        }
        done = run(second, tmp_path / "root", CLUSTER_SPEC=json.dumps(spec))
        assert done.returncode == 0, done.stderr
        assert done.stdout == "True\n"
        assert (tmp_path / "root/b/state/state.json").exists() == kept
