"""Why two runs differ: chance, a name that arrives otherwise, or state that no name shows."""

from __future__ import annotations

import json
from typing import Any

import making
import pytest
from making import cell

from nbvertex import blame, convert, notebook
from nbvertex.blame import Again, Cause
from nbvertex.pipeline import Pipeline
from nbvertex.sides import Side, Told
from nbvertex.verify import Compared, Difference

ONE: Told = ("int", "d1", "1")
TWO: Told = ("int", "d2", "2")
TEXT: Told = ("str", "d3", "'1'")


def pipeline(*sources: str) -> Pipeline:
    """A notebook with a step for each cell."""
    document = making.document([cell(s, f"step:s{number}") for number, s in enumerate(sources, 1)])
    return convert.convert(notebook.parse("nb.ipynb", json.dumps(document)))


def shows(position: int) -> Difference:
    return Difference("output", f"what cell {position} shows", "1", "2", position=position)


def cause(
    model: Pipeline,
    difference: Difference,
    position: int,
    *,
    apart: tuple[Difference, ...] = (),
    **looked: Any,
) -> Cause:
    """The cause; ``straight`` and ``steps`` are what the names held before the cell."""
    again = Again(
        Side(before=looked.get("straight", {})),
        Side(before=looked.get("steps", {})),
        Compared(apart, cells=0, outputs=0, values=0, files=0),
    )
    return blame.find(model, difference, position, again)


NAMES: dict[str, tuple[dict[str, Told], dict[str, Told], str, str]] = {
    "another value": ({"x": ONE}, {"x": TWO}, "x", "`x` arrives with another value"),
    "another type": ({"x": ONE}, {"x": TEXT}, "x", "`x` arrives as another type"),
    "it is missing": ({"x": ONE}, {}, "x", "`x` does not reach the step"),
    "it should be gone": ({}, {"x": ONE}, "x",
                          "`x` is bound in the step, though it is not any more when the notebook runs straight"),
    "behind a function": ({"x": ONE, "hidden": ONE}, {"x": ONE, "hidden": TWO}, "hidden", "`hidden` arrives with another value"),
}  # fmt: skip


@pytest.mark.parametrize("case", NAMES)
def test_the_name_that_carried_it_is_found(case: str) -> None:
    """With what it held on both sides."""
    straight, steps, name, said = NAMES[case]
    found = cause(pipeline("x = 1", "print(x)"), shows(2), 2, straight=straight, steps=steps)
    assert (found.name, found.said, found.cell, found.by_itself) == (name, said, 2, False)
    assert found.straight != found.steps


CHANCE: dict[str, tuple[tuple[str, ...], str, str]] = {
    "the clock": (("import time\nt = time.time()", "print(t)"), "cell 1 reads the clock", "tag cell 1 `varies`"),
    "chance": (("import random\nr = random.random()", "s = r + 1", "print(s)"), "cell 1 draws at random without a seed",
               "seed the generator, or tag cell 1 `varies`"),
    "here": (("x = 1", "import time\nprint(time.time(), x)"), "cell 2 reads the clock", "tag cell 2 `varies`"),
    "who knows": (("x = 1", "print(x)"), "it differs from run to run", "tag cell 2 `varies`"),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANCE)
def test_a_notebook_that_varies_by_itself_is_told_so(case: str) -> None:
    """Two straight runs differ in the same place; the cell that brings it in is named."""
    sources, said, hint = CHANCE[case]
    first = shows(len(sources))
    found = cause(pipeline(*sources), first, len(sources), apart=(first,))
    assert found.said == f"two straight runs differ there as well: {said}"
    assert (found.hint, found.by_itself) == (hint, True)


def test_memory_as_it_happens_to_be() -> None:
    """It is alike in two straight runs, by chance."""
    found = cause(pipeline("import numpy as np\nnp.empty(3)"), shows(1), 1)
    assert found.by_itself
    assert "without setting it" in found.said


def test_state_outside_the_names() -> None:
    """Where no name differs, what the cell uses beside names is told."""
    found = cause(pipeline("import os\nos.chdir('..')", "import os\nprint(os.getcwd())"), shows(2), 2)
    assert found.said.startswith(
        "no name that it reads differs; it uses state outside the names: the working folder"
    )


@pytest.mark.parametrize(
    "difference, expected",
    [
        (shows(2), 2),
        (Difference("value", "", "", "", name="x"), 3),
        (Difference("value", "", "", "", name="nobody"), 0),
        (Difference("file", "", "", "", name="out/a.txt"), 2),
        (Difference("file", "", "", "", name="out"), 2),
        (Difference("file", "", "", "", name="other"), 0),
        (Difference("failure", "", "", ""), 0),
    ],
)
def test_the_cell_behind_a_difference(difference: Difference, expected: int) -> None:
    """The one that shows it, bound it last, or wrote it."""
    model = pipeline("x = [1]", "open('out/a.txt', 'w')", "x.append(2)", "print(x)")
    assert blame.cell_of(model, difference, {"out/a.txt": 2}) == expected
