"""`papermill IN OUT --engine nbvertex`, through papermill's own program."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from making import cell

from nbvertex import papermill_engine

Make = Callable[..., Path]

GOOD = [
    cell("import math", "setup"),
    cell("n = 2\nname = 'a'", "parameters"),
    "# text",
    cell("class Point:\n    pass\n\npoint = Point()\npoint.x = n", "step:make"),
    cell("print(name, point.x)\npoint.x * 2", "step:tell"),
    cell("print('explored')", "skip"),
    cell("import sys\nprint('nbvertex_runtime' in sys.modules, file=sys.stderr)", "step:where"),
]


@dataclass(frozen=True)
class Ran:
    """What papermill did."""

    code: int
    err: str
    cells: list[dict[str, Any]]
    metadata: dict[str, Any]

    def texts(self) -> list[str]:
        """What the code cells show, as text."""
        return [
            "".join("".join(o.get("text", o.get("data", {}).get("text/plain", ""))) for o in one["outputs"])
            for one in self.cells
            if one["cell_type"] == "code"
        ]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ran]:
    """Run papermill's program."""

    def call(notebook: Path, *words: str) -> Ran:
        out = tmp_path / "out.ipynb"
        done = subprocess.run(
            [sys.executable, "-m", "papermill", notebook.name, str(out), "--engine", "nbvertex", *words],
            capture_output=True, text=True, check=False, cwd=notebook.parent,
        )  # fmt: skip
        book = json.loads(out.read_text())
        nbformat.validate(book)
        return Ran(done.returncode, done.stderr, book["cells"], book["metadata"])

    return call


def test_steps_run_and_papermills_metadata_are_there(make_notebook: Make, run: Callable[..., Ran]) -> None:
    """Its injected parameters, its states, its log; and which step a cell was in."""
    ran = run(make_notebook(GOOD), "-p", "n", "4", "-p", "name", "b", "--log-output")
    assert ran.code == 0, ran.err
    assert ran.texts() == ["", "", "", "", "b 4\n8", "", "True\n"]
    assert ran.metadata["papermill"]["parameters"] == {"n": 4, "name": "b"}
    assert ran.metadata["papermill"]["exception"] is None
    assert {one["metadata"]["papermill"]["status"] for one in ran.cells} == {"completed"}
    assert [one["metadata"].get("nbvertex", {}).get("step") for one in ran.cells] == [
        "setup", "setup", "setup", None, "make", "tell", None, "where",
    ]  # fmt: skip
    told = next(one for one in ran.cells if one["metadata"].get("nbvertex", {}).get("step") == "tell")
    assert (told["metadata"]["nbvertex"]["state"], told["execution_count"]) == ("done", 5)
    assert told["metadata"]["papermill"]["duration"] is not None
    assert "b 4" in ran.err


def test_a_second_run_takes_what_has_not_changed(make_notebook: Make, run: Callable[..., Ran]) -> None:
    """As `nbvertex run` does; the outputs are there all the same."""
    notebook = make_notebook(GOOD)
    first, second = run(notebook), run(notebook)
    assert first.texts() == second.texts()
    states = [one["metadata"]["nbvertex"]["state"] for one in second.cells if "nbvertex" in one["metadata"]]
    assert set(states) == {"cached"}


def test_a_failure_is_papermills_own_error(make_notebook: Make, run: Callable[..., Ran]) -> None:
    """Exit 1, its message at the top of the notebook, later cells pending."""
    ran = run(
        make_notebook(
            [cell("x = 0", "step:a"), cell("print('before')\n1 / x", "step:b"), cell("x", "step:c")]
        )
    )
    assert ran.code == 1
    assert "PapermillExecutionError: \n" in ran.err
    assert 'Exception encountered at "In [2]":' in ran.err
    assert "ZeroDivisionError: division by zero" in ran.err
    assert "An Exception was encountered at" in "".join(ran.cells[0]["source"])
    code = [one for one in ran.cells if one["cell_type"] == "code"]
    assert [one["metadata"]["papermill"]["status"] for one in code] == ["completed", "failed", "pending"]
    assert [output["output_type"] for output in code[1]["outputs"]] == ["stream", "error"]


@pytest.mark.parametrize(
    "cells, expected",
    [
        ([cell("print(nowhere)", "step:a")], "cell 1 [step a], line 1: `nowhere` is defined nowhere"),
        ([cell("g = (i for i in [1, 2])\nnext(g);", "step:a"), cell("next(g)", "step:b")],
         "cell 1 [step a]: `g` (generator): a generator that has begun cannot travel to a later step"),
        ([cell("import os\nos._exit(3)", "step:a")], "the process ended with exit code 3"),
    ],
)  # fmt: skip
def test_what_no_cell_raises_is_told_in_a_cell(
    make_notebook: Make, run: Callable[..., Ran], cells: list[Any], expected: str
) -> None:
    """A notebook with errors, a value that cannot travel, a process that ended: papermill's error all the same."""
    ran = run(make_notebook(cells), "--no-progress-bar")
    assert ran.code == 1
    assert "papermill.exceptions.PapermillExecutionError" in ran.err
    assert expected in ran.err
    assert any(o["output_type"] == "error" for one in ran.cells for o in one.get("outputs", ()))


def test_it_can_be_called_from_python(make_notebook: Make, tmp_path: Path) -> None:
    """In another working folder; what papermill refuses or nbvertex cannot is said."""
    notebook = make_notebook(
        [cell("n = 1", "parameters"), cell("import os\nprint(n, os.getcwd())", "step:a")]
    )
    (tmp_path / "other").mkdir()
    book = papermill.execute_notebook(
        notebook, None, {"n": 2}, engine_name="nbvertex", progress_bar=False, cwd=tmp_path / "other"
    )
    assert book.cells[-1].outputs[0].text == f"2 {tmp_path / 'other'}\n"
    with pytest.raises(papermill.PapermillException, match="say `timeout` on a step"):
        papermill.execute_notebook(
            notebook, None, engine_name="nbvertex", progress_bar=False, execution_timeout=5
        )


@pytest.mark.parametrize(
    "pieces, logged",
    [
        ([("stdout", "b"), ("stdout", " 4"), ("stdout", "\n")], ["b 4\n"]),
        ([("stdout", "a\nb"), ("stdout", "c")], ["a\n", "bc"]),
        ([("stdout", "a"), ("stderr", "e\n"), ("stdout", "b\n")], ["e\n", "ab\n"]),
        ([("stderr", "\r 10%"), ("stderr", "\r 20%")], ["\r", " 10%\r", " 20%"]),
        ([("stdout", "so far"), ("", "8")], ["so far", "8"]),
    ],
)
def test_the_log_gets_whole_lines(
    pieces: list[tuple[str, str]], logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever pieces a stream comes in; a result ends the line before it, and so does the cell."""
    log = papermill_engine._Log(True, None, None, patience=60)
    with caplog.at_level("INFO", "papermill"):
        for name, text in pieces:
            log("a", {"name": name, "text": text} if name else {"data": {"text/plain": text}})
        log.end("a")
    assert caplog.messages == logged


def test_the_log_does_not_wait_long_for_the_end_of_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """`print("training ...", end="")` before an hour of work is seen."""
    told = threading.Event()

    class Heard(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            told.set()

    logger, handler = logging.getLogger("papermill"), Heard()
    logger.addHandler(handler)
    try:
        with caplog.at_level("INFO", "papermill"):
            papermill_engine._Log(True, None, None, patience=0.01)(
                "a", {"name": "stdout", "text": "training ..."}
            )
            assert told.wait(10)
    finally:
        logger.removeHandler(handler)
    assert caplog.messages == ["training ..."]


def test_either_may_be_imported_first() -> None:
    """papermill loads its engines while it is imported itself."""
    for code in (
        "import nbvertex.papermill_engine as engine, sys; assert 'papermill' not in sys.modules; print(engine.Engine)",
        "import papermill.engines as engines; print(engines.papermill_engines.get_engine('nbvertex'))",
    ):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "nbvertex" in done.stdout, done.stderr
