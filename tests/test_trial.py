"""One step by itself, on values that the test hands to it, in a process of its own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import making
import numpy as np
import pandas as pd
import pytest
from making import cell

from nbvertex import convert, notebook
from nbvertex.errors import Refused, StepFailed, UsageError
from nbvertex.trial import Bench, Tried

CELLS = [
    cell("import math\nimport threading", "setup"),
    cell("n = 3", "parameters"),
    cell("doubled = n * 2", "setup"),
    cell("raw = open('nothing.csv').read()", "step:load"),
    cell("RATE = 0.5\nclass Model:\n    def __init__(self, data):\n        self.data = data\n    def size(self):\n        return rate(self)"),
    cell("def rate(model):\n    return len(model.data) * RATE", "step:load"),
    cell(
        "model = Model(raw)\nlock = threading.Lock()\nsame = raw\ngenerator = (i for i in raw)\nnext(generator, None)\n"
        "print('n', n, doubled)\nopen('left.txt', 'w').write('x');",
        "step:train",
    ),
    cell("size = model.size()\nsize", "step:train"),
    cell("k = 1", "parameters", "step:later"),
    cell("kk = k + 1", "step:later"),
    cell("def f(v):\n    return 1 / v\n\nf(0)", "step:fail"),
    cell("import os\nos._exit(3)", "step:die"),
    cell("other = model", "step:miss"),
]  # fmt: skip


class Fake:
    """Stands for a frame in a test."""

    def __init__(self, *items: int) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[int]:
        return iter(self.items)


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Processes for all tests here."""
    read = notebook.parse("nb.ipynb", json.dumps(making.document(CELLS)))
    made = Bench(convert.convert(read), "nb.ipynb")
    yield made
    made.close()


@pytest.fixture
def run(bench: Bench, tmp_path: Path) -> Callable[..., Tried]:
    """Run a step in an empty folder."""
    for name in ("work", "values"):
        (tmp_path / name).mkdir()

    def call(step: str, **given: Any) -> Tried:
        return bench.run(step, given, cwd=tmp_path / "work", scratch=tmp_path / "values")

    return call


def test_a_step_runs_on_the_tests_values(run: Callable[..., Tried]) -> None:
    """The set-up and the definitions above run before it; the step that reads a file does not."""
    result = run("train", raw=[1, 2, 3])
    assert (result["size"], result["n"], result["doubled"]) == (1.5, 3, 6)
    assert result.text == "n 3 6\n1.5"
    assert [output["output_type"] for output in result.outputs] == ["stream", "execute_result"]
    assert (result.folder / "left.txt").read_text() == "x"


def test_what_is_shared_and_defined_comes_back_so(run: Callable[..., Tried]) -> None:
    """Identity, classes of the notebook, and functions that read its names."""
    result = run("train", raw=[1, 2])
    assert result["same"] is result["raw"] is result["model"].data
    assert isinstance(result["model"], result["Model"])
    assert result["model"].size() == 1.0


@pytest.mark.parametrize(
    "value", [Fake(1, 2), np.arange(100_000), pd.DataFrame({"a": [1, None]}), {"k": {1, 2}}]
)
def test_values_of_any_kind_go_in_and_come_out(run: Callable[..., Tried], value: Any) -> None:
    """The test's own classes are the same classes afterwards."""
    found = run("train", raw=value)["raw"]
    assert type(found) is type(value)
    assert len(found) == len(value)
    if isinstance(value, np.ndarray | pd.DataFrame):
        assert found.equals(value) if isinstance(value, pd.DataFrame) else (found == value).all()


@pytest.mark.parametrize(
    "step, given, expected",
    [
        ("train", {"raw": [], "n": 5}, {"n": 5, "doubled": 10}),
        ("train", {"raw": [], "doubled": 7}, {"n": 3, "doubled": 7}),
        ("later", {"k": 5}, {"kk": 6}),
        ("later", {}, {"kk": 2}),
    ],
)
def test_parameters_are_set_where_they_are_declared(
    run: Callable[..., Tried], step: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    """So what the cells after it derive of them follows, as with ``-p``."""
    result = run(step, **given)
    assert {name: result[name] for name in expected} == expected


def test_what_cannot_leave_the_step_is_missing_alone(run: Callable[..., Tried]) -> None:
    """Everything else is there; asking for it says why."""
    result = run("train", raw=[1])
    assert "generator" in result
    assert "size" in result
    with pytest.raises(Refused, match="`generator` cannot leave the step: a generator"):
        result["generator"]
    with pytest.raises(KeyError, match="the step leaves no 'sise'; did you mean 'size'"):
        result["sise"]


def test_a_failure_names_cell_and_line(run: Callable[..., Tried]) -> None:
    """And carries the notebook's own traceback."""
    with pytest.raises(StepFailed) as caught:
        run("fail")
    assert str(caught.value) == "nb.ipynb, cell 11 [step fail], line 2: ZeroDivisionError: division by zero"
    (note,) = caught.value.__notes__
    assert "Cell In[11], line 4" in note
    assert "\x1b" not in note


def test_a_value_that_nobody_gave(run: Callable[..., Tried]) -> None:
    """The step that would bind it is named."""
    with pytest.raises(StepFailed) as caught:
        run("miss")
    assert caught.value.hint == "cell 7 [step train] binds it: hand it over, run(model=...)"


def test_a_process_that_ends_takes_no_other_with_it(run: Callable[..., Tried]) -> None:
    """The next step runs."""
    with pytest.raises(StepFailed, match="exit code 3"):
        run("die")
    assert run("later")["kk"] == 2


@pytest.mark.parametrize(
    "step, given, expected",
    [
        ("trian", {}, "nb.ipynb has no step 'trian'"),
        ("train", {"raw": lambda: 1}, r"`raw` \(function\) cannot be handed to a step"),
        ("train", {"a b": 1}, "'a b' is no name"),
    ],
)
def test_what_cannot_be_run_is_said_before(
    run: Callable[..., Tried], step: str, given: dict[str, Any], expected: str
) -> None:
    """A step that is not there, a value that no other process can have."""
    with pytest.raises(UsageError, match=expected):
        run(step, **given)


def test_this_process_is_left_alone(run: Callable[..., Tried]) -> None:
    """Its folder and its environment are not the step's."""
    before = os.getcwd(), dict(os.environ)
    run("train", raw=[1])["model"].size()
    assert (os.getcwd(), dict(os.environ)) == before
