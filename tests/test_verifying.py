"""`nbvertex verify`, through the real program: papermill and a kernel on one side, isolated steps on the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from making import cell

from nbvertex import straight
from nbvertex.errors import Refused

Make = Callable[..., Path]
DIFFERS = "import sys\nx = 'nbvertex_runtime' in sys.modules"  # what only a step can see


@dataclass(frozen=True)
class Said:
    """What the program said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def verify(tmp_path: Path) -> Callable[..., Said]:
    """Run the program on a notebook, with a temporary folder that must be empty again afterwards."""
    temporary = tmp_path / "temporary"

    def call(notebook: Path, *words: str) -> Said:
        temporary.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, "-m", "nbvertex", "verify", str(notebook), *words],
            capture_output=True, text=True, check=False, env={**os.environ, "TMPDIR": str(temporary)},
        )  # fmt: skip
        assert not list(temporary.glob("nbvertex-*"))
        return Said(done.returncode, done.stdout, done.stderr)

    return call


GOOD: Sequence[Any] = [
    cell("import pickle, tempfile, os\nfrom beside import SCALE", "setup"),
    cell("n = 2", "parameters"),
    "# text",
    cell("class Point:\n    def __init__(self, x):\n        self.x = x\n\npoint = Point(n * SCALE)\npoint", "step:make"),
    cell("print(id(point), point)\n%time data = open('data.txt').read()\ndata", "step:read"),
    cell("import time\nstamp = time.time()\nopen('stamp.txt', 'w').write(str(stamp));", "step:stamp", "varies"),
    cell("print('at', stamp)", "step:tell"),
    cell("print('explored')", "skip"),
    cell(
        "folder = tempfile.mkdtemp()\nos.makedirs('out')\n"
        "pickle.dump({'a': ['x', point.x], 'b': 'x'}, open('out/model.pkl', 'wb'))\n"
        "with open('data.txt', 'a') as file:\n    file.write('more')",
        "step:write",
    ),
    cell("1 / 0", "step:may", "raises-exception"),
    cell("!echo from the shell\nprint(n)\nfor i in range(3):\n    pass", "step:last"),
]  # fmt: skip


def test_a_notebook_that_keeps_the_law(
    make_notebook: Make, tmp_path: Path, verify: Callable[..., Said]
) -> None:
    """Everything is compared; what varies by nature or by intent is not; the folder stays as it was."""
    notebook = make_notebook(GOOD)
    (tmp_path / "beside.py").write_text("SCALE = 10")
    (tmp_path / "data.txt").write_text("data")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    said = verify(notebook, "-p", "n", "4")
    assert (said.code, said.out.splitlines()[:2]) == (
        0,
        [
            f"{notebook}: the same straight and as 8 steps",
            "  compared: 7 cells, 5 outputs, 13 values, 2 files",
        ],
    ), said
    assert "set aside: cell 6 (varies)" in said.out
    assert "set aside: cell 7 (depends on `stamp` of cell 6)" in said.out
    assert "straight: running" in said.err
    assert "write: done" in said.err
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    assert not (tmp_path / ".nbvertex" / "lineage.db").exists()


def test_a_name_whose_object_changes_by_another_name(
    make_notebook: Make, verify: Callable[..., Said]
) -> None:
    """The last step that knew it cannot tell what it holds at the end; other names still count."""
    cells = [
        cell("import numpy as np\na, n = [1], np.arange(3)\nc = 1", "step:a"),
        cell("b, d, m = a, {'in': a}, n[1:]", "step:b"),
        cell("a.append(2)\nn[1] = 7", "step:c"),
    ]
    said = verify(make_notebook(cells), "--json")
    assert (said.code, said.json["equal"], said.json["compared"]["values"]) == (0, True, 4), said


def test_a_cell_of_which_nothing_is_run_keeps_its_number(
    make_notebook: Make, verify: Callable[..., Said]
) -> None:
    """Run All numbers a cell that only asks for packages."""
    notebook = make_notebook(
        [cell("1", "step:a"), cell("%pip install pytest", "step:b"), cell("2", "step:b")]
    )
    assert verify(notebook).code == 0


def test_a_difference_is_explained(make_notebook: Make, verify: Callable[..., Said]) -> None:
    """The first differing cell, both sides, the name that carried it; exit 1."""
    notebook = make_notebook(
        [cell(DIFFERS, "step:a"), cell("y = [x]", "step:b"), "text", cell("print('y is', y)", "step:c")]
    )
    said = verify(notebook)
    assert said.code == 1
    assert said.out.splitlines() == [
        "--- straight",
        "+++ as steps",
        "@@ -1 +1 @@",
        "-y is [False]",
        "+y is [True]",
        "cause: `y` arrives with another value",
        "  `y` straight: [False] (list)",
        "  `y` as steps: [True] (list)",
        "and 2 more differences: the value of `x` at the end, the value of `y` at the end",
    ]
    assert (
        f"error: {notebook}, cell 4 [step c]: what cell 4 shows differs between the straight run and the steps"
        in said.err
    )


def test_a_difference_in_what_is_left(make_notebook: Make, verify: Callable[..., Said]) -> None:
    """No cell shows it; a file does, and the cell that wrote it is named."""
    notebook = make_notebook(
        [cell(DIFFERS + "\nopen('a.txt', 'w').write(str(x));\ndel x", "step:a"), cell("1", "step:b")]
    )
    said = verify(notebook, "--json")
    assert said.code == 1
    assert (said.json["equal"], said.json["compared"]["files"]) == (False, 1)
    (difference,) = said.json["differences"]
    assert (difference["kind"], difference["name"]) == ("file", "a.txt")
    assert (difference["straight"], difference["steps"]) == ("False", "True")
    assert said.json["cause"]["cell"] == 1


def test_a_notebook_that_varies_by_itself(make_notebook: Make, verify: Callable[..., Said]) -> None:
    """It differs from one straight run to the next: the cell and the mend are named."""
    notebook = make_notebook(
        [cell("import random\nn = random.random()", "step:a"), cell("print(n)", "step:b")]
    )
    said = verify(notebook)
    assert said.code == 1
    assert "cause: two straight runs differ there as well: cell 1 draws at random without a seed" in said.out
    assert "hint: seed the generator, or tag cell 1 `varies`" in said.err


def test_what_tells_the_time(make_notebook: Make, verify: Callable[..., Said]) -> None:
    """It is set aside and named; what else the cells make still counts."""
    clock = cell("import time\nt = time.time_ns()\nn = [1]", "step:a")
    tells = [clock, cell("n.append(2)\nprint(t)", "step:b"), cell("print(n)", "step:c")]
    said = verify(make_notebook(tells))
    assert said.code == 0, said
    told = said.out.splitlines()
    assert [line for line in told if "cell 3" in line or "values of" in line] == [
        "  set aside: the values of t"
    ]
    assert any(line.startswith("  set aside: cell 2 (depends on ") for line in told)
    said = verify(make_notebook([*tells, cell(DIFFERS + "\nprint(x)", "step:d")]))
    assert said.code == 1
    assert "what cell 4 shows differs" in said.err
    assert "  set aside: the values of t" in said.out.splitlines()


def test_a_notebook_that_fails_alike(make_notebook: Make, verify: Callable[..., Said]) -> None:
    """Up to there both do the same, and fail with the same error in the same cell."""
    notebook = make_notebook(
        [cell("x = 1", "step:a"), cell("print('before')\nx / 0", "step:b"), cell("print(x)", "step:c")]
    )
    said = verify(notebook, "--json")
    assert (said.code, said.json["equal"]) == (0, True)
    assert said.json["compared"] == {"cells": 2, "outputs": 1, "values": 0, "files": 0}
    failure = said.json["failure"]
    assert (failure["position"], failure["ename"], failure["line"]) == (2, "ZeroDivisionError", 2)


def test_a_process_that_ends(make_notebook: Make, verify: Callable[..., Said]) -> None:
    """The kernel dies, and so does the step."""
    notebook = make_notebook([cell("import os", "step:a"), cell("os._exit(3)", "step:b")])
    said = verify(notebook)
    assert (said.code, "both fail in cell 2" in said.out) == (0, True), said


def test_steps_that_refuse(make_notebook: Make, verify: Callable[..., Said]) -> None:
    """A value that cannot travel is no difference: the steps say so, and exit with 2."""
    notebook = make_notebook(
        [cell("g = (i for i in range(3))\nprint(next(g))", "step:a"), cell("print(next(g))", "step:b")]
    )
    said = verify(notebook)
    assert said.code == 2
    assert "the same straight and as 2 steps, until they refuse to go on" in said.out
    assert "cell 1 [step a]: `g` (generator)" in said.err


def test_a_notebook_without_marks_is_cut(make_notebook: Make, verify: Callable[..., Said]) -> None:
    """At its cells, or not at all."""
    notebook = make_notebook([cell("x = [1]"), cell("y = x"), cell("y.append(2)\nprint(x)")])
    said = verify(notebook, "--split", "cells", "--json", "--no-progress-bar")
    assert (said.code, len(said.json["steps"]), said.err) == (0, 3, "")


def test_what_may_cost_money_is_not_run_unasked(
    make_notebook: Make, verify: Callable[..., Said], tmp_path: Path
) -> None:
    """It would be created twice."""
    notebook = make_notebook(
        [cell("open('ran.txt', 'w')\n!gcloud compute instances create x || true", "step:a")]
    )
    said = verify(notebook)
    assert said.code == 2
    assert "cell 1 may create something in the cloud, and verify runs the notebook twice" in said.err
    assert "hint: say --yes if it may do so twice" in said.err


@pytest.mark.parametrize("words, expected", [
    (("-p", "m", "3"), "there is no parameter 'm'"),
    (("--cwd", "nowhere"), "there is no folder nowhere"),
    (("-k", "no-such-kernel"), "is no interpreter, no environment and no Jupyter kernel"),
])  # fmt: skip
def test_what_cannot_be_meant_is_said_before_anything_runs(
    make_notebook: Make, verify: Callable[..., Said], words: tuple[str, ...], expected: str
) -> None:
    """Exit 2."""
    said = verify(make_notebook([cell("n = 1", "parameters")]), *words)
    assert (said.code, expected in said.err, "running" in said.err) == (2, True, False)


def test_an_interpreter_without_a_kernel(
    make_notebook: Make, tmp_path: Path, verify: Callable[..., Said]
) -> None:
    """What it said last is told."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{sys.executable}: No module named ipykernel_launcher' >&2\nexit 1\n")
    python.chmod(0o755)
    said = verify(make_notebook([cell("1")]), "-k", str(python))
    assert said.code == 2
    assert "No module named ipykernel_launcher" in said.err
    assert f"hint: {python} -m pip install ipykernel" in said.err


def test_without_papermill_the_command_is_told() -> None:
    """It is no dependency: only `verify` and the tests need it."""
    with pytest.raises(Refused) as caught:
        straight.need(lambda module: None if module == "papermill" else module)
    assert caught.value.message == "running a notebook straight takes papermill, which is not installed"
    assert caught.value.hint == f"{sys.executable} -m pip install papermill"


def test_who_interrupts_it_finds_nothing_left(make_notebook: Make, tmp_path: Path) -> None:
    """No kernel, no folder; exit 130."""
    ready = tmp_path / "ready"
    notebook = make_notebook(
        [cell(f"import os, time\nopen({str(ready)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")]
    )
    with tempfile.TemporaryDirectory(dir=tmp_path) as temporary:
        process = subprocess.Popen(
            [sys.executable, "-m", "nbvertex", "verify", str(notebook)],
            stderr=subprocess.PIPE, text=True, start_new_session=True, env={**os.environ, "TMPDIR": temporary},
        )  # fmt: skip
        while not (ready.exists() and ready.read_text()):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err.splitlines()[-1]) == (130, "error: interrupted")
        assert not list(Path(temporary).glob("nbvertex-*"))
    with pytest.raises(ProcessLookupError):
        os.kill(int(ready.read_text()), 0)
