"""The parameters that a cell declares: assignments in a parameters cell, and Colab's form fields anywhere."""

from __future__ import annotations

import ast
import dataclasses
import io
import math
import operator
import re
import tokenize
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec.structs import replace

from nbvertex.forms import MARK
from nbvertex.forms import read as read_form
from nbvertex.ipython_syntax import parsed
from nbvertex.pieces import Text, texts
from nbvertex.pipeline import Json, Kind, Parameter

_LARGEST = 1 << 13  # bits of a number that is worked out; a larger one is left an expression


@dataclass(frozen=True, slots=True)
class Note:
    """Something about a cell's declarations that the user should know.

    Args:
        code: a short stable name.
        line: where in the cell.
        message: what.
        hint: what to do.
    """

    code: str
    line: int
    message: str
    hint: str | None = None


def declared(cell: int, python: str, *, tagged: bool) -> tuple[tuple[Parameter, ...], tuple[Note, ...]]:
    """The parameters of one cell.

    Args:
        cell: its position.
        python: its source after IPython's transform; it parses.
        tagged: every plain assignment declares one; else only those with a ``# @param`` comment.
    """
    if not tagged and "@param" not in python:
        return (), ()
    found: dict[str, Parameter] = {}
    notes: list[Note] = []
    for text in texts(python):
        some, said = _in_text(text, tagged=tagged)
        found |= {one.name: replace(one, cell=cell, line=one.line + text.above) for one in some}
        notes += [dataclasses.replace(note, line=note.line + text.above) for note in said]
    return tuple(found.values()), tuple(notes)


def _in_text(text: Text, *, tagged: bool) -> tuple[list[Parameter], list[Note]]:
    comments = dict(_comments(text.python))
    found: dict[str, Parameter] = {}
    notes: list[Note] = []
    forms: set[int] = set()
    for statement in text.tree.body:
        form_line = _form_line(statement, comments)
        pairs = list(_assigned(statement))
        if form_line is not None and len(pairs) == 1:
            forms.add(form_line)
        elif not tagged:
            continue
        comment = comments.get(form_line or statement.end_lineno or statement.lineno, "")
        for name, value in pairs:
            parameter, note = _parameter(name, value, statement, text.python, comment)
            above = parameter.description or _above(statement.lineno, comments)
            found[name] = replace(parameter, description=above)
            notes += [note] if note else []
    notes += [
        Note(
            "form-field", line, "this `# @param` stands beside no plain assignment, so it declares no parameter",
            "write NAME = VALUE  # @param at the left margin",
        )
        for line, comment in comments.items() if MARK.match(comment) and line not in forms
    ]  # fmt: skip
    return list(found.values()), [*notes, *_early_uses(text, found)]


def _comments(python: str) -> Iterator[tuple[int, str]]:
    """The comments, by line; the tokens end early where the text is odd, and so do they."""
    try:
        for token in tokenize.generate_tokens(io.StringIO(python).readline):
            if token.type == tokenize.COMMENT:
                yield token.start[0], token.string
    except (tokenize.TokenError, SyntaxError):
        return


def _form_line(statement: ast.stmt, comments: Mapping[int, str]) -> int | None:
    lines = range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)
    return next((line for line in lines if MARK.match(comments.get(line, ""))), None)


def _above(line: int, comments: Mapping[int, str]) -> str:
    """The ``# @markdown`` right above a field."""
    texts: list[str] = []
    while found := re.match(r"#+\s*@markdown\b\s?(.*)", comments.get(line - 1, "")):
        texts.insert(0, found[1].strip())
        line -= 1
    return " ".join(texts).strip()


def _assigned(statement: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """The names that a plain assignment binds, each with its value."""
    if isinstance(statement, ast.AnnAssign) and statement.value is not None:
        targets: list[ast.expr] = [statement.target]
        value = statement.value
    elif isinstance(statement, ast.Assign):
        targets, value = statement.targets, statement.value
    else:
        return
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id, value
        elif (
            isinstance(target, ast.Tuple | ast.List)
            and isinstance(value, ast.Tuple | ast.List)
            and len(target.elts) == len(value.elts)
            and all(isinstance(element, ast.Name) for element in target.elts)
        ):
            yield from (
                (name.id, one)
                for name, one in zip(target.elts, value.elts, strict=True)
                if isinstance(name, ast.Name)
            )


def _parameter(
    name: str, value: ast.expr, statement: ast.stmt, python: str, comment: str
) -> tuple[Parameter, Note | None]:
    kind, default = _default(value)
    form = read_form(comment)
    plain = re.fullmatch(r"#+\s*(?:type:\s*(?P<kind>\S+)\s*)?(?P<text>.*)", comment, re.DOTALL)
    optional, choices = kind == "none", form.choices if form else ()
    asked: Kind | None = form.kind if form else None
    if isinstance(statement, ast.AnnAssign):
        asked, may_be_none, literal = _annotation(statement.annotation)
        optional, choices = optional or may_be_none, choices or literal
    elif form is None and plain and plain["kind"]:
        asked = _KIND_NAMES.get(plain["kind"])
    note = None
    if form and form.trouble:
        note = Note(
            "form-field", statement.lineno, f"this part of the `# @param` cannot be read: {form.trouble}"
        )
    return Parameter(
        name=name,
        kind=asked or kind,
        default=default,
        source=ast.get_source_segment(python, value) or "",
        optional=optional and (asked or kind) not in ("any", "none"),
        choices=choices,
        minimum=form.minimum if form else None,
        maximum=form.maximum if form else None,
        description=form.text if form else (plain["text"].strip() if plain else ""),
        line=statement.lineno,
    ), note


# Values: only what is a literal or plain arithmetic is worked out, nothing is called.


class _NotPlain(Exception):
    """The expression is more than a literal."""


_OPERATORS: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: operator.pow,
}  # fmt: skip


def _default(value: ast.expr) -> tuple[Kind, Json]:
    """The kind of an expression, and its value where JSON can hold it."""
    try:
        plain = _plain(value)
    except (_NotPlain, ArithmeticError, ValueError, RecursionError):
        shape: Kind = (
            "list" if isinstance(value, ast.List) else "dict" if isinstance(value, ast.Dict) else "any"
        )
        return shape, None
    kind = kind_of(plain)
    return kind, plain if why_no_json(plain) is None else None


def _plain(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            number = _number(_plain(operand))
            return -number if isinstance(node.op, ast.USub) else +number
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _worked_out(_OPERATORS[type(op)], _plain(left), _plain(right))
        case ast.List(elts=items):
            return [_plain(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _plain(value) for key, value in zip(keys, values, strict=True)}
    raise _NotPlain


def _number(value: Any) -> Any:
    if not isinstance(value, int | float):
        raise _NotPlain
    return value


def _key(node: ast.expr | None) -> str:
    key = _plain(node) if node is not None else None
    if not isinstance(key, str):
        raise _NotPlain
    return key


def _worked_out(apply: Callable[[Any, Any], Any], left: Any, right: Any) -> Any:
    if isinstance(left, str) and isinstance(right, str) and apply is operator.add:
        return left + right
    _number(left), _number(right)
    bits = max(int(left).bit_length(), 1) if math.isfinite(left) else 1
    if apply is operator.pow and (not math.isfinite(right) or abs(right) * bits > _LARGEST):
        raise _NotPlain
    result = apply(left, right)
    if isinstance(result, int) and result.bit_length() > _LARGEST:
        raise _NotPlain
    return _number(result)


def kind_of(value: object) -> Kind:
    """The kind that a JSON value has."""
    kinds: Mapping[type, Kind] = {
        type(None): "none", bool: "bool", int: "int", float: "float", str: "str", list: "list", dict: "dict"
    }  # fmt: skip
    return kinds.get(type(value), "any")


def why_no_json(value: object) -> str | None:
    """Why JSON cannot hold a value just as it is; None where it can."""
    done: set[int] = set()

    def look(value: object, above: tuple[int, ...]) -> str | None:
        if isinstance(value, float) and not math.isfinite(value):
            return f"JSON has no {value}"
        if isinstance(value, str):
            return (
                None if value.isascii() or not re.search("[\ud800-\udfff]", value) else "it is no proper text"
            )
        if isinstance(value, list | dict):
            if id(value) in above or len(above) > 200:
                return "it is nested without end"
            if id(value) in done:
                return None
            if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
                return "JSON has no keys but texts"
            inner = [*value, *value.values()] if isinstance(value, dict) else value
            done.add(id(value))
            return next((why for item in inner if (why := look(item, (*above, id(value))))), None)
        if isinstance(value, int) and value.bit_length() > _LARGEST:
            return "it is too large a number"
        return (
            None if value is None or isinstance(value, int | float) else f"JSON has no {type(value).__name__}"
        )

    return look(value, ())


# Annotations.

_KIND_NAMES: Mapping[str, Kind] = {
    "int": "int", "float": "float", "bool": "bool", "str": "str", "list": "list", "dict": "dict", "None": "none",
    "List": "list", "Dict": "dict", "Sequence": "list", "Mapping": "dict",
}  # fmt: skip


def _annotation(node: ast.expr) -> tuple[Kind | None, bool, tuple[Json, ...]]:
    """What an annotation says: the kind, whether None may be, and the values of a ``Literal``."""
    match node:
        case ast.Constant(value=None):
            return "none", True, ()
        case ast.Constant(value=str(text)):
            try:
                (inner,) = parsed(text.strip()).body
            except (SyntaxError, ValueError):
                return "any", False, ()
            return _annotation(inner.value) if isinstance(inner, ast.Expr) else ("any", False, ())
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _KIND_NAMES.get(name, "any"), False, ()
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return _either([left, right])
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            inside = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            if name == "Optional":
                return _either([*inside, ast.Constant(value=None)])
            if name == "Union":
                return _either(inside)
            if name == "Literal":
                return _literal(inside)
            if name in ("Final", "Annotated", "ClassVar"):
                return _annotation(inside[0])
            return _KIND_NAMES.get(name, "any"), False, ()
    return "any", False, ()


def _either(nodes: Iterable[ast.expr]) -> tuple[Kind | None, bool, tuple[Json, ...]]:
    parts = [_annotation(node) for node in nodes]
    kinds = {kind for kind, _, _ in parts if kind != "none"}
    optional = any(may_be_none for _, may_be_none, _ in parts)
    choices = tuple(choice for _, _, literal in parts for choice in literal)
    if kinds == {"int", "float"}:
        kinds = {"float"}
    return (
        (kinds.pop() if len(kinds) == 1 else "any"),
        optional,
        choices if len(parts) - optional == 1 else (),
    )


def _literal(nodes: Iterable[ast.expr]) -> tuple[Kind | None, bool, tuple[Json, ...]]:
    try:
        values = [_plain(node) for node in nodes]
    except (_NotPlain, ArithmeticError, ValueError):
        return "any", False, ()
    kinds = {kind_of(value) for value in values} - {"none"}
    return (
        (kinds.pop() if len(kinds) == 1 else "any"),
        None in values,
        tuple(v for v in values if v is not None),
    )


# A value that is given arrives after the cell: what the cell did with the default stays done.


def _early_uses(text: Text, found: Mapping[str, Parameter]) -> Iterator[Note]:
    bound: set[str] = set()
    used: dict[str, int] = {}  # and the first line that does
    lines: list[int] = []
    for statement in text.tree.body:
        here = bound.intersection(_read_now(statement))
        used |= {name: statement.lineno for name in sorted(here) if name not in used}
        lines += [statement.lineno + text.above] if here else []
        bound |= {name for name, _ in _assigned(statement) if name in found}
    if used:
        names = ", ".join(f"`{name}`" for name in used)
        yield Note(
            "early-use",
            lines[0] - text.above,
            f"{names} {'is' if len(used) == 1 else 'are'} used in the cell that declares {'it' if len(used) == 1 else 'them'}; "
            "a value that is given comes after this cell, so "
            + (
                f"line {lines[0]} still has"
                if len(lines) == 1
                else f"lines {', '.join(map(str, lines))} still have"
            )
            + " the default",
            "let the cell declare the parameters only, and use them in the next one",
        )


def _read_now(statement: ast.AST) -> Iterator[str]:
    """The names read when a statement runs; what a function reads when called does not count."""
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            yield node.id
        lazy = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for field, inner in ast.iter_fields(node):
            if not (lazy and field == "body"):
                waiting += [
                    child
                    for child in (inner if isinstance(inner, list) else [inner])
                    if isinstance(child, ast.AST)
                ]


def merged(declarations: Iterable[Parameter], replacing: Container[int] = ()) -> tuple[Parameter, ...]:
    """One parameter a name, in the order of the first declarations.

    Args:
        declarations: in notebook order. The cells that declare a name anew are remembered: the value is injected
            after each of them.
        replacing: cells whose defaults count for more than earlier ones (papermill's injected values).
    """
    out: dict[str, Parameter] = {}
    for one in declarations:
        before = out.get(one.name)
        if before is None:
            out[one.name] = one
            continue
        if one.cell in replacing:
            before = replace(before, default=one.default, source=one.source)
        if one.cell != before.cell and one.cell not in before.again:
            before = replace(before, again=(*before.again, one.cell))
        out[one.name] = before
    return tuple(out.values())
