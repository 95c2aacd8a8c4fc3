"""Filters and orders of list calls, on plain dictionaries."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.emulator.filters import Filter, ordered
from nbvertex.emulator.problem import ApiError

JOB = {
    "display_name": "train model",
    "state": "RUNNING",
    "labels": {"team": "ml", "a.b": "dotted"},
    "count": 3,
    "ratio": 0.5,
    "done": True,
    "tags": ["x", "y"],
    "empty": "",
    "zero": 0,
    "spec": {"image": "python:3.11"},
    "name": "projects/123/locations/l/jobs/9",
}


def known(text: str) -> str:
    return text.replace("projects/p/", "projects/123/")


@pytest.mark.parametrize(
    "said, found",
    [
        ("", True),
        ('display_name="train model"', True),
        ("display_name='train model'", True),
        ('display_name = "train"', False),
        ('display_name="train*"', True),
        ('display_name="*mod*"', True),
        ('display_name!="train*"', False),
        ('display_name:"MODEL"', True),
        ('NOT display_name:"model"', False),
        ('-display_name:"model"', False),
        ("state=RUNNING", True),
        ("state=RUNNING AND count>2", True),
        ("state=RUNNING count>3", False),
        ("state=PAUSED OR count>=3", True),
        ("(state=PAUSED OR count<3) AND done=true", False),
        # OR binds tighter than AND, as AIP-160 has it.
        ("done=false AND state=RUNNING OR state=PAUSED", False),
        ("count<4", True),
        ("count!=3", False),
        ("ratio>0.4", True),
        ("ratio>abc", False),
        ("done=true", True),
        ("done=false", False),
        ("labels.team=ml", True),
        ('labels."a.b"=dotted', True),
        ("labels:team", True),
        ("labels:nothing", False),
        ("labels.nothing:*", False),
        ("labels.nothing!=ml", True),
        ("labels.team:*", True),
        ("empty:*", False),
        ("nothing:*", False),
        ("zero:*", False),
        ("count:*", True),
        ("labels:*", True),
        ("tags:x", True),
        ("tags=z", False),
        ('tags:("z" OR "y")', True),
        ('spec.image="python:3.11"', True),
        ("spec.image=python*", True),
        ('name="projects/p/locations/l/jobs/9"', True),
        ('team_of("ml")', True),
        ('team_of("web", "ml") AND done=true', True),
        ('NOT team_of("web")', True),
    ],
)
def test_a_filter_finds(said: str, found: bool) -> None:
    """What the documentation of list calls shows."""
    functions = {"team_of": lambda teams, job: job["labels"]["team"] in teams}
    assert Filter(said, functions=functions, same=known)(JOB) is found


@pytest.mark.parametrize(
    "said",
    [
        "=",
        "a=",
        "(a=1",
        "a=1)",
        "AND",
        "a=1 OR",
        "none_of('x')",
        'a="open',
        "NOT",
        "a=(b OR",
        "a == 1",
        "f(x",
    ],
)
def test_what_is_no_filter_is_refused(said: str) -> None:
    """As an invalid argument, whatever it is about."""
    with pytest.raises(ApiError, match="INVALID_ARGUMENT"):
        Filter(said)({"a": "1"})


@given(st.text(max_size=30))
def test_any_text_is_a_filter_or_refused(said: str) -> None:
    """It never breaks."""
    try:
        Filter(said)
    except ApiError as error:
        assert error.status == "INVALID_ARGUMENT"


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_quoted_text_equals_itself_only(one: str, other: str) -> None:
    """Whatever is in it, quotes and backslashes too; a star alone stands for more."""
    quoted = other.replace("\\", "\\\\").replace('"', '\\"')
    if "*" not in other:
        lines = [line for line in f'a="{quoted}"'.splitlines() if not line.lstrip().startswith("--")]
        if "\n".join(lines) == f'a="{quoted}"':
            assert Filter(f'a="{quoted}"')({"a": one}) is (one == other)


@pytest.mark.parametrize(
    "order, wanted",
    [
        ("", [1, 2, 3]),
        ("name", [2, 3, 1]),
        ("name desc", [1, 2, 3]),
        ("size asc, name", [2, 1, 3]),
        ("size desc,name", [3, 1, 2]),
    ],
)
def test_an_order_is_kept(order: str, wanted: list[int]) -> None:
    """Several fields, either way; what has no value comes first, equal ones stay as they were."""
    found: list[Any] = [
        {"id": 1, "name": "c", "size": 5},
        {"id": 2, "name": "b"},
        {"id": 3, "name": "b", "size": 9},
    ]
    assert [one["id"] for one in ordered(found, order)] == wanted


def test_a_wrong_order_is_refused() -> None:
    """A direction that is none."""
    with pytest.raises(ApiError, match="sideways"):
        ordered([{"a": 1}], "a sideways")
