"""What is in a pickle, told without making anything of it."""

from __future__ import annotations

import collections
import datetime as dt
import io
import pickle
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from nbvertex import pickles


def dumped(value: Any) -> bytes:
    """As joblib writes it."""
    file = io.BytesIO()
    joblib.dump(value, file)
    return file.getvalue()


class Bomb:
    """What would go off if it were unpickled."""

    def __reduce__(self) -> Any:
        return pytest.fail, ("the pickle was loaded",)


def forest() -> RandomForestClassifier:
    data = np.arange(40.0).reshape(20, 2)
    return RandomForestClassifier(3, random_state=0).fit(data, np.arange(20) % 2)


VALUES: dict[str, Any] = {
    "plain": [1, "a", {"b": (2.5, None)}, {1, 2}, b"x"],
    "a frame": pd.DataFrame({"a": ["x", "x"], "b": [1, 2]}),
    "objects": [collections.Counter("aab"), dt.date(2024, 1, 1), collections.deque([1])],
    "a model": forest(),
}


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_has_travelled_is_told_the_same(name: str, protocol: int) -> None:
    """Its pickle has other bytes where texts are shared no more."""
    value = VALUES[name]
    again = pickle.loads(pickle.dumps(value))
    one, two = pickle.dumps(value, protocol), pickle.dumps(again, protocol)
    assert pickles.shape(one) == pickles.shape(two) is not None


@pytest.mark.parametrize("name", VALUES)
def test_so_is_one_that_joblib_wrote(name: str) -> None:
    """Arrays lie between the parts of its pickle."""
    again = pickle.loads(pickle.dumps(VALUES[name]))
    assert pickles.shape(dumped(VALUES[name])) == pickles.shape(dumped(again)) is not None


def test_a_difference_is_seen() -> None:
    """In a value, in an array beside it, in what an object is."""
    array = np.arange(1000.0)
    assert pickles.shape(pickle.dumps([1])) != pickles.shape(pickle.dumps([2]))
    assert pickles.shape(dumped([array])) != pickles.shape(dumped([array + 1]))
    assert pickles.shape(pickle.dumps(collections.Counter("a"))) != pickles.shape(pickle.dumps({"a": 1}))


def test_nothing_is_called() -> None:
    """A pickle is data from who knows where."""
    assert pickles.shape(pickle.dumps(Bomb())) is not None


def test_what_holds_itself_has_an_end() -> None:
    """A list that is in itself."""
    knot: list[Any] = [1]
    knot.append(knot)
    assert pickles.shape(pickle.dumps(knot)) == pickles.shape(pickle.dumps(knot)) is not None


@pytest.mark.parametrize("data", [b"", b"text", b"\x80\x05abc", pickle.dumps([1])[:-1]])
def test_what_is_no_pickle_is_none(data: bytes) -> None:
    """It is compared by its bytes."""
    assert pickles.shape(data) is None
