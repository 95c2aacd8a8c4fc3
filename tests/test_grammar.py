"""The language of `when` and `each`: what it takes, what it refuses, and that nothing in it is ever run."""

from __future__ import annotations

import ast
import string
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex import grammar
from nbvertex.grammar import Misread
from nbvertex.pipeline import AllOf, AnyOf, Compare, Condition, Each, Item, Not, Options
from nbvertex.runtime.condition import decide

CONDITIONS: dict[str, Condition] = {
    "accuracy > 0.9": Compare(name="accuracy", op=">", value=0.9),
    "  accuracy>0.9 ": Compare(name="accuracy", op=">", value=0.9),
    "0.9 < accuracy": Compare(name="accuracy", op=">", value=0.9),
    "1 == a": Compare(name="a", op="==", value=1),
    "a != -1.5": Compare(name="a", op="!=", value=-1.5),
    "a is not None": Compare(name="a", op="is not", value=None),
    "mode in ['a', 'b']": Compare(name="mode", op="in", value=["a", "b"]),
    "mode not in ('a',)": Compare(name="mode", op="not in", value=["a"]),
    "a == True": Compare(name="a", op="==", value=True),
    "not a > 1": Not(of=Compare(name="a", op=">", value=1)),
    "a > 1 and b < 2": AllOf(of=(Compare(name="a", op=">", value=1), Compare(name="b", op="<", value=2))),
    "a > 1 or (b < 2 and not c == 'x')": AnyOf(
        of=(
            Compare(name="a", op=">", value=1),
            AllOf(of=(Compare(name="b", op="<", value=2), Not(of=Compare(name="c", op="==", value="x")))),
        )
    ),
}


@pytest.mark.parametrize("text, test", CONDITIONS.items())
def test_reads_conditions(text: str, test: Condition) -> None:
    """As a tree; the same however it is written."""
    assert grammar.when(text).test == test
    assert grammar.when(grammar.when(text).text) == grammar.when(text)


def test_reads_lists() -> None:
    """Items keep their source, since JSON has no tuples."""
    assert grammar.each("p in [(1, 2), None]") == Each(
        text="p in [(1, 2), None]",
        name="p",
        items=(Item(source="(1, 2)", value=[1, 2]), Item(source="None", value=None)),
    )
    assert grammar.each("lr in rates") == Each(text="lr in rates", name="lr", source="rates")
    assert grammar.each("n in [1; 2]").text == "n in [1, 2]"


def test_goes_through_json() -> None:
    """The model gives back what it was given."""
    options = Options(
        when=grammar.when("a > 1 or not (b == 'x' and c is None)"), each=grammar.each("n in [1, 'a']")
    )
    assert msgspec.json.decode(msgspec.json.encode(options), type=Options) == options


WRONG = {
    "accuracy": "compared with nothing",
    "f(a) > 1": "a call",
    "a.b > 1": "an attribute",
    "a['b'] > 1": "an element",
    "a > b": "another name, `b`",
    "0 < a < 1": "more than two",
    "a == [1]": "`in` and `not in` only",
    "a in b": "another name",
    "a in 'abc'": "takes a list",
    "a + 1 > 2": "arithmetic",
    "(a := 1) > 0": "`:=`",
    "a is 'x'": "takes None, True or False",
    "a > 10**9": "arithmetic",
    "a == f'{b}'": "a text with",
    "1 > 0": "no name",
    "": "empty",
    "a >": "invalid syntax",
    "a > 1\nb": "one line",
    "a > " + "1" * 3000: "longer than",
    "a == 1e999": "no number",
    "a == 99999999999999999999": "no number",
}


@pytest.mark.parametrize("text, why", WRONG.items())
def test_refuses_the_rest(text: str, why: str) -> None:
    """With what is wrong with it."""
    with pytest.raises(Misread) as caught:
        grammar.when(text)
    assert why in str(caught.value)


PIECES = st.sampled_from(
    ["a", "b", " ", "and", "or", "not", "(", ")", "[", "]", ",", ";", "in", "is", "==", ">", "<=", "1", "0.5", "-", "'x'", '"',
     "None", "True", "lambda", ":", "=", ".", "{", "}", "*", "\\", "#", "\n", "\0", "é", "\ud800", "yield", "await", "for", "if",
     "else", "__import__('os')", "f'{a}'", "\u202e", "9" * 50, "b'x'", "...", "@", "%", "\t"]
)  # fmt: skip


@given(
    st.one_of(
        st.lists(PIECES, max_size=30).map(" ".join), st.lists(PIECES, max_size=200).map("".join), st.text()
    )
)
def test_anything_is_read_or_refused(text: str) -> None:
    """No other error; what is read is read again from what it says."""
    for read in (grammar.when, grammar.each):
        try:
            found = read(text)
        except Misread as misread:
            assert str(misread)
        else:
            assert read(found.text) == found


LITERALS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**6), 10**6), st.floats(allow_nan=False, allow_infinity=False),
    st.text(string.printable.replace("\n", "").replace("\r", "").replace("\x0b", "").replace("\x0c", ""), max_size=8),
)  # fmt: skip


@st.composite
def _conditions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth and draw(st.booleans()):
        parts = draw(st.lists(_conditions(depth - 1), min_size=2, max_size=3))
        joined = draw(st.sampled_from([" and ", " or "])).join(f"({part})" for part in parts)
        return draw(st.sampled_from([joined, f"not ({joined})"]))
    op = draw(st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in"]))
    value: Any = draw(st.lists(LITERALS, max_size=3)) if "in" in op else draw(LITERALS)
    return f"{draw(st.sampled_from('abc'))} {op} {value!r}"


@given(_conditions(), st.dictionaries(st.sampled_from("abc"), LITERALS))
def test_decides_as_python_does(text: str, values: dict[str, Any]) -> None:
    """The same answer as the expression itself, or none where Python has none."""
    answer = decide(msgspec.to_builtins(grammar.when(text).test), values)
    try:
        wanted = eval(compile(ast.parse(text, mode="eval"), "<condition>", "eval"), {}, values)
    except (NameError, TypeError):
        assert answer["error"]
    else:
        assert answer["holds"] is bool(wanted)


@given(st.lists(LITERALS, max_size=4))
def test_a_tag_without_commas_says_the_same(items: list[Any]) -> None:
    """What the copy of a notebook says, which holds no comma in a tag."""
    text = f"n in {items!r}"
    portable = grammar.portable(text)
    assert "," not in portable
    assert grammar.each(portable).items == grammar.each(text).items
