"""The output notebook of a run."""

from __future__ import annotations

import ast
import json
import math
from typing import Any

import making
import nbformat
from hypothesis import given
from hypothesis import strategies as st

from nbvertex import output_file, report
from nbvertex.errors import Interrupted, Place, StepFailed
from nbvertex.events import (
    CellEnded,
    CellOutput,
    CellResult,
    CellStarted,
    RunEnded,
    RunResult,
    RunStarted,
    StepChanged,
    StepResult,
)
from nbvertex.pipeline import Cell, Parameter, Pipeline, Step

OLD = {"output_type": "stream", "name": "stdout", "text": "of an old run"}
HELLO = {"output_type": "stream", "name": "stdout", "text": "hello\n"}
ERROR = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["one\ntwo", "three"]}


def raw() -> dict[str, Any]:
    """Five cells: parameters, text, step a, step b, skipped; all code cells with the outputs of an old run."""
    cells: list[Any] = [
        making.cell("n = 1", "parameters"),
        "# text",
        making.cell("print(n)", "step:a", papermill={"duration": 1}, mine="kept"),
        making.cell("boom", "step:b"),
        making.cell("look", "skip"),
    ]
    for cell in cells:
        if isinstance(cell, dict):
            cell["outputs"], cell["execution_count"] = [OLD], 99
    return making.document(cells)


PIPELINE = Pipeline(
    name="nb",
    notebook="nb.ipynb",
    steps=(
        Step(name="setup", cells=(Cell(position=1, source="n = 1"),)),
        Step(name="a", cells=(Cell(position=3, source="print(n)"),)),
        Step(name="b", cells=(Cell(position=4, source="boom"),)),
    ),
    parameters=(Parameter(name="n", kind="int", default=1, cell=1),),
    parameters_cell=1,
    parameters_step="setup",
)


def done(name: str, position: int, *outputs: dict[str, Any], count: int = 1, **more: Any) -> StepResult:
    cell = CellResult(position=position, state="done", count=count, started=1.0, ended=2.0, outputs=outputs)
    return StepResult(
        **{"name": name, "state": "done", "started": 1.0, "ended": 2.0, "cells": {position: cell}, **more}
    )


def result(*steps: StepResult, **more: Any) -> RunResult:
    named = {step.name: step for step in steps}
    return RunResult(**{"run": "r1", "state": "done", "started": 1.0, "ended": 3.0, "steps": named, **more})


def composed(*steps: StepResult, source: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    notebook = report.compose(raw() if source is None else source, PIPELINE, result(*steps, **more), "9.9")
    nbformat.validate(json.loads(output_file.encode(notebook)))
    return notebook


def test_the_notebook_stays_the_same_notebook() -> None:
    """Cells, ids, tags, foreign metadata and the kernel are as they were; what is read is not changed."""
    before = raw()
    after = report.compose(before, PIPELINE, result(done("a", 3, HELLO)), "9.9")
    assert before == raw()
    assert [(c["id"], c["cell_type"], c["source"]) for c in after["cells"]] == [
        (c["id"], c["cell_type"], c["source"]) for c in before["cells"]
    ]
    assert after["cells"][2]["metadata"]["mine"] == "kept"
    assert after["cells"][2]["metadata"]["tags"] == ["step:a"]
    assert after["metadata"]["kernelspec"] == making.KERNEL


def test_cells_tell_what_they_did() -> None:
    """Outputs, number, step, times, run and attempt of this run; nothing of an older one stays."""
    cells = composed(done("a", 3, HELLO, count=2, attempt=3))["cells"]
    assert cells[2]["outputs"] == [HELLO]
    assert cells[2]["execution_count"] == 2
    assert cells[2]["metadata"]["nbvertex"] == {
        "cell": 3, "step": "a", "state": "done", "started": 1.0, "ended": 2.0, "run": "r1", "attempt": 3,
    }  # fmt: skip
    assert "papermill" not in cells[2]["metadata"]
    assert [(c["outputs"], c["execution_count"]) for c in cells[3:]] == [([], None)] * 2
    assert cells[3]["metadata"]["nbvertex"] == {"cell": 4, "step": "b", "state": "queued"}
    assert cells[4]["metadata"]["nbvertex"] == {"cell": 5, "state": "skipped"}
    assert cells[1]["metadata"] == {}


def test_a_cached_step_names_the_run_it_is_from() -> None:
    """Its outputs are the original ones."""
    cells = composed(done("a", 3, HELLO, state="cached", source="r0"))["cells"]
    mark = cells[2]["metadata"]["nbvertex"]
    assert (mark["state"], mark["run"], cells[2]["outputs"]) == ("cached", "r0", [HELLO])


def test_given_values_stand_after_their_cell() -> None:
    """As papermill does it: a tagged cell of assignments, with an id of its own."""
    notebook = composed(done("a", 3), parameters={"n": 5})
    cell = notebook["cells"][1]
    assert cell["source"] == "# Parameters\nn = 5"
    assert cell["metadata"]["tags"] == ["injected-parameters"]
    assert len({c["id"] for c in notebook["cells"]}) == 6
    assert notebook["metadata"]["nbvertex"]["parameters"] == {"n": 5}


def test_values_of_several_cells() -> None:
    """Each declaring cell is followed by its own values; one that no cell declares stands first."""
    parameters = (Parameter(name="n", cell=1), Parameter(name="m", cell=3), Parameter(name="x"))
    pipeline = Pipeline(name="nb", notebook="nb.ipynb", steps=PIPELINE.steps, parameters=parameters)
    notebook = report.compose(raw(), pipeline, result(parameters={"m": [1], "n": None, "x": "a'b"}), "9.9")
    assert [c["source"] for c in notebook["cells"]] == [
        "# Parameters\nx = \"a'b\"", "n = 1", "# Parameters\nn = None", "# text", "print(n)", "# Parameters\nm = [1]",
        "boom", "look",
    ]  # fmt: skip


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_a_literal_means_its_value(value: Any) -> None:
    """What the injected cell says is what was given, infinities and NaN included."""
    found = eval(report.literal(value), {"float": float})
    assert repr(found) == repr(value)
    ast.parse(report.literal(value), mode="eval")


def failed(message: str = "ValueError: <b>no</b>") -> RunResult:
    cell = CellResult(position=4, state="failed", count=2, started=1.0, ended=2.0, outputs=(HELLO, ERROR))
    step = StepResult(name="b", state="failed", started=1.0, ended=2.0, cells={4: cell})
    error = StepFailed(message, place=Place(notebook="nb.ipynb", cell=4, line=1, step="b"))
    return result(done("a", 3, HELLO), step, state="failed", error=error)


def test_a_failed_run_says_where_it_stopped() -> None:
    """At the top, with a link to a cell before the one that failed; what it had shown is kept."""
    notebook = report.compose(raw(), PIPELINE, failed(), "9.9")
    nbformat.validate(json.loads(output_file.encode(notebook)))
    top, flag = notebook["cells"][0], notebook["cells"][4]
    assert "cell 4 [step b], line 1" in top["source"]
    assert "ValueError: &lt;b&gt;no&lt;/b&gt;" in top["source"]
    assert 'href="#nbvertex-stopped"' in top["source"]
    assert 'id="nbvertex-stopped"' in flag["source"]
    assert notebook["cells"][5]["outputs"] == [HELLO, ERROR]
    assert notebook["metadata"]["nbvertex"]["state"] == "failed"


def test_an_output_notebook_can_be_run_again() -> None:
    """The cells that told of the last failure are gone."""
    again = json.loads(output_file.encode(report.compose(raw(), PIPELINE, failed(), "9.9")))
    notebook = report.compose(again, PIPELINE, result(), "9.9")
    assert not any("stopped" in "".join(c["source"]) for c in notebook["cells"])


def test_an_interrupted_run_has_no_place() -> None:
    """Ctrl-C is told at the top alone."""
    notebook = composed(state="interrupted", error=Interrupted("interrupted"))
    assert "Run r1 stopped.</b>" in notebook["cells"][0]["source"]
    assert len(notebook["cells"]) == 6


def test_the_traceback_of_a_run() -> None:
    """The lines of the failed cell's traceback; none where no cell failed."""
    assert report.traceback_of(failed()) == ("one", "two", "three")
    assert report.traceback_of(result(done("a", 3))) == ()
    assert report.traceback_of(result(error=Interrupted("interrupted"))) == ()


def test_a_notebook_without_ids_gets_none() -> None:
    """Before nbformat 4.5 cells had no ids, and those that are added have none either."""
    source = raw()
    source["nbformat_minor"] = 4
    for cell in source["cells"]:
        del cell["id"]
    notebook = composed(source=source, parameters={"n": 2})
    assert not any("id" in cell for cell in notebook["cells"])


def test_sloppy_notebooks() -> None:
    """Tags that are no list, and no minor version."""
    source = raw()
    del source["nbformat_minor"]
    source["cells"][2]["metadata"]["tags"] = None
    source["cells"][3]["metadata"]["tags"] = "nbvertex-stopped"
    assert len(report.compose(source, PIPELINE, result(), "9.9")["cells"]) == 5


def test_ids_where_the_format_has_none() -> None:
    """Colab writes them into notebooks of nbformat 4.0; they are kept, in a format that knows them."""
    source = raw()
    source["nbformat_minor"] = 0
    del source["cells"][1]["id"]
    notebook = composed(source=source)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert [cell["id"] for cell in notebook["cells"]] == ["c1", "nbvertex-1", "c3", "c4", "c5"]


def test_a_script_gets_a_kernel() -> None:
    """A notebook that names no kernel gets the one it ran in, so that Jupyter does not ask."""
    source = raw()
    del source["metadata"]["kernelspec"]
    assert composed(source=source)["metadata"]["kernelspec"]["name"] == "python3"


# --- following events ---------------------------------------------------------------------------------

BEGIN = (
    RunStarted(run="r1", pipeline="nb", steps=("setup", "a", "b"), at=1.0),
    StepChanged(run="r1", step="a", state="running", at=2.0),
    CellStarted(run="r1", step="a", position=3, at=2.5),
)


def out(text: str, stream: str = "stdout") -> CellOutput:
    output = {"output_type": "stream", "name": stream, "text": text}
    return CellOutput(run="r1", step="a", position=3, output=output)


def followed(*events: Any) -> RunResult:
    follower = report.Follower({"n": 1})
    for event in (*BEGIN, *events):
        follower(event)
    return follower.result()


def test_a_run_so_far() -> None:
    """What is running is told as running, with what it has shown; the rest is queued."""
    so_far = followed(out("hel"), out("lo\n"), out("oops", "stderr"))
    assert (so_far.run, so_far.state, so_far.parameters) == ("r1", "running", {"n": 1})
    assert {name: step.state for name, step in so_far.steps.items()} == {
        "setup": "queued",
        "a": "running",
        "b": "queued",
    }
    cell = so_far.steps["a"].cells[3]
    assert cell.state == "running"
    assert [o["text"] for o in cell.outputs] == ["hello\n", "oops"]


def test_outputs_that_a_cell_takes_back() -> None:
    """`clear_output` is heard, and what updates a display is left to the end of the cell."""
    update = {
        "output_type": "update_display_data",
        "data": {},
        "metadata": {},
        "transient": {"display_id": "x"},
    }
    shown = {
        "output_type": "display_data",
        "data": {"text/plain": "1"},
        "metadata": {},
        "transient": {"display_id": "x"},
    }
    clear = {"output_type": "clear_output", "wait": True}
    outputs = [CellOutput(run="r1", step="a", position=3, output=o) for o in (clear, update, shown)]
    cell = followed(out("old"), *outputs).steps["a"].cells[3]
    assert cell.outputs == ({"output_type": "display_data", "data": {"text/plain": "1"}, "metadata": {}},)


def test_another_attempt_begins_anew() -> None:
    """What the failed attempt showed is gone, and the attempt is counted."""
    ended = CellEnded(run="r1", step="a", position=3, at=3.0, state="failed", count=1)
    failure = StepChanged(run="r1", step="a", state="failed", at=3.0, error="no")
    again = StepChanged(run="r1", step="a", state="running", at=4.0, attempt=2)
    step = followed(out("first"), ended, failure, again).steps["a"]
    assert (step.attempt, step.state, step.cells) == (2, "running", {})


def test_what_was_running_when_a_run_ended_has_failed() -> None:
    """An interrupted cell keeps what it showed."""
    end = RunEnded(run="r1", state="interrupted", at=9.0, error="interrupted")
    found = followed(out("half"), end)
    assert found.steps["a"].state == found.steps["a"].cells[3].state == "failed"
    assert found.steps["a"].cells[3].outputs[0]["text"] == "half"
    assert found.steps["b"].state == "queued"


def test_a_literal_of_odd_floats() -> None:
    """They have no literal of their own in Python."""
    assert report.literal([math.inf, {"a": -math.inf}]) == "[float('inf'), {'a': float('-inf')}]"
