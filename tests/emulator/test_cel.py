"""Conditions of tasks, as kfp compiles them and a bit beyond."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.emulator.cel import InvalidExpression, condition, evaluate, select

VALUES = {"n": 5, "x": 2.5, "s": "heads", "b": True, "l": [1, 2], "d": {"k": "v"}, "it's": "q", "t": "7"}
P = "inputs.parameter_values"


@pytest.mark.parametrize(
    "expression,wanted",
    [
        (f"{P}['s'] == 'heads'", True),
        (f"{P}['s'] != \"heads\"", False),
        (f"int({P}['n']) > 3 && {P}['b'] == true", True),
        (f"!({P}['s'] == 'heads') && !({P}['s'] == 'tails')", False),
        (f"!({P}['b'] == true) || {P}['x'] >= 2.5", True),
        (f"{P}[\"it's\"] == 'q'", True),
        (f"int({P}['t']) + 1 == 8", True),
        (f"double({P}['t']) / 2.0 < 3.6", True),
        (f"string({P}['n']) == '5'", True),
        (f"size({P}['l']) == 2 && 2 in {P}['l']", True),
        (f"{P}['d']['k'].startsWith('v') ? true : false", True),
        ("inputs.parameters['s'].string_value == 'heads'", True),
        ("inputs.parameters['n'].int_value < 6", True),
        (f"{P}['b'] == 1", False),
        ("1 + 2 * 3 == 7 && 7 / 2 == 3 && -7 / 2 == -3 && 7 % 4 == 3", True),
        ("'a\\'b' == \"a'b\"", True),
    ],
)
def test_what_is_true(expression: str, wanted: bool) -> None:
    """Each with the values of a task's inputs."""
    assert condition(expression, VALUES) is wanted


@pytest.mark.parametrize(
    "expression,said",
    [
        (f"{P}['n']", "neither true nor false"),
        (f"{P}['zzz'] == 1", "zzz"),
        ("1 ==", "not understood"),
        ("(1 == 1", r"'\)' is missing"),
        ("import('os')", "nothing is known"),
        (f"{P}['s'] > 3", "cannot be put in order"),
        ("int('x') == 1", "cannot be worked out"),
        ("1 == 1 $ 2", "not understood at"),
        ("__class__ == 1", "nothing is known"),
    ],
)
def test_what_is_refused(expression: str, said: str) -> None:
    """The message holds the expression."""
    with pytest.raises(InvalidExpression, match=said):
        condition(expression, VALUES)


@pytest.mark.parametrize(
    "expression,value,wanted",
    [
        ('parseJson(string_value)["a"]', {"a": 1}, 1),
        ('parseJson(string_value)["a"]', '{"a": [1, {"b": 2}]}', [1, {"b": 2}]),
        ("parseJson(string_value)[1]", [3, 4], 4),
    ],
)
def test_selectors(expression: str, value: Any, wanted: Any) -> None:
    """A part of a parameter, whether it came as text or not."""
    assert select(expression, value) == wanted


@given(st.recursive(
    st.sampled_from(["true", "false"]),
    lambda inner: st.one_of(
        st.builds("!({})".format, inner),
        st.builds("({} && {})".format, inner, inner),
        st.builds("({} || {})".format, inner, inner),
    ),
    max_leaves=20,
))  # fmt: skip
def test_logic_is_logic(expression: str) -> None:
    """As Python has it."""
    python = expression.replace("&&", " and ").replace("||", " or ").replace("!", " not ")
    python = python.replace("true", "True").replace("false", "False")
    assert evaluate(expression, {}) is eval(python.strip())
