"""What is refused before anything of a pipeline runs."""

from __future__ import annotations

from typing import Any

import pytest
from ir import component, group, pipeline, task

from nbvertex.emulator.compiled import parse
from nbvertex.emulator.parameters import run_parameters
from nbvertex.emulator.spec import Constant, InvalidSpec, whole_numbers

STEP = component()


@pytest.mark.parametrize(
    "document,said",
    [
        ({}, "no root"),
        ({"root": {"dag": {}}, "components": {"c": {"executorLabel": "x"}}}, "neither a dag nor an executor"),
        (pipeline({"a": task("other")}, step=STEP), "'other', which is not there"),
        (pipeline({"a": task("step", after=("b",))}, step=STEP), "waits for 'b'"),
        (pipeline({"a": task("step", after=("b",)), "b": task("step", after=("a",))}, step=STEP), "wait for one another"),
        (pipeline({"a": task("step")}, step={**STEP, "container": {"command": ["x"]}}), "has no image"),
        (pipeline({"a": task("group")}, group=group({"b": task("nothing")}), step=STEP), "'nothing', which is not there"),
    ],
)  # fmt: skip
def test_what_is_no_pipeline(document: Any, said: str) -> None:
    """The message says where and why."""
    with pytest.raises(InvalidSpec, match=said):
        parse(document)


INPUTS = {
    "i": "NUMBER_INTEGER",
    "f": {"parameterType": "NUMBER_DOUBLE", "defaultValue": 1.0},
    "s": {"parameterType": "STRING", "isOptional": True},
    "w": {"parameterType": "STRING", "literals": ["a", "b"], "defaultValue": "a"},
}


@pytest.mark.parametrize(
    "given,wanted",
    [
        ({"i": 3.0}, {"i": 3, "f": 1.0, "w": "a"}),
        ({"i": 3, "f": 2, "s": "", "w": "b"}, {"i": 3, "f": 2.0, "s": "", "w": "b"}),
        ({}, "'i' is required"),
        ({"i": 3, "z": 1}, "'z' is not defined"),
        ({"i": "many"}, "is no NUMBER_INTEGER"),
        ({"i": True}, "is no NUMBER_INTEGER"),
        ({"i": 2.5}, "is no NUMBER_INTEGER"),
        ({"i": 1, "s": 5}, "must be a STRING"),
        ({"i": 1, "w": "c"}, "none of: a, b"),
    ],
)
def test_what_a_run_is_given(given: Any, wanted: Any) -> None:
    """A default fills in, each value gets its declared type, what does not fit is refused by name."""
    root = parse(pipeline({}, inputs=INPUTS)).root
    if isinstance(wanted, dict):
        found = run_parameters(root, given)
        assert found == wanted
        assert {key: type(value) for key, value in found.items()} == {
            key: type(value) for key, value in wanted.items()
        }
    else:
        with pytest.raises(InvalidSpec, match=wanted):
            run_parameters(root, given)


def test_whole_numbers_are_integers_again() -> None:
    """A Struct makes a float of each number."""
    assert whole_numbers({"a": [1.0, {"b": 2.0}], "c": 2.5, "d": True, "e": "1.0"}) == {
        "a": [1, {"b": 2}],
        "c": 2.5,
        "d": True,
        "e": "1.0",
    }


def test_old_constants() -> None:
    """Schema 2.0.0 spells constants with their type."""
    one = task("step")
    one["inputs"]["parameters"] = {"n": {"runtimeValue": {"constantValue": {"intValue": "4"}}}}
    (found,) = parse(pipeline({"a": one}, step=STEP)).root.body.tasks  # type: ignore[union-attr]
    assert found.parameters["n"].source == Constant(4)
