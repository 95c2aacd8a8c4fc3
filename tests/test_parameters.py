"""Parameters: what cells declare, and what may be given for it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import making
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex import forms, notebook
from nbvertex.convert import check
from nbvertex.dataflow import analyse
from nbvertex.declarations import declared, merged, why_no_json
from nbvertex.errors import ParameterError
from nbvertex.forms import Form
from nbvertex.parameters import resolve
from nbvertex.pipeline import Parameter


def one(source: str, *, tagged: bool = True) -> Parameter:
    """The only parameter that a cell declares."""
    (parameter,), _ = declared(1, source, tagged=tagged)
    return parameter


DECLARED: dict[str, tuple[str, dict[str, Any]]] = {
    "int": ("n = 3", {"kind": "int", "default": 3}),
    "negative": ("n = -3", {"kind": "int", "default": -3}),
    "float": ("n = 1e-3", {"kind": "float", "default": 0.001}),
    "bool": ("n = True", {"kind": "bool", "default": True}),
    "str": ("n = 'a'", {"kind": "str", "default": "a"}),
    "joined": ("n = 'a' 'b' + \"c\"", {"kind": "str", "default": "abc"}),
    "triple": ('n = """a\nb"""', {"kind": "str", "default": "a\nb"}),
    "list": ("n = [1, 'a', [None]]", {"kind": "list", "default": [1, "a", [None]]}),
    "over lines": ("n = [\n  1,\n]", {"kind": "list", "default": [1]}),
    "dict": ("n = {'a': -1}", {"kind": "dict", "default": {"a": -1}}),
    "none": ("n = None", {"kind": "none", "default": None}),
    "arithmetic": ("n = 2**4 * 3 - 1", {"kind": "int", "default": 47}),
    "seconds": ("n = 60 * 60.0", {"kind": "float", "default": 3600.0}),
    "huge": ("n = 10**10**10", {"kind": "any", "default": None}),
    "huger": ("n = 9**9**9**9", {"kind": "any", "default": None}),
    "by zero": ("n = 1 / 0", {"kind": "any", "default": None}),
    "infinite": ("n = 1e999", {"kind": "float", "default": None}),
    "half a character": ("n = '\\ud800'", {"kind": "str", "default": None}),
    "long number": ("n = 0x" + "f" * 4000, {"kind": "int", "default": None}),
    "text times": ("n = 'a' * 10**9", {"kind": "any", "default": None}),
    "expression": ("n = f'{x}/y'", {"kind": "any", "default": None}),
    "call": ("n = open('x')", {"kind": "any", "default": None}),
    "tuple": ("n = (1, 2)", {"kind": "any", "default": None}),
    "int keys": ("n = {1: 2}", {"kind": "dict", "default": None}),
    "list of more": ("n = [x]", {"kind": "list", "default": None}),
    "annotated": ("n: int = 3", {"kind": "int", "default": 3}),
    "annotated float": ("n: float = 1", {"kind": "float", "default": 1}),
    "optional": ("n: float | None = None", {"kind": "float", "default": None, "optional": True}),
    "Optional": ("n: Optional[str] = 'a'", {"kind": "str", "default": "a", "optional": True}),
    "Union": ("n: typing.Union[int, None] = 1", {"kind": "int", "default": 1, "optional": True}),
    "None for an int": ("n: int = None", {"kind": "int", "default": None, "optional": True}),
    "int or float": ("n: int | float = 1", {"kind": "float", "default": 1}),
    "int or str": ("n: int | str = 1", {"kind": "any", "default": 1}),
    "list of": ("n: list[str] = ['a']", {"kind": "list", "default": ["a"]}),
    "List of": ("n: typing.List[int] = []", {"kind": "list", "default": []}),
    "dict of": ("n: dict[str, int] | None = {}", {"kind": "dict", "default": {}, "optional": True}),
    "text": ("n: 'int | None' = 1", {"kind": "int", "default": 1, "optional": True}),
    "broken text": ("n: 'int |' = 1", {"kind": "any", "default": 1}),
    "Literal": ("n: Literal['a', 'b'] = 'a'", {"kind": "str", "default": "a", "choices": ("a", "b")}),
    "Literal or None": (
        "n: Literal[1, 2] | None = None", {"kind": "int", "default": None, "optional": True, "choices": (1, 2)},
    ),
    "tuple of": ("n: tuple[int, ...] = (1,)", {"kind": "any", "default": None}),
    "unknown": ("n: Path = Path('.')", {"kind": "any", "default": None}),
    "Annotated": ("n: Annotated[int, 'x'] = 1", {"kind": "int", "default": 1}),
    "comment": ("n = 3  # how many", {"kind": "int", "default": 3, "description": "how many"}),
    "type comment": ("n = 3  # type: float the rate", {"kind": "float", "default": 3, "description": "the rate"}),
    "no comment": ("n = '# no'", {"kind": "str", "default": "# no"}),
    "field": ("n = 'a'  # @param {type:\"string\"}", {"kind": "str", "default": "a"}),
    "field, tight": ("n='a' #@param{type:'string'}", {"kind": "str", "default": "a"}),
    "field, bare": ("n = 3 # @param", {"kind": "int", "default": 3}),
    "field, number": ('n = 3 # @param {type:"number"}', {"kind": "float", "default": 3}),
    "field, boolean": ('n = False # @param {type:"boolean"}', {"kind": "bool", "default": False}),
    "field, date": ("n = '2026-01-01' # @param {type:\"date\"}", {"kind": "str", "default": "2026-01-01"}),
    "field, raw": ('n = [1] # @param {type:"raw"}', {"kind": "list", "default": [1]}),
    "field, list": ("n = 'a' # @param [\"a\", 'b']", {"kind": "str", "default": "a", "choices": ("a", "b")}),
    "field, open list": ("n = 'a' # @param [\"a\"] {allow-input: true}", {"kind": "str", "default": "a"}),
    "field, raw list": (
        'n = 1 # @param ["1", "2.5"] {type:"raw"}', {"kind": "int", "default": 1, "choices": (1, 2.5)},
    ),
    "field, raw names": ('n = x # @param ["x", "y"] {type:"raw"}', {"kind": "any", "default": None}),
    "field, slider": (
        'n = 5 # @param {type:"slider", min:0, max:10, step:1}',
        {"kind": "int", "default": 5, "minimum": 0, "maximum": 10},
    ),
    "field, fine slider": (
        'n = 5 # @param {type:"slider", min:-1, max:10, step:0.5}',
        {"kind": "float", "default": 5, "minimum": -1, "maximum": 10},
    ),
    "field over lines": ("n = (\n  'a'  # @param {type:\"string\"}\n)", {"kind": "str", "default": "a"}),
    "field, none": ('n = None # @param {type:"integer"}', {"kind": "int", "default": None, "optional": True}),
    "markdown above": (
        "# @markdown The number\n# @markdown of trees.\nn = 3 # @param", {"kind": "int", "default": 3,
        "description": "The number of trees."},
    ),
}  # fmt: skip


@pytest.mark.parametrize("source, fields", DECLARED.values(), ids=DECLARED)
def test_declares(source: str, fields: dict[str, Any]) -> None:
    """An assignment gives a parameter with its type, default, choices and range."""
    found = one(source)
    assert found.source
    assert found.source in source
    assert found == Parameter(name="n", source=found.source, cell=1, line=found.line, **fields)


def test_declares_several_at_once() -> None:
    """Chains and tuples declare each of their names; what is no plain assignment declares none."""
    found, _ = declared(
        2, "a = b = 1\nc, (d) = 2, 'x'\nimport os\ne += 1\nf.x = 1\ng[0] = 1\nh: int\nif a:\n  i = 1\nj, k = z\n", tagged=True
    )  # fmt: skip
    assert [(p.name, p.default, p.line) for p in found] == [
        ("a", 1, 1),
        ("b", 1, 1),
        ("c", 2, 2),
        ("d", "x", 2),
    ]


def test_without_a_tag_only_fields_declare() -> None:
    """In any other cell a `# @param` comment makes the parameter."""
    found, notes = declared(2, "a = 1\nb = 2  # @param\nc = '# @param'\n", tagged=False)
    assert [p.name for p in found] == ["b"]
    assert notes == ()


NOTES: dict[str, tuple[str, str, int, str]] = {
    "not at the top": ("if x:\n  a = 1 # @param", "form-field", 2, "no plain assignment"),
    "an argument": ("f(\n  a=1, # @param\n)", "form-field", 2, "no plain assignment"),
    "odd object": ("a = 1 # @param {type:", "form-field", 1, "{type:"),
    "odd pair": ("a = 1 # @param {type}", "form-field", 1, "type"),
    "odd list": ("a = 1 # @param [x, y]", "form-field", 1, "[x, y]"),
    "odd type": ("a = 1 # @param {type: 'colour'}", "form-field", 1, "colour"),
    "derived": ("a = 1 # @param\nb = a + 1", "early-use", 2, "`a` is used"),
    "used": ("a = 1 # @param\nb = 2 # @param\nprint(b, a)", "early-use", 3, "`a`, `b` are used"),
}  # fmt: skip


@pytest.mark.parametrize("source, code, line, text", NOTES.values(), ids=NOTES)
def test_notes_what_will_surprise(source: str, code: str, line: int, text: str) -> None:
    """A field that declares nothing, or a value that comes too late for a line, is named with its line."""
    _, notes = declared(1, source, tagged=False)
    assert [(note.code, note.line) for note in notes] == [(code, line)]
    assert text in notes[0].message


def test_commands_that_run_their_body_hide_nothing() -> None:
    """Below `%%time` and `%%capture` assignments declare as they do anywhere, on their own lines."""
    source = "\n%%capture out\n!ls\nn = 1 # @param {type:'integer'}\nm = n\n"
    found, notes = declared(2, analyse(source).python, tagged=False)
    assert [(p.name, p.kind, p.cell, p.line) for p in found] == [("n", "int", 2, 4)]
    assert [(note.code, note.line) for note in notes] == [("early-use", 5)]
    assert "line 5 still has" in notes[0].message
    assert declared(2, analyse("%%bash\nn=1 # @param").python, tagged=True) == ((), ())


def test_a_function_that_reads_a_parameter_is_no_early_use() -> None:
    """What a function reads when it is called later has the value that is given."""
    assert declared(1, "a = 1 # @param\ndef f():\n  return a\ng = lambda: a", tagged=False)[1] == ()
    assert declared(1, "a = 1 # @param\ndef f(x=a):\n  pass", tagged=False)[1] != ()


def test_repeated_fields_are_one_parameter() -> None:
    """The value is injected after each cell that declares the name; papermill's own values replace the default."""
    cells = [(3, "p = 'a' # @param\nq = 1 # @param"), (7, "p = 'b' # @param"), (9, "p = 'c' # @param")]
    found = [parameter for cell, source in cells for parameter in declared(cell, source, tagged=False)[0]]
    assert [(p.name, p.default, p.cell, p.again) for p in merged(found)] == [
        ("p", "a", 3, (7, 9)),
        ("q", 1, 3, ()),
    ]
    assert [(p.name, p.default, p.cell, p.again) for p in merged(found, {7})][:1] == [("p", "b", 3, (7, 9))]


FORMS = {
    '# @param {type:"string"}': Form(kind="str"),
    '#@param {type: "string", isTemplate: true} What it is': Form(kind="str", text="What it is"),
    "# @param {'type': 'boolean'}": Form(kind="bool"),
    '# @param {type:"string", placeholder:"{a} [b], c: d"}': Form(kind="str"),
    '# @param {type:"string"} ["a", "b"]': Form(kind="str", choices=("a", "b")),
    '# @param ["a", 1, true, null, 1.5]': Form(choices=("a", 1, True, None, 1.5)),
    '# @param ["a [x]", "b, c"]': Form(choices=("a [x]", "b, c")),
    "# @param": Form(),
    "# @param {}": Form(),
    "# @param []": Form(),
    "# @param {type:'string'},": Form(kind="str"),
}


@pytest.mark.parametrize("comment, form", FORMS.items(), ids=FORMS)
def test_reads_form_fields(comment: str, form: Form) -> None:
    """Colab's spellings, tight or loose, with either kind of quotes."""
    assert forms.read(comment) == form


@pytest.mark.parametrize("comment", ["# param", "# @parameter", "# @title x", "", "# x @param"])
def test_other_comments_are_no_fields(comment: str) -> None:
    """Only `@param` right at the start of the comment makes a field."""
    assert forms.read(comment) is None


@given(st.text(alphabet="{}[]\"',: \\atyperms1.-", max_size=40))
def test_any_comment_is_read(text: str) -> None:
    """Whatever stands behind `@param`, there is a form, never an exception."""
    assert forms.read(f"# @param {text}") is not None


# Values.

GIVEN: dict[str, tuple[str, str, Any]] = {
    "int": ("n = 3", "5", 5),
    "int, negative": ("n = 3", "-5", -5),
    "float": ("n = 0.1", "1e-3", 0.001),
    "float, whole": ("n = 0.1", "2", 2),
    "bool": ("n = True", "False", False),
    "bool, small": ("n = True", "false", False),
    "str": ("n = 'a'", "b", "b"),
    "str like a number": ("version = n = 'a'", "1.10", "1.10"),
    "str like None": ("n = 'a'", "None", "None"),
    "optional str": ("n: str | None = 'a'", "None", None),
    "optional int": ("n: int | None = 1", "None", None),
    "list": ("n = [1]", "[2, a, null]", [2, "a", None]),
    "dict": ("n = {}", "{a: [1], b: 2026-01-01}", {"a": [1], "b": "2026-01-01"}),
    "optional list": ("n: list | None = None", "None", None),
    "untyped int": ("n = f(x)", "5", 5),
    "untyped text": ("n = f(x)", "a b", "a b"),
    "untyped list": ("n = f(x)", "[1]", "[1]"),
    "None's": ("n = None", "5", 5),
    "choice": ("n: Literal['a', 'b'] = 'a'", "b", "b"),
    "at the end": ("n = 1 # @param {type:'slider', min:0, max:10}", "10", 10),
    "number stays whole": ("n = 1 # @param {type:'number'}", "7", 7),
    "number": ("n = 1 # @param {type:'number'}", "0.5", 0.5),
    "quotes": ("n = 'a'", "it's \"x\"\n${y} {{ z }}", "it's \"x\"\n${y} {{ z }}"),
}  # fmt: skip


@pytest.mark.parametrize("source, text, value", GIVEN.values(), ids=GIVEN)
def test_reads_p_by_the_declared_type(source: str, text: str, value: Any) -> None:
    """`-p` gives a value of the declared type, exactly."""
    found = [p for p in declared(1, source, tagged=True)[0] if p.name == "n"]
    (read,) = resolve(found, [("n", text, False)]).values()
    assert (type(read), read) == (type(value), value)


WRONG: dict[str, tuple[str, str, bool, str]] = {
    "int": ("n = 3", "x", False, "takes a whole number, not 'x'"),
    "int, float": ("n = 3", "3.0", False, "takes a whole number, not '3.0'"),
    "int, None": ("n = 3", "None", False, "takes a whole number, not 'None'"),
    "int, bool": ("n = 3", "True", False, "takes a whole number"),
    "optional": ("n: int | None = 3", "x", False, "takes a whole number or None"),
    "float": ("n = 0.1", "x", False, "takes a number"),
    "float, nan": ("n = 0.1", "nan", False, "JSON has no nan"),
    "float, inf": ("n = 0.1", "-inf", False, "JSON has no -inf"),
    "bool": ("n = True", "1", False, "takes True or False, not '1'"),
    "list": ("n = [1]", "1", False, "takes a list, not 1"),
    "dict": ("n = {}", "[1]", False, "takes a mapping, not [1]"),
    "dict, int keys": ("n = {}", "{1: 2}", False, "no keys but texts"),
    "YAML": ("n = []", "[1", False, "the YAML of -p n cannot be read"),
    "YAML, odd tag": ("n = []", "!!int x", False, "the YAML of -p n cannot be read"),
    "YAML, Python": ("n = []", "!!python/object/apply:os.system [ls]", False, "the YAML of -p n cannot be read"),
    "YAML, date": ("n = []", "[!!timestamp 2026-01-01]", False, "JSON has no date"),
    "YAML, circle": ("n = []", "&a [*a]", False, "nested without end"),
    "raw, int": ("n = 3", "5", True, "-r gives a text"),
    "raw, list": ("n = []", "5", True, "-r gives a text"),
    "choice": ("n = 'a' # @param ['a', 'b']", "c", False, "takes one of 'a', 'b', not 'c'"),
    "below": ("n = 1 # @param {type:'slider', min:0, max:10}", "-1", False, "takes a number from 0 to 10, not -1"),
    "above": ("n = 1 # @param {type:'slider', max:10}", "11", False, "takes a number to 10, not 11"),
    "half a character": ("n = 'a'", "\udcff", False, "no proper text"),
    "huge": ("n = 1", "9" * 5000, False, "takes a whole number"),
}  # fmt: skip


@pytest.mark.parametrize("source, text, raw, message", WRONG.values(), ids=WRONG)
def test_refuses_what_does_not_fit(source: str, text: str, raw: bool, message: str) -> None:
    """A value of another type, out of range or not among the choices is refused, with the place of the declaration."""
    with pytest.raises(ParameterError) as caught:
        resolve([one(source)], [("n", text, raw)])
    assert message in caught.value.message
    assert len(caught.value.message) < 300
    if "YAML" not in message:
        assert (caught.value.place.cell, caught.value.place.line) == (1, 1)


def test_lists_what_there_is() -> None:
    """An unknown name is refused with the known ones, their types, and the nearest."""
    parameters, _ = declared(1, "epochs = 3\nrate = 0.1\nmore = f()", tagged=True)
    with pytest.raises(ParameterError, match="there is no parameter 'epoch'") as caught:
        resolve(parameters, [("epoch", "3", False)])
    assert caught.value.hint == "did you mean `epochs`? known: epochs (int), rate (float), more"
    with pytest.raises(ParameterError, match="declares none") as caught:
        resolve([], [("x", "3", False)])
    assert "`parameters`" in str(caught.value.hint)


@pytest.mark.parametrize(
    "name", ["a b", "x; import os", "__import__('os')", "a\nb", "a=1", "é\u0301", "", "class"]
)
def test_no_name_but_a_declared_one_gets_through(name: str) -> None:
    """What is injected is a declared name, so nothing else can be."""
    with pytest.raises(ParameterError) as caught:
        resolve([one("n = 1")], [(name, "1", False)])
    assert caught.value.message.isascii()


def test_all_that_is_wrong_is_said_at_once() -> None:
    """Two wrong values and an unknown name are one error."""
    parameters, _ = declared(1, "a = 3\nb = 0.1", tagged=True)
    with pytest.raises(ParameterError) as caught:
        resolve(parameters, [("a", "x", False), ("b", "y", False), ("c", "z", False)])
    assert all(part in caught.value.message for part in ("`a` takes", "`b` takes", "no parameter 'c'"))


def test_later_sources_win_as_in_papermill(tmp_path: Path) -> None:
    """Files, then YAML, then -p, then -r; among equals the last; in the order of the declarations."""
    parameters, _ = declared(1, "a = ''\nb = ''\nc = ''\nd = ''\ne = ''\nf = ''", tagged=True)
    first, second = tmp_path / "1.yaml", tmp_path / "2.json"
    first.write_text("{a: f1, b: f1, c: f1, d: f1, e: f1}")
    second.write_text('{"b": "f2",\t"c": "f2", "d": "f2", "e": "f2"}')
    found = resolve(
        parameters,
        [("e", "raw", True), ("d", "p1", False), ("e", "p", False), ("d", "p2", False)],
        files=[first, second],
        yaml_text=["{c: y1, d: y1}", "c: y2", ""],
    )
    assert found == {"a": "f1", "b": "f2", "c": "y2", "d": "p2", "e": "raw"}
    assert list(found) == ["a", "b", "c", "d", "e"]


def test_reads_json_as_json_and_powers_of_ten_as_numbers() -> None:
    """JSON given as YAML keeps its emoji and its floats, and `1e-5` is a number in YAML too."""
    parameters, _ = declared(1, "a = 0.1\nb = ''", tagged=True)
    assert resolve(parameters, yaml_text=['{"a": 1e-5, "b": "\\ud83d\\ude00"}']) == {"a": 1e-5, "b": "😀"}
    assert resolve(parameters, yaml_text=["a: 1e-5\nb: 2026-01-01"]) == {"a": 1e-5, "b": "2026-01-01"}


def test_a_value_that_a_later_one_replaces_is_not_checked() -> None:
    """Only what would be injected has to fit."""
    assert resolve([one("n = 1")], [("n", "2", False)], yaml_text=["n: x"]) == {"n": 2}


@pytest.mark.parametrize(
    "name, data, message",
    [
        ("missing.yaml", None, "cannot be read"),
        ("a.yaml", b"[1", "cannot be read"),
        ("a.yaml", b"[1]", "holds a list"),
        ("a.yaml", b"3", "holds a whole number"),
        ("a.yaml", b"1: 2", "which is no name"),
        ("a.yaml", b"\xff", "cannot be read"),
        ("a.json", b"{", "is no JSON"),
        ("a.json", b"[" * 100_000, "is no JSON"),
        ("a.json", b'{"n": NaN}', "JSON has no nan"),
    ],
)
def test_names_bad_files(tmp_path: Path, name: str, data: bytes | None, message: str) -> None:
    """A parameters file that cannot be used is named."""
    path = tmp_path / name
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ParameterError) as caught:
        resolve([one("n = 1.5")], files=[path])
    assert message in caught.value.message


def test_a_yaml_bomb_is_no_trouble() -> None:
    """Aliases of aliases are looked at once each."""
    text = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefghij", "bcdefghijk", strict=True)
    )
    parameters, _ = declared(1, "\n".join(f"{name} = []" for name in "abcdefghijk"), tagged=True)
    assert resolve(parameters, yaml_text=[text])["a"] == ["x", "x"]


@given(
    st.text()
    | st.integers().map(str)
    | st.floats().map(str)
    | st.sampled_from(["True", "False", "None", "1_0", "0x1", " 1"])
)
def test_untyped_texts_are_read_as_papermill_does(text: str) -> None:
    """For a default that tells no type, `-p` means what it means in papermill, or is refused."""
    from papermill.cli import _resolve_type

    wanted = _resolve_type(text)
    parameter = one("n = f()")
    if why_no_json(wanted) is None:
        found = resolve([parameter], [("n", text, False)])["n"]
        assert (type(found), found) == (type(wanted), wanted)
    else:
        with pytest.raises(ParameterError):
            resolve([parameter], [("n", text, False)])


LITERALS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(LITERALS)
def test_a_literal_default_is_known_exactly(value: Any) -> None:
    """Whatever JSON can hold and Python writes as a literal is the default, and may be given again."""
    parameter = one(f"n = {value!r}")
    if why_no_json(value) is None:
        assert (type(parameter.default), parameter.default) == (type(value), value)
        assert resolve([parameter], yaml_text=[json.dumps({"n": value})]) == {"n": value}
    else:
        assert parameter.default is None


@given(st.from_regex(r"[-+*/%()0-9.~ ]{1,14}", fullmatch=True))
def test_arithmetic_is_worked_out_as_python_would(expression: str) -> None:
    """A folded default is what Python computes; everything else is left an expression."""
    try:
        compile(f"n = {expression}", "", "exec")
    except (SyntaxError, ValueError):
        return
    parameter = one(f"n = {expression}")
    if parameter.default is not None:
        wanted = eval(expression)
        assert (type(parameter.default), parameter.default) == (type(wanted), wanted)
        assert not isinstance(wanted, float) or math.isfinite(wanted)


def test_notebooks_give_typed_parameters(make_notebook: Callable[..., Path]) -> None:
    """A tagged cell and form fields below it become the pipeline's parameters, each with its cell."""
    path = make_notebook(
        [
            "# Title",
            making.cell("n: int = 3\nname = 'x'", "parameters"),
            making.cell("rate = 0.1 # @param {type:'slider', min:0, max:1, step:0.1}", "step:a"),
            making.cell("skipped = 1 # @param", "skip"),
            making.cell("name = 'y' # @param ['x', 'y']\nprint(n, rate)"),
        ]
    )
    pipeline, problems = check(notebook.read(path))
    assert pipeline is not None
    assert problems == ()
    assert [(p.name, p.kind, p.cell, p.again) for p in pipeline.parameters] == [
        ("n", "int", 2, ()), ("name", "str", 2, (5,)), ("rate", "float", 3, ()),
    ]  # fmt: skip
    assert (pipeline.parameters_cell, pipeline.parameters_step) == (2, "setup")


def test_the_corpus_gives_typed_parameters(shared: Path) -> None:
    """Of the `# @param` fields in real notebooks nearly all have a type, and all a name, a cell and a line."""
    found = [
        parameter
        for path in sorted((shared / "corpus").rglob("*.ipynb"))
        for parameter in (_pipeline_parameters(path))
    ]
    typed = [p for p in found if p.kind != "any"]
    assert len(found) > 500
    assert len(typed) > 0.97 * len(found)
    assert all(p.name.isidentifier() and p.cell and p.line for p in found)


def _pipeline_parameters(path: Path) -> tuple[Parameter, ...]:
    pipeline, _ = check(notebook.read(path))
    return pipeline.parameters if pipeline else ()
