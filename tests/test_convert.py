"""A notebook becomes a pipeline: which cells make which step, and every problem of it at once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import counting
import making
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from making import cell

from nbvertex import notebook, pipeline
from nbvertex.config import Settings
from nbvertex.convert import check, convert
from nbvertex.errors import Problem, ProblemsFound, UsageError
from nbvertex.pipeline import Pipeline

Cells = Sequence[str | Mapping[str, Any]]
Check = Callable[..., tuple[Pipeline | None, tuple[Problem, ...]]]


@pytest.fixture
def checked(tmp_path: Path) -> Check:
    """`checked(cells, split=..., settings=..., name=..., **metadata)`: what `check` says of a notebook of those cells."""

    def run(cells: Cells, *, split: str | None = None, settings: Settings | None = None, name: str = "nb.ipynb",
            **metadata: Any) -> tuple[Pipeline | None, tuple[Problem, ...]]:  # fmt: skip
        read = notebook.read(making.write(tmp_path / name, cells, **metadata))
        return check(read, split=split, settings=settings)

    return run


def steps(found: Pipeline | None) -> dict[str, list[int]]:
    """The steps with the positions of their cells."""
    assert found is not None
    return {step.name: [c.position for c in step.cells] for step in found.steps}


SKIP = cell("nothing_to_see", "skip")
CUTS: dict[str, tuple[Cells, dict[str, list[int]]]] = {
    "no marks: one step": (["# T", cell("x = 1"), cell("x")], {"notebook": [2, 3]}),
    "no step marks: one step": ([cell("import os", "imports"), cell("n = 1", "parameters"), SKIP, cell("x = n")],
                                {"notebook": [1, 2, 4]}),
    "marked": ([cell("x = 1", "step:a"), cell("x", "step:b")], {"a": [1], "b": [2]}),
    "unmarked cells join the step above": (
        [cell("x = 1", "step:a"), cell("y = x"), "text", "# head", cell("y"), cell("x", "step:b"), cell("x")],
        {"a": [1, 2, 5], "b": [6, 7]},
    ),
    "unmarked cells above join the set-up": ([cell("import os"), cell("k = 1"), cell("k", "step:a")], {"setup": [1, 2], "a": [3]}),
    "after a skipped cell": ([cell("x = 1", "step:a"), SKIP, cell("x")], {"a": [1, 3]}),
    "after a set-up cell": ([cell("x = 1", "step:a"), cell("import os", "imports"), cell("x")], {"setup": [2], "a": [1, 3]}),
    "set-up marks": (
        [cell("import os", "imports"), cell("def f(): pass", "functions"), cell("k = 1", "setup"), cell("k", "step:a")],
        {"setup": [1, 2, 3], "a": [4]},
    ),
    "a step that returns": (
        [cell("x = 1", "step:a"), cell("y = 1", "step:b"), cell("z = x", "step:a"), cell("z")], {"a": [1, 3, 4], "b": [2]},
    ),
    "a step called setup": ([cell("import os"), cell("k = 1", "step:setup"), cell("k", "step:a")], {"setup": [1, 2], "a": [3]}),
    "parameters above": ([cell("n = 1", "parameters"), cell("n", "step:a")], {"setup": [1], "a": [2]}),
    "parameters below": ([cell("x = 1", "step:a"), cell("n = 1", "parameters"), cell("n")], {"a": [1, 2, 3]}),
    "parameters in a step": ([cell("n = 1", "parameters", "step:a"), cell("n", "step:b")], {"a": [1], "b": [2]}),
    "Kale 1.x": (
        [cell("import os", "imports"), cell("x = 1", "block:a"), cell("y = x", "block:"), SKIP, cell("y", "block:b", "prev:a"),
         cell("print(y)", "pipeline-metrics")],
        {"setup": [1], "a": [2, 3], "b": [5, 6]},
    ),
    "magics": ([cell("%%step a\nx = 1"), cell("x"), cell("%%step b --after a\nx")], {"a": [1, 2], "b": [3]}),
    "blank cells": ([cell("x = 1", "step:a"), cell(" \n"), cell("", "step:b"), cell("x")], {"a": [1], "b": [3, 4]}),
    "names as the user wants": ([cell("x = 1", "step:TrainModel"), cell("x", "step:train-it"), cell("x", "step:class")],
                                {"TrainModel": [1], "train-it": [2], "class": [3]}),
}  # fmt: skip


@pytest.mark.parametrize("cells, wanted", CUTS.values(), ids=CUTS)
def test_cuts_at_the_marks(checked: Check, cells: Cells, wanted: dict[str, list[int]]) -> None:
    """Every cell that runs is in one step, in notebook order, and nothing is wrong."""
    found, problems = checked(cells)
    assert problems == ()
    assert steps(found) == wanted
    assert list(steps(found)) == list(wanted), "the set-up first, then by first cell"


HEADINGS: dict[str, tuple[Cells, dict[str, list[int]], dict[str, str]]] = {
    "sections": (
        ["# Title", cell("import os"), "## Load the data\ntext", cell("x = 1"), "### deeper", cell("x"), "## Train!", cell("x")],
        {"title": [2], "load-the-data": [4, 6], "train": [8]},
        {"load-the-data": "Load the data", "train": "Train!", "title": "Title"},
    ),
    "above the first": ([cell("x = 1"), "# A", cell("x"), "# B", cell("x")], {"setup": [1], "a": [3], "b": [5]}, {"a": "A", "b": "B"}),
    "sections without code": (["# A", cell("x = 1"), "# B", "# C", cell("x")], {"a": [2], "c": [5]}, {}),
    "the same twice": (["# A", cell("x = 1"), "# A", cell("x")], {"a": [2], "a-4": [4]}, {"a-4": "A"}),
    "setext": (["A\n===", cell("x = 1"), "B\n===", cell("x")], {"a": [2], "b": [4]}, {}),
    "HTML": (["<h2 id='x'>A <b>b</b></h2>", cell("x = 1"), "<h2>C</h2>", cell("x")], {"a-b": [2], "c": [4]}, {}),
    "fences": (["```\n# no\n```", cell("x = 1"), "# A", cell("x"), "# B", cell("x")], {"setup": [2], "a": [4], "b": [6]}, {}),
    "markup": (["# [Load](http://x) **it** `now`", cell("x = 1"), "# B ##", cell("x")],
               {"load-it-now": [2], "b": [4]}, {"load-it-now": "Load it now", "b": "B"}),
    "no words": (["# 🙂", cell("x = 1"), "# ???", cell("x")], {"cell-2": [2], "cell-4": [4]}, {"cell-2": "🙂"}),
    "letters": (["# Données brutes", cell("x = 1"), "# 模型", cell("x")], {"données-brutes": [2], "模型": [4]}, {}),
    "called setup": (["# Setup", cell("x = 1"), "# B", cell("x")], {"setup-2": [2], "b": [4]}, {"setup-2": "Setup"}),
    "no headings": ([cell("x = 1"), cell("x")], {"setup": [1, 2]}, {}),
    "one heading": (["# A", cell("x = 1"), cell("x")], {"a": [2, 3]}, {}),
    "hashtags": (["#nothead\n####### seven", cell("x = 1"), "# A", cell("x"), "# B", cell("x")], {"setup": [2], "a": [4], "b": [6]}, {}),
}  # fmt: skip


@pytest.mark.parametrize("cells, wanted, titles", HEADINGS.values(), ids=HEADINGS)
def test_cuts_at_headings(
    checked: Check, cells: Cells, wanted: dict[str, list[int]], titles: dict[str, str]
) -> None:
    """`--split headings`: each section with code is a step, its title kept."""
    found, problems = checked(cells, split="headings")
    assert problems == ()
    assert steps(found) == wanted
    assert found is not None
    assert {step.name: step.title for step in found.steps if step.name in titles} == titles


def test_cuts_at_cells(checked: Check) -> None:
    """`--split cells`: each cell is a step, whatever the step marks say; set-up, skip and options count."""
    found, problems = checked(
        [
            cell("import os", "imports"),
            cell("x = 1", "step:a"),
            SKIP,
            cell("y = x", "retries:2", "after:a"),
            cell(""),
        ],
        split="cells",
    )
    assert problems == ()
    assert steps(found) == {"setup": [1], "cell-2": [2], "cell-4": [4]}
    assert found is not None
    assert found.step("cell-4").options == pipeline.Options(retries=2)


def test_a_split_moves_no_cell(checked: Check) -> None:
    """Set-up marks below the first step make no set-up when the notebook is cut otherwise."""
    cells = ["# A", cell("x = 1"), cell("import os", "imports"), "# B", cell("print(x)", "imports")]
    assert steps(checked(cells, split="cells")[0]) == {"cell-2": [2], "cell-3": [3], "cell-5": [5]}
    assert steps(checked(cells, split="headings")[0]) == {"a": [2, 3], "b": [5]}


def test_knows_no_other_split(checked: Check) -> None:
    """A split that is none is a usage error."""
    with pytest.raises(UsageError, match="there is no split 'lines'"):
        checked([cell("x = 1")], split="lines")


def test_numbers_cells_as_run_all_does(checked: Check) -> None:
    """In [n] counts the cells that run, in notebook order; skipped and blank ones have no number."""
    found, _ = checked(
        [
            cell("x = 1", "step:a"),
            SKIP,
            cell(" "),
            cell("y = x", "step:b"),
            cell("x", "step:a"),
            cell("# only"),
        ]
    )
    assert found is not None
    counts = {c.position: c.count for step in found.steps for c in step.cells}
    assert counts == {1: 1, 4: 2, 5: 3, 6: 4}


def test_keeps_sources_ids_and_marks(checked: Check) -> None:
    """A cell goes into the model line for line; our magic line is blank."""
    found, _ = checked([cell("%%step a\n%time x = 1\n", "varies", "raises-exception"), cell("x")])
    assert found is not None
    first, second = found.steps[0].cells
    assert (first.source, first.id, first.varies, first.may_fail) == ("#\n%time x = 1\n", "c1", True, True)
    assert (second.source, second.id, second.varies, second.may_fail) == ("x", "c2", False, False)
    assert first.digest
    assert first.digest != second.digest


def test_cells_file_and_metadata_say_options_together(checked: Check) -> None:
    """The cell wins over the notebook's metadata, that over the settings file; lists add up."""
    found, problems = checked(
        [
            cell("x = 1", "step:a", "retries:3", "requires:pandas"),
            cell("x", "memory:8Gi"),
            cell("x", "step:b", "after:a"),
        ],
        settings=Settings(
            steps={
                "a": {
                    "retries": 1,
                    "timeout": 60.0,
                    "requires": ("numpy",),
                    "memory": "1Gi",
                    "image": "file:1",
                }
            }
        ),
        kubeflow_notebook={"base_image": "kale:1", "steps_defaults": ["retries:2"]},
    )
    assert problems == ()
    assert found is not None
    a, b = found.steps
    assert (a.options.retries, a.options.timeout, a.options.requires) == (3, 60.0, ("numpy", "pandas"))
    assert (a.resources.memory, a.resources.image) == ("8Gi", "kale:1")
    assert (b.options.after, b.options.retries, b.resources.image) == (("a",), 2, "kale:1")


@pytest.mark.parametrize(
    "name, metadata, wanted",
    [
        ("churn.ipynb", {}, "churn"),
        ("My model (v2).ipynb", {}, "My-model-v2"),
        ("churn.ipynb", {"kubeflow_notebook": {"pipeline_name": "leavers"}}, "leavers"),
        ("churn.ipynb", {"kubeflow_notebook": {"pipeline_name": "../{{ x }}"}}, "x"),
        ("???.ipynb", {}, "notebook"),
        ("模型.ipynb", {}, "模型"),
    ],
)
def test_names_the_pipeline(checked: Check, name: str, metadata: dict[str, Any], wanted: str) -> None:
    """From Kale's metadata or the file's name, made safe."""
    found, _ = checked([cell("x = 1")], name=name, **metadata)
    assert found is not None
    assert (found.name, found.notebook) == (wanted, name)


ERRORS: dict[str, tuple[Cells, list[tuple[str, int | None, int | None]], str]] = {
    "no code": (["# text"], [("no-code", None, None)], "add a code cell"),
    "no cells": ([], [("no-code", None, None)], "add a code cell"),
    "all skipped": ([SKIP], [("no-code", None, None)], "every code cell is skipped"),
    "syntax": ([cell("x = 1", "step:a"), cell("\nx = = 1")], [("syntax", 2, 2)], "syntax error"),
    "syntax below a magic": ([cell("%%step a\nx = = 1")], [("syntax", 1, 2)], "syntax error"),
    "undefined": ([cell("price = 1", "step:a"), cell("\nprint(prise)", "step:b")], [("undefined-name", 2, 2)], "`price`"),
    "undefined below %%time": ([cell("\n%%time\n\nprint(nowhere)", "step:a")], [("undefined-name", 1, 4)], "`nowhere`"),
    "undefined on a %time line": ([cell("x = 1\n%time nowhere", "step:a")], [("undefined-name", 1, 2)], "`nowhere`"),
    "undefined in a function": ([cell("def f():\n    return nowhere\nf()", "step:a")], [("undefined-name", 1, 2)], "`nowhere`"),
    "read above": ([cell("print(x)", "step:a"), cell("x = 1")], [("undefined-name", 1, 1)], "move cell 2 up"),
    "skipped": ([cell("hidden = 1", "skip"), cell("x = hidden", "step:a")], [("skipped-name", 2, 1)], "only in cell 1, which is skipped"),
    "skipped, in a branch": ([cell("h = 1", "skip"), cell("if 1:\n  h", "step:a")], [("skipped-name", 2, 2)], "cell 1"),
    "database connection": (
        [cell("import sqlite3 as s\n\nconn = s.connect('x')", "step:a"), cell("conn.execute('')", "step:b")],
        [("cannot-travel", 1, 3)], "`conn` (sqlite3.Connection): a database connection cannot travel to step `b`",
    ),
    "pool, bound by name": (
        [cell("from concurrent.futures import ThreadPoolExecutor as P\np = P(2)", "step:a"), cell("p", "step:b"), cell("p", "step:c")],
        [("cannot-travel", 1, 2)], "a pool of threads",
    ),
    "unknown step": ([cell("x = 1", "step:load"), cell("x", "step:b", "after:laod")], [("unknown-step", 2, None)], "`load`"),
    "after one further down": (
        [cell("x = 1", "step:a", "after:b"), cell("y = 2", "step:b")],
        [("against-the-notebook", 1, None)], "move the cells of `b` up",
    ),
    "cycle of after and a value": (
        [cell("x = 1", "step:a", "after:b"), cell("y = x", "step:b")], [("cycle", 1, None)], "`a` -> `b` -> `a`",
    ),
    "cycle of after": (
        [cell("x = 1", "step:a", "after:c"), cell("y = 2", "step:b", "after:a"), cell("z = 1", "step:c", "after:b")],
        [("cycle", 1, None)], "`a` -> `b` -> `c` -> `a`",
    ),
    "after itself": ([cell("x = 1", "step:a", "after:a")], [("after-itself", 1, None)], "`a`"),
    "options of two cells": (
        [cell("x = 1", "step:a", "retries:1"), cell("x", "retries:2")], [("option", 2, None)], "said twice: 1 and 2 for step `a`",
    ),
    "look-alikes": ([cell("x = 1", "step:cop"), cell("x", "step:сор")], [("look-alike", 2, None)], "looks like"),
    "input": ([cell("x = input()", "step:a")], [("input", 1, 1)], "keyboard"),
    "when": ([cell("x = 1", "step:a", "when:x > 1")], [("when-name", 1, None)], "only the step itself binds"),
    "all at once": (
        [cell("x = =", "step:a"), cell("print(nowhere)", "step:b", "after:z"), cell("y = 1", "step:c", "gpu:???")],
        [("syntax", 1, 1), ("unknown-step", 2, None), ("undefined-name", 2, 1), ("option", 3, None)], "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("cells, wanted, text", ERRORS.values(), ids=ERRORS)
def test_finds_errors(
    checked: Check, cells: Cells, wanted: list[tuple[str, int | None, int | None]], text: str, tmp_path: Path
) -> None:
    """What would fail is an error with its cell and line, all of them at once, and there is no pipeline."""
    found, problems = checked(cells)
    assert found is None
    assert [(p.code, p.place.cell, p.place.line) for p in problems if p.is_error] == wanted
    assert text in " ".join(f"{p.message} {p.hint}" for p in problems)
    assert all(p.place.notebook == str(tmp_path / "nb.ipynb") for p in problems)
    with pytest.raises(ProblemsFound) as caught:
        convert(notebook.read(tmp_path / "nb.ipynb"))
    assert caught.value.problems == problems


WARNINGS: dict[str, tuple[Cells, list[tuple[str, int | None, int | None]]]] = {
    "undefined, no steps": ([cell("print(nowhere)")], [("undefined-name", 1, 1)]),
    "syntax, no steps": ([cell("x = =")], [("syntax", 1, 1)]),
    "skipped name, no steps": ([cell("h = 1", "skip"), cell("h")], [("skipped-name", 2, 1)]),
    "input, no steps": ([cell("x = input()")], [("input", 1, 1)]),
    "undefined in a branch": ([cell("import os\nif os.sep:\n  nowhere", "step:a")], [("undefined-name", 1, 3)]),
    "undefined, caught": ([cell("try:\n  nowhere\nexcept Exception:\n  pass", "step:a")], [("undefined-name", 1, 2)]),
    "similar names": ([cell("x = 1", "step:load"), cell("x", "step:Load")], [("similar-names", 2, None)]),
    "similar names, dashes": ([cell("x = 1", "step:load-it"), cell("x", "step:load_it")], [("similar-names", 2, None)]),
    "near miss": ([cell("x = 1", "step:a"), cell("x", "stpe:b")], [("near-miss", 2, None)]),
    "early use": ([cell("n = 1 # @param\nm = n", "step:a")], [("early-use", 1, 2)]),
}  # fmt: skip


@pytest.mark.parametrize("cells, wanted", WARNINGS.values(), ids=WARNINGS)
def test_warns(checked: Check, cells: Cells, wanted: list[tuple[str, int | None, int | None]]) -> None:
    """What may go well, and what Run All itself would report in a notebook without steps, is a warning."""
    found, problems = checked(cells)
    assert found is not None
    assert [(p.code, p.place.cell, p.place.line) for p in problems] == wanted
    assert not any(p.is_error for p in problems)


FINE: dict[str, Cells] = {
    "may fail": [cell("nowhere + 1", "step:a", "raises-exception"), cell("x = =", "raises-exception")],
    "bound in some branch": [cell("import os\nif os.sep:\n  x = 1", "step:a"), cell("x", "step:b")],
    "bound later, read later": [cell("def f():\n  return k", "step:a"), cell("k = 1"), cell("f()", "step:b")],
    "caught and bound": [cell("try:\n  kept\nexcept NameError:\n  kept = 1", "step:a"), cell("kept", "step:b")],
    "caught": [cell("try:\n  nowhere\nexcept NameError:\n  pass", "step:a")],
    "eval": [cell("exec('x = 1')", "step:a"), cell("x", "step:b")],
    "star, unknown": [cell("from mine import *", "step:a"), cell("thing", "step:b")],
    "star": [cell("from math import *", "step:a"), cell("sqrt(2)", "step:b")],
    "%run": [cell("%run other.py", "step:a"), cell("thing", "step:b")],
    "IPython's names": [cell("display(1)\nget_ipython()\n_ = In, Out", "step:a"), cell("_, __, _1", "step:b")],
    "shell": [cell("files = !ls", "step:a"), cell("files, !ls {files} $HOME $nowhere {else}", "step:b")],
    "unknown magic": [cell("%%ask\nwhat is there to tell", "step:a")],
    "%%writefile": [cell("%%writefile a.py\nprint(nowhere)", "step:a")],
    "top-level await": [cell("import asyncio\nawait asyncio.sleep(0)", "step:a")],
    "deleted in a skipped cell": [cell("x = 1", "step:a"), cell("del x", "skip"), cell("x", "step:b")],
    "bound in skipped and other cells": [cell("x = 1", "step:a"), cell("x = 2", "skip"), cell("x", "step:b")],
    "class": [cell("class A:\n  k = 1\n  j = k\n  def f(self): return super().__init__()", "step:a"), cell("A().f()", "step:b")],
    "match": [cell("match {'k': 1}:\n  case {'k': kk, **rest}: pass", "step:a"), cell("kk, rest", "step:b")],
}  # fmt: skip
FINE["a connection within its step, and closed ones"] = [
    cell(
        "import sqlite3\nfrom concurrent.futures import ThreadPoolExecutor\ndb = sqlite3.connect(':memory:')\ndb.execute('')",
        "step:a",
    ),
    cell(
        "db = 1\nwith ThreadPoolExecutor(2) as pool: pass\nother = sqlite3.connect('x')\nother.close()",
        "step:a",
    ),
    cell("print(db, pool, other)", "step:b"),
]
FINE["shell"] = [cell("files = !ls", "step:a"), cell("files\n!ls {files} $HOME $nowhere {odd}", "step:b")]


@pytest.mark.parametrize("cells", FINE.values(), ids=FINE)
def test_has_nothing_against_what_works(checked: Check, cells: Cells) -> None:
    """Notebooks that run have no problems."""
    found, problems = checked(cells)
    assert problems == ()
    assert found is not None


def test_refuses_other_kernels(checked: Check) -> None:
    """R and Julia are refused by name, once, whatever else is in the notebook."""
    found, problems = checked(
        [cell("x <- 1", "step:a")], kernelspec={"name": "ir"}, language_info={"name": "R"}
    )
    assert found is None
    assert [p.code for p in problems] == ["kernel"]
    assert "`ir` speaks r" in problems[0].message


def test_settings_for_a_step_that_is_nearly_there(checked: Check) -> None:
    """Settings are shared by many notebooks, so only a slip in a step's name is named."""
    given = Settings(steps={"trian": {"retries": 1}, "elsewhere": {"retries": 1}})
    _, problems = checked([cell("x = 1", "step:train")], settings=given)
    assert [(p.code, p.severity, p.hint) for p in problems] == [
        ("settings-step", "warning", "did you mean `train`?")
    ]


# Laws.

MARKS = st.lists(
    st.sampled_from(["step:a", "step:b", "step:c", "block:", "imports", "functions", "skip", "parameters", "setup", "mine", "step:setup"]),
    max_size=2, unique=True,
)  # fmt: skip
SOURCES = st.sampled_from(
    ["x = 1", "x", "y = x", "", "%%step b\nz = 1", "# @param", "n = 1  # @param", "import os", "!ls"]
)
NOTEBOOKS = st.lists(st.builds(lambda source, tags: cell(source, *tags), SOURCES, MARKS) | st.sampled_from(["# A", "## B", "text"]), max_size=8)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
@given(NOTEBOOKS, st.sampled_from([None, "headings", "cells"]))
def test_every_cell_that_runs_is_in_one_step(checked: Check, cells: Cells, split: str | None) -> None:
    """No cell is lost, doubled or moved within its step; numbers rise in notebook order; the model reads itself back."""
    found, problems = checked(cells, split=split)
    if found is None:
        assert any(p.is_error for p in problems)
        return
    placed = [c for step in found.steps for c in step.cells]
    running = {
        number for number, one in enumerate(cells, 1)
        if not isinstance(one, str) and one["source"].strip() and "skip" not in one["metadata"].get("tags", [])
    }  # fmt: skip
    assert running <= {c.position for c in placed}
    assert len(placed) == len({c.position for c in placed})
    assert all(
        [c.position for c in step.cells] == sorted(c.position for c in step.cells) for step in found.steps
    )
    numbered = sorted((c for c in placed if c.count), key=lambda c: c.position)
    assert [c.count for c in numbered] == list(range(1, len(numbered) + 1))
    assert pipeline.load(pipeline.dump(found)) == found


def test_the_same_notebook_gives_the_same_bytes(make_notebook: Callable[..., Path]) -> None:
    """Whatever the seed of the hashes, the JSON of the pipeline is the same."""
    path = make_notebook(
        [
            cell("n = 1\nm = {'b': 1, 'a': 2}", "parameters"),
            cell("a, b, c = n, m, 3", "step:x"),
            cell("print(a, b, c, n, m)", "step:y"),
        ]
    )
    code = (
        "import sys; from nbvertex import convert, notebook, pipeline;"
        "sys.stdout.buffer.write(pipeline.dump(convert.convert(notebook.read(sys.argv[1]))))"
    )
    outputs = {
        subprocess.run([sys.executable, "-c", code, path], env={"PYTHONHASHSEED": seed}, capture_output=True, check=True).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(outputs) == 1


SPY = """
import sys
seen = []
def hook(event, args):
    if event in ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "socket.connect", "os.remove",
                 "os.mkdir", "shutil.rmtree") or (event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")):
        seen.append((event, str(args)))
sys.addaudithook(hook)
from nbvertex import convert, notebook
for split in (None, "cells", "headings"):
    found, problems = convert.check(notebook.read(sys.argv[1]), split=split)
heavy = {"pandas", "numpy", "kfp", "google", "nbformat", "jupytext", "rich", "jinja2", "sqlite3", "fsspec", "yaml", "spied"}
print(seen, sorted(heavy & set(sys.modules)), found is not None)
"""


def test_never_runs_the_code(make_notebook: Callable[..., Path], tmp_path: Path) -> None:
    """Checking starts no process, writes no file, opens no connection and imports nothing that the notebook names."""
    (tmp_path / "spied.py").write_text("raise SystemExit('imported')")
    path = make_notebook(
        [
            cell("import spied, pandas as pd, google, kfp", "imports"),
            cell("!touch made\n%pip install x\nfiles = !ls", "step:a"),
            cell("%%bash\ntouch made", "step:b"),
            cell("%%writefile made\nx", "step:c"),
            cell("open('made', 'w').write('x')\nraise SystemExit(3)\nexec('boom')", "step:d"),
            cell("n = __import__('spied') # @param", "step:e"),
            cell("n = [open('made', 'w')]\nm = 9**9**9**9", "parameters"),
            cell("%load_ext spied\n%run spied.py\nn?", "step:f"),
        ]
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", SPY, path], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[] [] True\n", "")
    assert not (tmp_path / "made").exists()


def chain(count: int) -> Cells:
    """A notebook of so many steps, each reading the one before."""
    return [
        cell("x0 = 1", "step:s0"),
        *(cell(f"x{n} = x{n - 1} + 1\nprint(x{n})", f"step:s{n}") for n in range(1, count)),
    ]


def test_work_grows_with_the_steps(make_notebook: Callable[..., Path]) -> None:
    """Five times as many steps are about five times the work."""

    def work(count: int) -> int:
        read = notebook.read(make_notebook(chain(count), f"{count}.ipynb"))
        return counting.calls(lambda: check(read))

    work(50)  # what is imported on first use
    assert work(1000) < 7 * work(200)


# Real notebooks.


def test_reads_the_whole_corpus(shared: Path) -> None:
    """Real notebooks are read and checked, cut either way, and of their code cells at least 97 % are understood."""
    cells = broken = 0
    for path in sorted((shared / "corpus").rglob("*.ipynb")):
        read = notebook.read(path)
        for split in (None, "headings", "cells"):
            found, problems = check(read, split=split)
            errors = [p for p in problems if p.is_error]
            assert found is not None or errors
            assert not errors or [p.code for p in errors] == ["no-code"], f"{path}: {errors}"
        cells += sum(cell.kind == "code" for cell in read.cells)
        broken += sum(p.code == "syntax" for p in problems)
    assert cells > 4000
    assert broken < 0.03 * cells


def tagged(read: notebook.Notebook) -> tuple[list[str], set[tuple[str, str]]]:
    """Steps and orders, straight from Kale's tags."""
    names: list[str] = []
    orders: set[tuple[str, str]] = set()
    for one in read.cells:
        tags = [] if "skip" in one.tags else one.tags
        step = next(
            (t.split(":")[1] for t in tags if t.split(":")[0] in ("step", "block") and t.split(":")[1]), None
        )
        names += [step] if step and step not in names else []
        orders |= {(t.split(":")[1], step) for t in tags if t.startswith("prev:") and step}
    return names, orders


def test_reads_kales_own_notebooks(shared: Path) -> None:
    """All of Kale's examples convert, with the steps and the orders that their tags say."""
    paths = sorted((shared / "corpus" / "kale").glob("*.ipynb"))
    assert len(paths) == 12
    for path in paths:
        read = notebook.read(path)
        found, problems = check(read)
        assert found is not None, f"{path}: {problems}"
        names, orders = tagged(read)
        assert [step.name for step in found.steps if step.name != "setup"] == (names or ["notebook"]), path
        assert {(after, step.name) for step in found.steps for after in step.options.after} == orders, path
        assert {(a, b) for a, b in orders if _reaches(found, a, b)} == orders, path


def _reaches(found: Pipeline, source: str, target: str) -> bool:
    needs = found.step(target).needs
    return source in needs or any(_reaches(found, source, other) for other in needs)


def test_checks_every_trap(shared: Path, checked: Check) -> None:
    """Every trap of the shared cases is checked without a traceback; the broken ones are named."""
    cases = json.loads((shared / "cases" / "adversarial.json").read_text(encoding="utf-8"))["cases"]
    refused = {}
    for case in cases:
        cells = [cell(one["source"], *one.get("tags", [])) for one in case["cells"]]
        for split in (None, "cells", "headings"):
            found, problems = checked(cells, split=split)
            if found is None and split is None:
                refused[case["name"]] = [p.code for p in problems if p.is_error]
    assert refused["undef"] == ["undefined-name"]
    assert refused["skip_def"] == ["skipped-name"]
    assert refused["syntax_err"] == ["syntax"]
