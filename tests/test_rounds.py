"""Steps under a condition and over a list, run for real: cached, retried, resumed, told and gone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import making
import nbformat
import pytest
from making import cell

from nbvertex import convert, garbage, notebook, report, runner
from nbvertex.actions import runs
from nbvertex.errors import StepFailed
from nbvertex.events import CellOutput, RunEvent, RunResult, StepChanged, as_json
from nbvertex.home import Home
from nbvertex.pipeline import Pipeline
from nbvertex.report import Follower
from nbvertex.trial import Bench


def opened(folder: Path, cells: Sequence[str | Mapping[str, Any]]) -> tuple[Path, Pipeline]:
    """A notebook of these cells."""
    path = making.write(folder / "nb.ipynb", cells)
    pipeline, problems = convert.check(notebook.read(path))
    assert pipeline is not None, problems
    return path, pipeline


def run(folder: Path, cells: Sequence[str | Mapping[str, Any]], **asked: Any) -> RunResult:
    """Run a notebook of these cells."""
    path, pipeline = opened(folder, cells)
    return runner.run(pipeline, home=Home(folder / "home"), notebook=path, cwd=folder, **asked)


def text(result: RunResult, position: int) -> str:
    """What the cell at a position printed."""
    steps = [step for step in result.steps.values() if position in step.cells]
    return "".join(output.get("text", "") for output in steps[0].cells[position].outputs)


def states(result: RunResult, step: str) -> list[str]:
    """How the rounds of a step ended."""
    return [one.state for one in result.steps[step].rounds]


def loop(rates: str = "[1, 2]", body: str = "y = n * base") -> list[dict[str, Any]]:
    """A step over a list of an earlier step."""
    return [
        cell(f"base = 10\nrates = {rates}", "step:load"),
        cell(body, "step:train", "each:n in rates"),
        cell("print(y)", "step:report"),
    ]


def test_a_new_item_computes_only_itself(tmp_path: Path) -> None:
    """Every round is cached by its item: the others, and what comes after where nothing changed, are taken over."""
    first = run(tmp_path, loop())
    assert (states(first, "train"), text(first, 3)) == (["done", "done"], "[10, 20]\n")
    again = run(tmp_path, loop())
    assert (again.steps["train"].state, states(again, "train")) == ("cached", ["cached", "cached"])
    assert again.steps["report"].state == "cached"
    more = run(tmp_path, loop("[1, 3, 2]"))
    assert states(more, "train") == ["cached", "done", "cached"]
    assert (more.steps["train"].state, text(more, 3)) == ("done", "[10, 30, 20]\n")


def test_items_that_only_the_notebook_knows(tmp_path: Path) -> None:
    """Items of its own classes go along with their list."""
    body = "class C:\n    def __init__(self, v): self.v = v\nbase = 10\nrates = [C(1), C(2)]"
    cells = [cell(body, "step:load"), *loop(body="y = n.v * base")[1:]]
    assert text(run(tmp_path, cells), 3) == "[10, 20]\n"
    assert states(run(tmp_path, cells), "train") == ["cached", "cached"]


def test_an_unchanged_value_stops_recomputation(tmp_path: Path) -> None:
    """A condition that is decided anew on another value keeps the result of the step that it guards."""
    for accuracy, state in ((0.95, "done"), (0.96, "cached"), (0.5, "skipped"), (0.97, "cached")):
        cells = [
            cell(f"accuracy = {accuracy}\ndata = [1]", "step:load"),
            cell("url = len(data)", "step:deploy", "when:accuracy > 0.9"),
        ]
        result = run(tmp_path, cells)
        assert result.steps["deploy"].state == state
    assert result.error is None


def test_a_skipped_step_says_why_everywhere(tmp_path: Path) -> None:
    """In the result, the events, the output notebook and the record of the run."""
    cells = [cell("n = 1", "step:a"), cell("m = 2", "step:b", "when:n > 1"), cell("print(n)", "step:c")]
    events: list[RunEvent] = []
    result = run(tmp_path, cells, on_event=events.append)
    why = "when n > 1: n is 1"
    assert (result.state, result.steps["b"].state, result.steps["b"].why) == ("done", "skipped", why)
    told = [as_json(event) for event in events if isinstance(event, StepChanged) and event.state == "skipped"]
    assert [(one["step"], one["why"]) for one in told] == [("b", why)]
    path, pipeline = opened(tmp_path, cells)
    written = report.compose(json.loads(path.read_text()), pipeline, result, "1")
    mark = written["cells"][1]["metadata"]["nbvertex"]
    assert (mark["state"], mark["why"], written["cells"][1]["outputs"]) == ("skipped", why, [])
    told_of = runs.as_json(runs.shown(Home(tmp_path / "home"), "last"))
    assert [(one["state"], one.get("why"), one["error"]) for one in told_of["steps"]] == [
        ("done", None, None), ("skipped", why, None), ("done", None, None)
    ]  # fmt: skip


def test_the_rounds_are_told_apart(tmp_path: Path) -> None:
    """In the events, in a notebook that is written while they run and after, and in the record of the run."""
    cells = loop(body="print('n is', n)\ny = n * base\ny")
    events: list[RunEvent] = []
    result = run(tmp_path, cells, on_event=events.append)
    told = [as_json(event) for event in events if isinstance(event, StepChanged) and event.round]
    assert {(one["round"], one["item"]) for one in told} == {(1, "n = 1"), (2, "n = 2")}
    assert {event.round for event in events if isinstance(event, CellOutput) and event.step == "train"} == {
        1,
        2,
    }
    follower = Follower({})
    for event in events:
        follower(event)
    path, pipeline = opened(tmp_path, cells)
    raw = json.loads(path.read_text())
    written = [report.compose(raw, pipeline, one, "1") for one in (result, follower.result())]
    for one in written:
        shown = one["cells"][1]["outputs"]
        assert [o.get("text") or o["data"]["text/plain"] for o in shown] == [
            "n = 1", "n is 1\n", "10", "n = 2", "n is 2\n", "20"
        ]  # fmt: skip
        nbformat.validate(nbformat.from_dict(one))
    assert [one["item"] for one in written[0]["cells"][1]["metadata"]["nbvertex"]["rounds"]] == [
        "n = 1",
        "n = 2",
    ]
    rows = runs.as_json(runs.shown(Home(tmp_path / "home"), "last"))["steps"]
    assert [(row["step"], row.get("round"), row.get("item")) for row in rows] == [
        ("load", None, None), ("train", None, None), ("train", 1, "n = 1"), ("train", 2, "n = 2"), ("report", None, None)
    ]  # fmt: skip
    logged = runs.logs(Home(tmp_path / "home"), "last", step="train[2]")
    assert next(output.get("text") for output in logged[0].cells[0].outputs) == "n is 2\n"


def test_tags_of_the_output_are_valid(tmp_path: Path) -> None:
    """A list in a tag has commas, which the rules of nbformat do not let through; the copy has the same in their words."""
    cells = [cell("x = n", "step:a", 'each:n in [1, "a,b"]'), cell("print(x)", "step:b")]
    result = run(tmp_path, cells)
    path, pipeline = opened(tmp_path, cells)
    written = report.compose(json.loads(path.read_text()), pipeline, result, "1")
    nbformat.validate(nbformat.from_dict(written))
    copy = tmp_path / "copy.ipynb"
    copy.write_text(json.dumps(written))
    again, _ = convert.check(notebook.read(copy))
    assert again is not None
    assert again.step("a").options == pipeline.step("a").options


def test_percent_files_hold_lists(tmp_path: Path) -> None:
    """The same marks in a .py file."""
    path = tmp_path / "nb.py"
    path.write_text('# %% tags=["step:a", "each:n in [1, \\"a,b\\"]", "when: 1 < m"]\nx = n\n')
    tags = notebook.read(path).cells[0].tags
    assert tags == ("step:a", 'each:n in [1, "a,b"]', "when: 1 < m")


def test_side_by_side(tmp_path: Path) -> None:
    """Rounds wait for nobody but the processors that are given."""
    body = "import time\ntime.sleep(0.5)\nopen(f'{n}.txt', 'w').write('x')\ny = n * base"
    result = run(tmp_path, loop("[1, 2, 3, 4]", body), jobs=4, cache=False)
    spans = [(one.started or 0.0, one.ended or 0.0) for one in result.steps["train"].rounds]
    assert max(start for start, _ in spans) < min(end for _, end in spans)
    assert sorted(path.name for path in tmp_path.glob("*.txt")) == ["1.txt", "2.txt", "3.txt", "4.txt"]


def test_retries_are_of_a_round(tmp_path: Path) -> None:
    """One round fails at first; the others run once."""
    body = (
        "open(f'tries-{n}', 'a').write('x')\nif n == 2 and len(open(f'tries-{n}').read()) < 2:\n    raise OSError('no')\n"
        "y = n"
    )
    cells = [*loop()[:1], cell(body, "step:train", "each:n in rates", "retries:2"), loop()[2]]
    result = run(tmp_path, cells, backoff=lambda attempt: 0.0)
    assert [one.attempt for one in result.steps["train"].rounds] == [1, 2]
    assert [(tmp_path / f"tries-{n}").read_text() for n in (1, 2)] == ["x", "xx"]
    assert text(result, 3) == "[1, 2]\n"


def test_time_is_over_for_a_round(tmp_path: Path) -> None:
    """The limit is of each round, and the error says which it was."""
    body = "import time\ntime.sleep(30 if n == 2 else 0)\ny = n"
    cells = [*loop()[:1], cell(body, "step:train", "each:n in rates", "timeout:2"), loop()[2]]
    result = run(tmp_path, cells)
    assert result.error is not None
    assert "timed out after 2 seconds (round 2: n = 2)" in str(result.error)


@pytest.mark.parametrize("jobs", [1, 4])
def test_resume_repeats_no_finished_round(tmp_path: Path, jobs: int) -> None:
    """Not one before that which failed, nor one after it that had ended meanwhile."""
    body = (
        "import os, time\nopen(f'seen-{n}', 'a').write('x')\nif n == 2 and not os.path.exists('ok'):\n"
        "    time.sleep(0.5)\n    raise ValueError(n)\ny = n * base"
    )
    cells = [*loop("[1, 2, 3]")[:1], cell(body, "step:train", "each:n in rates", "cache:disabled"), loop()[2]]
    first = run(tmp_path, cells, jobs=jobs)
    assert first.error is not None
    assert "round 2: n = 2" in str(first.error)
    (tmp_path / "ok").touch()
    second = run(tmp_path, cells, jobs=jobs, resume=first.run)
    assert (second.error, text(second, 3)) == (None, "[10, 20, 30]\n")
    assert (tmp_path / "seen-1").read_text() == "x"
    assert (tmp_path / "seen-2").read_text() == "xx"
    assert (tmp_path / "seen-3").read_text() == "x"


def test_an_interrupt_leaves_what_was_done(tmp_path: Path) -> None:
    """The rounds that had ended need not run again."""
    body = "import time\ntime.sleep(0 if n == 1 else 60)\ny = n"
    making.write(tmp_path / "nb.ipynb", loop("[1, 2]", body))
    environ = {**os.environ, "NBVERTEX_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-m", "nbvertex", "run", "nb.ipynb", "--jobs", "1", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if event.get("round") == 2 and event.get("state") == "running":
                process.send_signal(signal.SIGINT)
                break
        process.stdout.read()
        assert process.wait(30) == 130
    told = runs.as_json(runs.shown(Home(tmp_path / "home"), "last"))
    assert told["state"] == "interrupted"
    found = {(row["step"], row.get("round", 0)): row["state"] for row in told["steps"]}
    assert found == {
        ("load", 0): "done", ("train", 0): "failed", ("train", 1): "done", ("train", 2): "failed", ("report", 0): "skipped"
    }  # fmt: skip


def test_one_step_and_from_a_step(tmp_path: Path) -> None:
    """A step over a list, one under a condition, and what comes after them, on what the newest run has left."""
    cells = [
        *loop()[:2],
        cell("z = sum(y)", "step:add", "when:base > 5"),
        cell("print(z)", "step:report"),
    ]
    run(tmp_path, cells)
    alone = run(tmp_path, cells, only="train", cache=False)
    assert (alone.error, states(alone, "train"), alone.steps["load"].state) == (
        None,
        ["done", "done"],
        "cached",
    )
    alone = run(tmp_path, cells, only="add", cache=False)
    assert (alone.error, alone.steps["add"].state) == (None, "done")
    rest = run(tmp_path, cells, start="report", cache=False)
    assert (rest.error, text(rest, 4), states(rest, "train")) == (None, "30\n", [])


def test_an_edited_mark_is_another_step(tmp_path: Path) -> None:
    """What an earlier run did under another condition does not stand for a run that begins after it."""
    cells = [cell("n = 1", "step:a"), cell("m = 2", "step:b", "when:n > 1"), cell("print(n)", "step:c")]
    run(tmp_path, cells)
    cells[1] = cell("m = 2", "step:b", "when:n > 0")
    with pytest.raises(Exception, match="the code of step b has changed"):
        run(tmp_path, cells, start="c")


def test_what_rounds_left_goes_with_the_run(tmp_path: Path) -> None:
    """Nothing of them is kept that neither a run nor the cache needs, and nothing goes that one needs."""
    home = Home(tmp_path / "home")
    body = "y = [n] * 20_000"
    run(tmp_path, loop(body=body))
    assert garbage.collect(home, keep=1, dry_run=True).artifacts == ()
    run(tmp_path, loop("[3]", body))
    found = garbage.collect(home, keep=1)
    assert len(found.runs) == 1
    assert states(run(tmp_path, loop("[3]", body)), "train") == ["cached"]
    garbage.collect(home, keep=0)
    assert garbage.collect(home, keep=0, limit=0).size == 0


def test_large_values_of_rounds(tmp_path: Path) -> None:
    """Arrays lie in files of their own, and each round's is its own."""
    body = "import numpy as np\ny = np.full(50_000, n)\ny[0] = base"
    cells = [
        *loop(body=body)[:2],
        cell("print([int(a.sum()) for a in y], y[0].flags.writeable)", "step:report"),
    ]
    assert text(run(tmp_path, cells), 3) == "[50009, 100008] True\n"


def test_a_lost_value_is_made_again(tmp_path: Path) -> None:
    """What a round has left is damaged between two runs: only what made it runs again."""
    body = "y = 'x' * (100_000 + n)"
    cells = [*loop(body=body)[:2], cell("print([len(s) for s in y])", "step:report")]
    run(tmp_path, cells)
    for path in (tmp_path / "home" / "artifacts").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.write_bytes(b"broken")
    result = run(tmp_path, [*cells[:2], cell("print([len(s) - 1 for s in y])", "step:report")])
    assert (result.error, text(result, 3)) == (None, "[100000, 100001]\n")


def test_rounds_end_the_run_where_they_say_so(tmp_path: Path) -> None:
    """`sys.exit()` in a round ends the run, and well."""
    result = run(tmp_path, loop(body="import sys\nif n == 2:\n    sys.exit()\ny = n"))
    assert (result.state, result.error) == ("done", None)
    assert result.steps["report"].state == "skipped"


def test_many_rounds(tmp_path: Path) -> None:
    """A hundred of them take no more than a hundred steps do."""
    began = time.monotonic()
    result = run(tmp_path, [*loop("list(range(100))")[:2], cell("print(sum(y))", "step:report")])
    assert text(result, 3) == "49500\n"
    assert time.monotonic() - began < 60


def test_notebooks_as_tests(tmp_path: Path) -> None:
    """pytest skips a step that is not taken, and says why; a step over a list is one test."""
    cells = [*loop(body="assert n\ny = n"), cell("z = 1", "step:deploy", "when:base > 10")]
    making.write(tmp_path / "nb.ipynb", cells)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-rs",
        "-p",
        "no:cacheprovider",
        "--nbvertex-verify",
        "nb.ipynb",
    ]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout
    assert "when base > 10: base is 10" in said
    assert "4 passed, 1 skipped" in said


def test_under_papermill(tmp_path: Path) -> None:
    """The engine puts the outputs of all rounds under their cell, and marks what was not taken."""
    papermill = pytest.importorskip("papermill")
    cells = [*loop(body="print(n)\ny = n"), cell("z = 1", "step:deploy", "when:base > 10")]
    path = making.write(tmp_path / "nb.ipynb", cells)
    written = papermill.execute_notebook(
        path, tmp_path / "out.ipynb", engine_name="nbvertex", progress_bar=False, cwd=tmp_path
    )
    shown = [[o.get("text") or o["data"]["text/plain"] for o in one.outputs] for one in written.cells]
    assert shown == [[], ["n = 1", "1\n", "n = 2", "2\n"], ["[1, 2]\n"], []]
    assert written.cells[3].metadata["nbvertex"]["state"] == "skipped"


def test_one_round_in_a_test(tmp_path: Path) -> None:
    """A fixture's step is run once, on an item of the test's own; without one, the error says what to hand over."""
    path, pipeline = opened(tmp_path, loop())
    bench = Bench(pipeline, path.name)
    (tmp_path / "scratch").mkdir()
    try:
        tried = bench.run("train", {"n": 5, "base": 2}, cwd=tmp_path, scratch=tmp_path / "scratch")
        assert tried["y"] == 10
        with pytest.raises(StepFailed) as caught:
            bench.run("train", {"base": 2}, cwd=tmp_path, scratch=tmp_path / "scratch")
    finally:
        bench.close()
    assert "run(n=...)" in str(caught.value.hint)
