"""Steps under a condition and over a list, as `check` and `show` see them before anything runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import making
import pytest
from making import cell
from places import ROOT

from nbvertex import convert, notebook, runner
from nbvertex.errors import Problem
from nbvertex.home import Home
from nbvertex.pipeline import Pipeline

Cells = Sequence[str | Mapping[str, Any]]


def checked(folder: Path, cells: Cells, **asked: Any) -> tuple[Pipeline | None, tuple[Problem, ...]]:
    """What `check` finds."""
    return convert.check(notebook.read(making.write(folder / "nb.ipynb", cells)), **asked)


LOAD = cell("accuracy, rates = 0.5, [1]", "step:load")
FOUND: dict[str, tuple[list[Any], list[tuple[str, str, int]]]] = {
    "nothing": ([LOAD, cell("x = 1", "step:a", "when:accuracy > 0")], []),
    "misspelt": ([LOAD, cell("x = 1", "step:a", "when:acuracy > 0")], [("when-name", "error", 2)]),
    "later": ([cell("x = 1", "step:a", "when:y > 0"), cell("y = 1", "step:b")], [("when-name", "error", 1)]),
    "own": ([cell("x = 1", "step:a", "when:x > 0")], [("when-name", "error", 1)]),
    "grammar": ([LOAD, cell("x = 1", "step:a", "when:f(accuracy)")], [("option", "error", 2)]),
    "two": (
        [LOAD, cell("x = 1", "step:a", "when:accuracy > 0"), cell("x", "step:a", "when:accuracy > 1")],
        [("option", "error", 3)],
    ),
    "set-up": ([cell("y = 1", "setup", "when:y > 0"), cell("x = 1", "step:a")], [("setup-mark", "error", 1)]),
    "shadow": ([LOAD, cell("x = 1", "step:a", "each:rates in [1]")], [("each-shadows", "error", 2)]),
    "item of itself": ([LOAD, cell("x", "step:a", "each:x in [1]"), cell("x", "step:b")], []),
    "untaken": (
        [LOAD, cell("x = 1", "step:a", "when:accuracy > 0"), cell("print(x)", "step:b")],
        [("maybe-unbound", "warning", 3)],
    ),
    "the same condition": (
        [LOAD, cell("x = 1", "step:a", "when:accuracy > 0"), cell("x", "step:b", "when:accuracy>0 and accuracy < 9")],
        [],
    ),
    "bound before": (
        [LOAD, cell("x = 0", "step:z"), cell("x = 1", "step:a", "when:accuracy > 0"), cell("print(x)", "step:b")],
        [],
    ),
    "bound by itself": (
        [LOAD, cell("x = 1", "step:a", "when:accuracy > 0"), cell("x = 2\nprint(x)", "step:b")],
        [],
    ),
    "changes a copy": ([LOAD, cell("rates.append(n)", "step:a", "each:n in [1]")], [("each-changes", "warning", 2)]),
    "folder": (
        [cell("import os", "step:z"), cell("os.chdir('..')", "step:a", "each:n in [1]")],
        [("each-state", "warning", 2)],
    ),
    "shell names": ([cell("n", "step:a", "each:_ in [1]")], [("option", "error", 1), ("undefined-name", "error", 1)]),
}  # fmt: skip


@pytest.mark.parametrize("cells, wanted", FOUND.values(), ids=FOUND)
def test_finds(cells: Cells, wanted: list[tuple[str, str, int]], tmp_path: Path) -> None:
    """Every problem with its cell, and a mend."""
    _, problems = checked(tmp_path, cells)
    assert [(p.code, p.severity, p.place.cell) for p in problems] == wanted
    assert all(problem.hint for problem in problems)


@pytest.mark.parametrize("split", ["headings", "cells"])
def test_marks_go_with_their_steps(split: str, tmp_path: Path) -> None:
    """A notebook that is cut otherwise has no steps that they could belong to."""
    cells = [LOAD, cell("x = 1", "step:a", "when:accuracy > 0", "each:n in [1]")]
    pipeline, problems = checked(tmp_path, cells, split=split)
    assert pipeline is None
    assert [(p.code, p.place.cell) for p in problems if p.is_error] == [("split-mark", 2), ("split-mark", 2)]


def test_what_marks_read_flows(tmp_path: Path) -> None:
    """To the step, with the mark as the line that made it so; what the step may bind flows on, beside what was there."""
    cells = [
        LOAD,
        cell("x = 1", "step:first"),
        cell("x = 2", "step:a", "when:accuracy > 0"),
        cell("y = n", "step:b", "each:n in rates"),
        cell("print(x, y, n)", "step:c"),
    ]
    pipeline, problems = checked(tmp_path, cells)
    assert pipeline is not None, problems
    found = {(flow.source, flow.target): flow for flow in pipeline.flows}
    assert {pair: flow.names for pair, flow in found.items() if flow.kind == "value"} == {
        ("load", "a"): ("accuracy",),
        ("load", "b"): ("rates",),
        ("first", "c"): ("x",),
        ("a", "c"): ("x",),
        ("b", "c"): ("n", "y"),
    }
    assert found["load", "a"].read[0].text == "when: accuracy > 0"
    assert found["load", "b"].read[0].text == "each: n in rates"
    assert "x" in pipeline.step("first").live
    assert pipeline.step("a").facts.reads == ()
    assert pipeline.step("b").options.each.gathers == ("n", "y")  # type: ignore[union-attr]


def test_the_page_says_what_happens(tmp_path: Path) -> None:
    """The example of docs/conditions.md, run."""
    page = (ROOT / "docs" / "conditions.md").read_text(encoding="utf-8")
    source, said = (re.findall(rf"```{kind}\n(.*?)```", page, re.DOTALL)[0] for kind in ("python", "text"))
    path = tmp_path / "nb.py"
    path.write_text(source, encoding="utf-8")
    pipeline, problems = convert.check(notebook.read(path))
    assert pipeline is not None, problems
    result = runner.run(pipeline, home=Home(tmp_path / "home"), notebook=path, cwd=tmp_path)
    printed = [
        output["text"]
        for step in ("choose", "deploy", "complain")
        for one in result.steps[step].cells.values()
        for output in one.outputs
    ]
    assert "".join(printed) == said
    assert f"skipped: {result.steps['complain'].why}" in page
