"""What a cell tagged `varies` takes with it, and what it does not."""

from __future__ import annotations

import json
from collections.abc import Sequence

import making
import pytest
from making import cell

from nbvertex import aside, convert, notebook
from nbvertex.aside import Aside


def found(cells: Sequence[tuple[str, ...]]) -> Aside:
    """What is set aside in a notebook of these cells: a source and its tags each."""
    document = making.document([cell(*one) for one in cells])
    return aside.find(convert.convert(notebook.parse("nb.ipynb", json.dumps(document))))


CASES: dict[str, tuple[list[tuple[str, ...]], set[int], set[str]]] = {
    "nothing varies": ([("x = 1",), ("print(x)",)], set(), set()),
    "what it binds": ([("import time", "setup"), ("t = time.time()", "varies"), ("print(t)",), ("print(1)",)], {2, 3}, {"t"}),
    "what that leads to": ([("import time", "setup"), ("t = time.time()", "varies"), ("u = t + 1",), ("print(u)",)],
                           {2, 3, 4}, {"t", "u"}),
    "what it imports": ([("import time\nt = time.time()", "varies"), ("time.sleep(0)",)], {1}, {"t"}),
    "what it changes": ([("a = []",), ("import time\na.append(time.time())", "varies"), ("print(a)",)], {2, 3}, {"a"}),
    "bound anew": ([("import time\nt = time.time()", "varies"), ("t = 1",), ("print(t)",)], {1}, set()),
    "through a function": ([("import time\nt = time.time()", "varies"), ("def f():\n    return t",), ("print(f())",)],
                           {1, 2, 3}, {"t", "f"}),
    "through a file": ([("import os", "setup"), ("open('a.txt', 'w').write(str(os.getpid()))", "varies"),
                        ("print(open('a.txt').read())",)], {2, 3}, set()),
    "chance": ([("import random", "setup"), ("print(random.random())", "varies"), ("print(random.random())",)], {2, 3}, set()),
    "a seed": ([("import random", "setup"), ("print(random.random())", "varies"), ("random.seed(1)",),
                ("print(random.random())",)], {2}, set()),
    "only looked at": ([("x = 1",), ("print(x)", "varies"), ("print(x)",)], {2}, set()),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_what_depends_on_a_varying_cell_is_set_aside(case: str) -> None:
    """No more than that, so that a mark does not blind the comparison."""
    cells, positions, names = CASES[case]
    told = found(cells)
    assert set(told.cells) == positions
    assert set(told.names) == names


def test_the_reason_names_what_it_came_through() -> None:
    """So that a reader sees why a cell was not compared."""
    told = found([("import time\nt = time.time()", "varies"), ("print(t)",)])
    assert told.cells == {1: "varies", 2: "depends on `t` of cell 1"}
