"""Runs with real processes: from a notebook to its outputs, through damage, kills and interrupts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import making
import pytest
from making import cell

from nbvertex import convert, notebook, report, runner
from nbvertex.errors import StepFailed
from nbvertex.events import RunEvent, RunResult, StepChanged
from nbvertex.home import Home
from nbvertex.ledger import Ledger


def run(folder: Path, cells: Sequence[str | Mapping[str, Any]], **asked: Any) -> RunResult:
    """Run a notebook of these cells in a folder of its own."""
    path = making.write(folder / "nb.ipynb", cells)
    pipeline, problems = convert.check(notebook.read(path))
    assert pipeline is not None, problems
    return runner.run(pipeline, home=Home(folder / "home"), notebook=path, cwd=folder, **asked)


def text(result: RunResult, position: int) -> str:
    """What the cell at a position printed."""
    for step in result.steps.values():
        if position in step.cells:
            return "".join(o.get("text", "") for o in step.cells[position].outputs)
    raise KeyError(position)


MODELS = [
    cell("import random\nrandom.seed(0)", "setup"),
    cell("data = [random.random() for _ in range(100)]", "step:load"),
    cell("low = min(data)\nprint(low < 0.1)", "step:low"),
    cell("high = max(data)\nprint(high > 0.9)", "step:high"),
    cell("print(low < high)", "step:choose"),
]


@pytest.mark.parametrize("jobs", [1, 4])
def test_notebook_as_steps(tmp_path: Path, jobs: int) -> None:
    """A notebook runs as steps, side by side or not, and a second time from the cache without a process."""
    first = run(tmp_path, MODELS, jobs=jobs)
    assert (first.error, [text(first, position) for position in (3, 4, 5)]) == (None, ["True\n"] * 3)
    second = run(tmp_path, MODELS, jobs=jobs, pool_factory=None)
    assert {step.state for step in second.steps.values()} == {"cached"}
    assert [text(second, position) for position in (3, 4, 5)] == ["True\n"] * 3


def test_unseeded_chance_is_no_input(tmp_path: Path) -> None:
    """An import draws a number, as some packages do: what comes after is the same whatever was drawn; a seed is not."""
    (tmp_path / "drawing.py").write_text("import random\nrandom.random()\n")
    (tmp_path / "seeding.py").write_text("import random, sys\nrandom.seed(len(sys.argv))\n")
    for module, kept in (("drawing", False), ("seeding", True)):
        cells = [
            cell(f"import {module}\nn = 1", "parameters"),
            cell("a = 2\nprint(a)", "step:a"),
            cell("import random\nprint(random.random())", "step:b"),
        ]
        first = run(tmp_path, cells)
        second = run(tmp_path, cells, parameters={"n": 5})
        assert second.steps["a"].state == "cached"
        assert (text(first, 3) == text(second, 3)) == kept


def test_lines_that_ask_for_packages_are_not_run(tmp_path: Path) -> None:
    """They are requirements of the steps; where one is not there, its import fails, and the hint installs it."""
    cells = [
        cell("%pip install nowhere-to-be-found==1.0\n!pip install pytest\nprint('on')", "step:a"),
        cell("!pip install -q pytest > /dev/null\nimport pytest", "step:b"),
        cell("import nowhere_to_be_found", "step:c"),
    ]
    result = run(tmp_path, cells)
    assert text(result, 1).splitlines()[-1] == "on"
    assert "nowhere" not in text(result, 1)
    assert [step.state for step in result.steps.values()] == ["done", "done", "failed"]
    assert result.error is not None
    assert (result.error.hint or "").startswith(
        f"`{sys.executable} -m pip install nowhere-to-be-found==1.0`, then `nbv"
    )


def widget(name: str) -> str:
    """A widget as ipywidgets tells a front end of it."""
    return (
        "from comm import create_comm\n"
        f"state = {{'_model_name': {name!r}, '_model_module': 'm', '_model_module_version': '1', 'value': 1}}\n"
        "one = create_comm(target_name='jupyter.widget', data={'state': state}, metadata={'version': '2.1.0'})\n"
        "one.send({'method': 'update', 'state': {'value': 2}})\ndel one"
    )


def test_widgets_are_kept_for_the_notebook(tmp_path: Path) -> None:
    """Of every step, the one that fails included, and of a step from the cache; as nbclient keeps them."""
    cells = [cell(widget("Slider"), "step:a"), cell(widget("Text") + "\n1 / 0", "step:b")]
    for state in ("done", "cached"):
        result = run(tmp_path, cells)
        assert result.steps["a"].state == state
        kept = report.widget_state(result)
        assert (kept["version_major"], kept["version_minor"]) == (2, 0)
        found = [(one["model_name"], one["state"]["value"]) for one in kept["state"].values()]
        assert found == [("Slider", 2), ("Text", 2)]


def test_error_names_cell_and_line(tmp_path: Path) -> None:
    """A failing cell is told by the notebook's own cell and line, and a mended notebook goes on from there."""
    cells: list[str | dict[str, Any]] = [
        cell("x = 1\nopen('log', 'a').write('a')", "step:a"),
        "text",
        cell("y = 2\n\nx / 0", "step:b"),
    ]
    first = run(tmp_path, cells)
    assert isinstance(first.error, StepFailed)
    assert (first.error.place.cell, first.error.place.line) == (3, 3)
    result = run(tmp_path, [*cells[:2], cell("print(x / 2)", "step:b")], resume=first.run)
    assert (result.error, text(result, 3)) == (None, "0.5\n")
    assert (tmp_path / "log").read_text() == "a"


def independent(first: str) -> list[str | dict[str, Any]]:
    """A slow step and a quick one, each of which leaves a note through a module that nobody reads beforehand."""
    return [
        cell("from notes import note", "setup"),
        cell(f"a = sum(i for i in range(3_000_000))\n{first}", "step:slow"),
        cell("note('quick')\nprint('noted')", "step:quick"),
    ]


NOTES = "def note(text):\n    with open('log', 'a') as file:\n        print(text, file=file)\n"


def test_effects_side_by_side_keep_the_order(tmp_path: Path) -> None:
    """A step that runs early stops before it does what others can see, until its turn has come."""
    (tmp_path / "notes.py").write_text(NOTES)
    running: list[str] = []

    def watch(event: RunEvent) -> None:
        if isinstance(event, StepChanged):
            running.append(f"{event.step} {event.state}")

    result = run(tmp_path, independent("note('slow')"), jobs=3, on_event=watch)
    assert (result.error, text(result, 3)) == (None, "noted\n")
    assert (tmp_path / "log").read_text() == "slow\nquick\n"
    assert running.index("quick running") < running.index("slow done")


def test_no_effect_after_a_failure(tmp_path: Path) -> None:
    """What started early and is not reached leaves no trace."""
    (tmp_path / "notes.py").write_text(NOTES)
    result = run(tmp_path, independent("note('slow')\n1 / 0"), jobs=3)
    assert result.steps["quick"].state == "skipped"
    assert (tmp_path / "log").read_text() == "slow\n"


@pytest.mark.parametrize(
    "name, content, states",
    [
        ("notes.py", NOTES, ["cached", "cached"]),
        ("notes.py", NOTES + "\nx = 1\n", ["done", "done"]),
        ("data.csv", "2", ["cached", "done"]),
    ],
    ids=["nothing", "module", "data"],
)
def test_files_nobody_named(tmp_path: Path, name: str, content: str, states: list[str]) -> None:
    """The user's own modules, and files opened by names that are made up while it runs, belong to a result."""
    (tmp_path / "notes.py").write_text(NOTES)
    (tmp_path / "data.csv").write_text("1")
    cells = [
        cell("import notes", "setup"),
        cell("with open('data' + '.csv') as f: print(f.read(), notes)", "step:a"),
    ]
    assert run(tmp_path, cells).error is None
    (tmp_path / name).write_text(content)
    result = run(tmp_path, cells)
    assert [result.steps[step].state for step in ("setup", "a")] == states


LARGE = [
    cell("import random\nx = bytes(random.Random(1).randbytes(300_000))", "step:a"),
    cell("y = len(x)", "step:b"),
    cell("print(len(x), y)", "step:c"),
]


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_damaged_file_is_made_again(tmp_path: Path, harm: str) -> None:
    """A large value whose file was damaged is noticed where it arrives, and computed again."""
    assert run(tmp_path, LARGE).error is None
    (place,) = [path for path in Home(tmp_path / "home").artifacts.rglob("*") if path.is_file()]
    data = bytearray(place.read_bytes())
    data[150_000] ^= 4
    place.chmod(0o644)
    if harm == "remove":
        place.unlink()
    else:
        place.write_bytes(data if harm == "flip" else data[:-7])
    result = run(tmp_path, [*LARGE[:2], cell("print(len(x), y, 'again')", "step:c")])
    assert (result.error, text(result, 3)) == (None, "300000 300000 again\n")


DRIVER = """
import sys
sys.path.insert(0, sys.argv[1])
from pathlib import Path
import test_running
result = test_running.run(Path(sys.argv[2]), test_running.SLOW, jobs=2, cache=False, resume=sys.argv[3] or None)
print(result.state, result.run, result.error)
"""

SLOW = [
    cell(
        f"import os, time\nwith open('log', 'a') as f: print({n}, os.getpid(), file=f)\ntime.sleep(0.05)\nv{n} = {n}",
        f"step:s{n}",
    )
    for n in range(12)
] + [cell("print(" + " + ".join(f"v{n}" for n in range(12)) + ")", "step:end")]


def driver(folder: Path, resume: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, str(Path(__file__).parent), str(folder), resume]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def processes(folder: Path) -> list[str]:
    """The steps' processes that are still there, zombies aside."""
    found = []
    for line in (folder / "log").read_text().splitlines():
        try:
            state = Path(f"/proc/{line.split()[1]}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(line)
    return found


def wait_for_lines(folder: Path, count: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if (folder / "log").exists() and len((folder / "log").read_text().splitlines()) >= count:
            return
        time.sleep(0.005)
    raise AssertionError("the run does not get there")


def done(folder: Path) -> tuple[str, set[str]]:
    ledger = Ledger(Home(folder / "home"))
    run = ledger.lineage.runs()[0].id
    names = {row.name.removeprefix("s") for row in ledger.lineage.steps(run) if row.state == "done"}
    ledger.close()
    return run, names


def test_killed_run_goes_on(tmp_path: Path) -> None:
    """A run that is killed leaves no process behind, and resumed repeats no finished step."""
    with driver(tmp_path) as first:
        wait_for_lines(tmp_path, 4)
        first.kill()
    until = time.monotonic() + 10
    while processes(tmp_path) and time.monotonic() < until:
        time.sleep(0.01)
    assert processes(tmp_path) == []
    ident, finished = done(tmp_path)
    before = (tmp_path / "log").read_text().splitlines()
    out, errors = driver(tmp_path, ident).communicate(timeout=120)
    assert out.split() == ["done", ident, "None"], errors
    after = [line.split()[0] for line in (tmp_path / "log").read_text().splitlines()[len(before) :]]
    assert not finished & set(after)
    assert sorted(finished | set(after), key=int) == [str(n) for n in range(12)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_leaves_no_process(tmp_path: Path, number: int) -> None:
    """Whoever asks a run to stop finds no process afterwards, and what was done is recorded."""
    with driver(tmp_path) as first:
        wait_for_lines(tmp_path, 3)
        os.kill(first.pid, number)
        out, errors = first.communicate(timeout=60)
    assert out.split()[0] == "interrupted", errors
    assert processes(tmp_path) == []
    assert len(done(tmp_path)[1]) >= 2
