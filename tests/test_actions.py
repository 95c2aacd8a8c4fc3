"""The verbs, where the command line does not show enough of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from making import cell

from nbvertex.actions import output, reading, runs
from nbvertex.database import Database
from nbvertex.events import CellOutput, CellStarted, RunResult, RunStarted, StepChanged
from nbvertex.home import Home

Make = Callable[..., Path]
EVENTS = (
    StepChanged(run="r1", step="a", state="running", at=1.0),
    CellStarted(run="r1", step="a", position=1, at=1.0),
    CellOutput(
        run="r1", step="a", position=1, output={"output_type": "stream", "name": "stdout", "text": "hello"}
    ),
)
BEGIN = RunStarted(run="r1", pipeline="nb", steps=("a",), at=1.0)


class Clock:
    """A clock that stands."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in which a run could have been recorded."""
    found = Home(tmp_path / ".nbvertex")
    found.prepare()
    Database(found.database).close()
    return found


def test_a_partial_notebook_is_written_now_and_then(make_notebook: Make, home: Home, tmp_path: Path) -> None:
    """Not at every event, and at the end in any case."""
    clock = Clock()
    out = tmp_path / "out.ipynb"
    opened = reading.open_notebook(str(make_notebook([cell("print('hello')", "step:a")])))
    copy = output.Copy(opened, home, {}, out, to_stdout=False, clock=clock)
    for event in (BEGIN, *EVENTS):
        copy(event)
    assert not out.exists()
    clock.now += output.AT_LEAST
    copy(EVENTS[-1])
    partial = json.loads(out.read_text())
    assert partial["metadata"]["nbvertex"]["state"] == "running"
    assert partial["cells"][0]["outputs"][0]["text"] == ["hellohello"]
    out.unlink()
    copy(EVENTS[-1])
    assert not out.exists()
    ran = copy.finish(RunResult(run="r1", state="done", started=1.0, ended=2.0))
    assert (ran.output, ran.trouble) == (out, None)
    assert json.loads(out.read_text())["metadata"]["nbvertex"]["state"] == "done"


def test_a_partial_notebook_that_cannot_be_written(make_notebook: Make, home: Home, tmp_path: Path) -> None:
    """The run goes on; the end tells."""
    clock = Clock()
    folder = tmp_path / "gone"
    folder.mkdir()
    opened = reading.open_notebook(str(make_notebook([cell("1", "step:a")])))
    copy = output.Copy(opened, home, {}, folder / "out.ipynb", to_stdout=False, clock=clock)
    copy(BEGIN)
    folder.rmdir()
    clock.now += output.AT_LEAST
    copy(EVENTS[0])
    ran = copy.finish(RunResult(run="r1", state="done", started=1.0, ended=2.0))
    assert ran.output is None
    assert "out.ipynb cannot be written: No such file" in str(ran.trouble)


def test_where_runs_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a notebook, or in the current folder's project."""
    monkeypatch.delenv("NBVERTEX_HOME")
    (tmp_path / "project" / "deep").mkdir(parents=True)
    (tmp_path / "project" / "nbvertex.toml").touch()
    monkeypatch.chdir(tmp_path / "project" / "deep")
    assert runs.home_of(None).folder == tmp_path / "project" / ".nbvertex"
    assert runs.home_of("../../nb.ipynb").folder.resolve().parent == tmp_path


def test_steps_of_a_notebook_with_errors(make_notebook: Make) -> None:
    """They are known all the same, for completion."""
    path = make_notebook([cell("x = (", "step:a"), cell("1", "step:b"), cell("2", "step:a", "after:zz")])
    assert reading.step_names(str(path)) == ["a", "b"]
