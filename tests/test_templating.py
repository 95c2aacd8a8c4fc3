"""What goes into a template comes out as the same value; nothing goes in unquoted."""

from __future__ import annotations

import ast
import math
import shlex
import subprocess
from pathlib import Path

import jinja2
import pytest
import yaml as pyyaml
from hypothesis import example, given
from hypothesis import strategies as st

from nbvertex import templating

TEXT = st.text(
    alphabet=st.characters(), max_size=30
)  # every code point, lone surrogates and control characters too
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
JSONS = st.recursive(
    SCALARS, lambda some: st.lists(some, max_size=4) | st.dictionaries(TEXT, some, max_size=4), max_leaves=8
)


def same(left: object, right: object) -> bool:
    """Equal, of equal types, NaN equal to itself."""
    if isinstance(left, float) and isinstance(right, float) and math.isnan(left):
        return math.isnan(right)
    if type(left) is not type(right):
        return False
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(map(same, left.values(), right.values()))
    return left == right


@given(JSONS)
@example("it's \"quoted\"\n'''and''' \\")
@example({"{{ x }}": ["{% raw %}", float("-inf"), -0.0]})
def test_a_python_expression_gives_the_value_back(value: object) -> None:
    """`py` is repr, but for the floats that repr cannot write."""
    assert same(eval(templating.py(value), {}), value)


@given(
    st.tuples(st.integers(), st.binary())
    | st.tuples(st.complex_numbers(allow_nan=False, allow_infinity=False))
)
def test_a_python_literal_of_a_tuple(value: object) -> None:
    """Tuples and bytes are Python's own."""
    assert ast.literal_eval(templating.py(value)) == value


@given(JSONS)
@example("\U0001f600\\ud83d\\ude00 \\\U0001f600 \x85\u2028\x7f\0")
@example([1e16, 1e-7, 123456789012345680000.0, "1e16", "no", "012", "~", "", "2026-01-01", " x: #y"])
def test_yaml_gives_the_value_back(value: object) -> None:
    """Read by a YAML 1.1 reader; YAML 1.2 is laxer about all that is written here."""
    assert same(pyyaml.safe_load(templating.yaml(value)), value)


@given(TEXT)
@example("x\r\x0cimport os")
def test_a_comment_stays_a_comment(text: str) -> None:
    """No character in the text ends the comment."""
    source = templating.comment(text)
    assert ast.parse(source.encode("utf-8", "backslashreplace").decode()).body == []


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20))
def test_a_shell_word_is_one_word(text: str) -> None:
    """shlex reads it back."""
    assert shlex.split(templating.sh(text)) == [text]


def test_a_shell_word_in_a_shell() -> None:
    """A real shell does too."""
    hostile = "$(touch x) `id` '\"; rm -rf . \n{{ }} *"
    done = subprocess.run(
        ["sh", "-c", f"printf %s {templating.sh(hostile)}"], capture_output=True, text=True, check=True
    )
    assert done.stdout == hostile


@pytest.mark.parametrize("name", ["", "a b", "class", "1st", "a;b", "x\n", None, 3])
def test_only_names_are_names(name: object) -> None:
    """`ident` refuses, it never mends."""
    with pytest.raises(ValueError, match="not a Python name"):
        templating.ident(name)


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A folder of templates."""
    (tmp_path / "base.j2").write_text("# of {{ who|py }}\n{% block body %}x = {{ x|py }}\n{% endblock %}")
    (tmp_path / "child.j2").write_text(
        "{% extends 'base.j2' %}\n{% block body %}\n{{ super() }}{% for k in more %}\n{{ k|ident }} = 1\n{% endfor %}\n{% endblock %}\n"
    )
    (tmp_path / "raw.j2").write_text("x = {{ x }}\n")
    return tmp_path


def test_a_template_is_filled_through_its_filters(template: Path) -> None:
    """Inheritance, loops and filters give the expected text."""
    text = templating.render("child.j2", {"who": "it's", "x": "<&>", "more": ["a", "b"]}, template)
    assert text == '# of "it\'s"\nx = "<&>"\na = 1\nb = 1\n'


def test_an_unquoted_value_is_refused(template: Path) -> None:
    """Even where it would have been harmless."""
    with pytest.raises(TypeError, match="without a quoting filter"):
        templating.render("raw.j2", {"x": 1}, template)


def test_a_missing_value_is_an_error(template: Path) -> None:
    """Nothing turns into empty text."""
    with pytest.raises(jinja2.UndefinedError, match="'x' is undefined"):
        templating.render("base.j2", {"who": 1}, template)
