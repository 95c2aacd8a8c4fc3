"""Digests of values: equal where a program could see no difference, whatever the process."""

from __future__ import annotations

import copy
import datetime as dt
import io
import json
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from nbvertex.runtime import survey

SOURCE = """\
import collections, dataclasses, datetime, decimal, enum, fractions, functools, pathlib, random, re, uuid
import numpy as np
import pandas as pd

class Plain:
    kind = "plain"
    def __init__(self, n):
        self.n = n
    def size(self):
        return self.n

@dataclasses.dataclass
class Data:
    a: int
    b: list

class Slotted:
    __slots__ = ("a",)
    def __init__(self):
        self.a = 1

class Colour(enum.Enum):
    RED = 1

def adder(n):
    def add(x, y=[2]):
        return x + n
    return add

rows = [[0]] * 3
knot = []
knot.append(knot)
values = {
    "atoms": [None, True, 1, 2.5, float("nan"), 1j, "x", b"y", 10**40],
    "containers": {"a": [1, (2, {3})], "b": frozenset("ab"), ("c",): {}},
    "shared": rows,
    "a knot": knot,
    "classes": [Plain, Data, Slotted, Colour.RED],
    "objects": [Plain(1), Data(1, [2]), Slotted()],
    "functions": [adder(1), lambda x: x, Plain(2).size, functools.partial(adder, 1), len],
    "texts of time": [datetime.date(2024, 1, 1), decimal.Decimal("1.10"), fractions.Fraction(1, 3), re.compile("a", re.I)],
    "collections": [collections.Counter("aab"), collections.deque([1], 3), collections.OrderedDict(a=1)],
    "paths": [pathlib.Path("a/b"), uuid.UUID(int=1), range(3), slice(1)],
    "errors": [ValueError("x", 1)],
    "chance": [random.Random(1), np.random.default_rng(1), np.random.RandomState(1)],
    "arrays": [np.eye(2), np.array(["a", None], object), np.ma.array([1, 2], mask=[0, 1]), np.float32(1.5),
               np.array([(1, 2.0)], dtype=[("a", "i1"), ("b", "f8")])],
    "frames": [pd.DataFrame({"a": [1, None], "b": ["x", None], "c": pd.Categorical(["u", "v"])}),
               pd.Series([1, 2], name="s"), pd.date_range("2024", periods=2), pd.MultiIndex.from_tuples([(1, "a")]), pd.NA],
}
"""


def namespace() -> dict[str, Any]:
    made: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SOURCE, "cell", "exec"), made)
    return made


VALUES = namespace()["values"]


@pytest.mark.parametrize("name", VALUES)
def test_a_value_made_again_is_told_the_same(name: str) -> None:
    """Nothing of it depends on where it lies in memory."""
    one, two = (survey.digest(namespace()["values"][name]) for _ in range(2))
    assert one == two != ""


def test_another_process_tells_the_same() -> None:
    """The seed of hashes is another one there."""
    tell = "from nbvertex.runtime import survey; import json, sys\n" + SOURCE
    tell += "print(json.dumps({name: survey.digest(value) for name, value in values.items()}))"
    told = [
        json.loads(
            subprocess.run(
                [sys.executable, "-c", tell],
                capture_output=True, text=True, check=True, env={**os.environ, "PYTHONHASHSEED": seed},
            ).stdout
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    assert told[0] == told[1]


CHANGES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "a value": lambda: ([1], [2]),
    "a type": lambda: ([1], [1.0]),
    "the order of a dict": lambda: ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "what is shared": lambda: ([[0]] * 2, [[0], [0]]),
    "a cell of an array": lambda: (np.zeros(3), np.array([0, 0, 1.0])),
    "an array's type": lambda: (np.zeros(3), np.zeros(3, "f4")),
    "an index": lambda: (pd.Series([1], index=[0]), pd.Series([1], index=[1])),
    "a column's name": lambda: (pd.DataFrame({"a": [1]}), pd.DataFrame({"b": [1]})),
    "a column's type": lambda: (pd.DataFrame({"a": [1]}), pd.DataFrame({"a": ["1"]})),
    "a default": lambda: tuple(eval(f"lambda x={n}: x", {"__name__": "__main__"}) for n in (1, 2)),  # type: ignore[return-value]
    "code": lambda: tuple(eval(f"lambda x: x + {n}", {"__name__": "__main__"}) for n in (1, 2)),  # type: ignore[return-value]
    "a date": lambda: (dt.date(2024, 1, 1), dt.date(2024, 1, 2)),
    "a long list": lambda: (list(range(5000)), [*range(4999), 0]),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_difference_that_a_program_could_see_is_told(case: str) -> None:
    """In what it is, what it holds, in which order, and what it shares."""
    one, two = CHANGES[case]()
    assert survey.digest(one) != survey.digest(two)


def test_addresses_and_made_up_names_are_not_told() -> None:
    """A text that holds one is no difference."""
    first, second = object(), object()
    assert survey.digest(f"at {first!r}") == survey.digest(f"at {second!r}")
    assert survey.digest("/t/tmpabcd1234/x") == survey.digest("/t/tmp1234abcd/x")


@pytest.mark.parametrize("value", [threading.Lock(), iter(()), (x for x in ()), sys.stdout])
def test_what_cannot_be_looked_into_has_no_digest(value: Any) -> None:
    """Only its type is told; within something it is passed over."""
    assert survey.survey({"v": value}, {})["v"][1] in ("", survey.digest(value))
    assert survey.digest([value]) != ""


@pytest.mark.parametrize("items", [[1], (1,), "a"])
def test_an_iterator_at_its_end_is_told_the_same(items: Any) -> None:
    """Whether it has come there or was made there."""
    spent = iter(items)
    assert list(spent)
    assert survey.digest(spent) == survey.digest(copy.copy(spent)) != survey.digest(iter(items))


def test_a_stream_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel's standard output is of another type than a step's; a handler that writes to it is the same."""
    told = []
    for stream in (io.StringIO(), io.TextIOWrapper(io.BytesIO())):
        monkeypatch.setattr(sys, "stdout", stream)
        handler = logging.StreamHandler(sys.stdout)
        told.append((survey.type_name(stream), survey.digest(stream), survey.digest(handler)))
    assert told[0] == told[1]
    assert told[0][0] == "sys.stdout"
    assert all(told[0])


def test_names_that_share_an_object_are_told() -> None:
    """Whoever changes it by one name changes the other."""
    a = [1]
    array = np.arange(4)
    names = {
        "a": a,
        "b": a,
        "c": {"in": (a,)},
        "d": [1],
        "e": array,
        "f": array[1:],
        "n": 5,
        "m": 5,
        "t": (),
        "u": (),
    }
    _, shared = survey.told_and_shared(names, {})
    assert shared == {"a": ["b", "c"], "b": ["a", "c"], "c": ["a", "b"], "e": ["f"], "f": ["e"]}


def test_what_ipython_has_put_there_is_not_told() -> None:
    """Though it was put there once more, as `%run -i` does; a name of the notebook's own is."""
    from IPython.core.autocall import ZMQExitAutocall

    assert list(survey.survey({"exit": ZMQExitAutocall(), "quit": 5}, {})) == ["quit"]


def test_looking_changes_nothing() -> None:
    """Not the value, not its pickle."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    generator = np.random.default_rng(1)
    before = pickle.dumps([frame, generator])
    kept = copy.deepcopy(frame)
    survey.survey({"frame": frame, "generator": generator}, {})
    assert pickle.dumps([frame, generator]) == before
    pd.testing.assert_frame_equal(frame, kept)


def test_only_the_users_names_are_told() -> None:
    """Not what IPython keeps, nor what it put there, unless the user has bound it anew."""
    hidden = {"get_ipython": 1, "display": 2}
    names = {
        "x": 1,
        "_": 2,
        "_3": 3,
        "_i3": 4,
        "In": [],
        "Out": {},
        "__name__": "n",
        "_mine": 5,
        **hidden,
        "display": 9,
    }
    assert set(survey.survey(names, hidden)) == {"x", "_mine", "display"}


def test_a_value_is_shown_in_one_line() -> None:
    """Plain ones as they are, large ones by their shape, others not at all."""
    shown = {name: text for name, (_, _, text) in survey.survey(
        {"n": 1, "l": [1, "a"], "f": pd.DataFrame({"a": [1], "b": [2]}), "a": np.zeros((2, 3)), "d": dt.date(2024, 1, 1),
         "o": object()}, {}).items()}  # fmt: skip
    assert shown == {
        "n": "1",
        "l": "[1, 'a']",
        "f": "1 x 2: a, b",
        "a": "2 x 3 float64: 0.0, 0.0, 0.0, ...",
        "d": "2024-01-01",
        "o": "",
    }


def test_a_value_of_any_size_takes_little_time() -> None:
    """Beyond a bound it is only counted."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert survey.digest(deep) != ""
    assert survey.digest([[n] for n in range(survey.MOST)]) != ""


def test_it_imports_nothing_beside_it() -> None:
    """It is sent to kernels as text."""
    source = Path(survey.__file__).read_text(encoding="utf-8")
    scope: dict[str, Any] = {"__name__": "survey"}
    exec(compile(source, "survey", "exec"), scope)
    assert scope["survey"]({"x": 1}, {})["x"][0] == "int"
