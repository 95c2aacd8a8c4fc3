"""The small language of `when` and `each`: read with Python's own parser, nothing of it is ever run."""

from __future__ import annotations

import ast
import io
import math
import re
import tokenize
import warnings
from typing import TypeGuard

from nbvertex.pipeline import AllOf, AnyOf, Compare, Condition, Each, Item, Json, Not, Operator, When

LONGEST = 2000  # characters
MOST_ITEMS = 1000
DEEPEST = 40  # conditions within conditions, lists within lists
WHOLE = 1 << 63  # whole numbers as every JSON reader holds them
OPERATORS: dict[type[ast.cmpop], Operator] = {
    ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=",
    ast.In: "in", ast.NotIn: "not in", ast.Is: "is", ast.IsNot: "is not",
}  # fmt: skip
TURNED: dict[Operator, Operator] = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
OF_IPYTHON = re.compile(r"_+|_i*\d*|_[iod]h|In|Out")  # names that it binds itself, cell after cell
FORM = "NAME OP LITERAL, joined by and, or, not"


class Misread(ValueError):
    """A text is none of this language.

    Args:
        message: why, as a part of a sentence.
        hint: what to write instead.
    """

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def when(text: str) -> When:
    """The condition that a text says, such as ``accuracy > 0.9 and mode == "train"``.

    Raises:
        Misread: it says none.
    """
    tree = _parsed(text, "accuracy > 0.9")
    return When(text=ast.unparse(tree), test=_condition(tree))


def each(text: str) -> Each:
    """The loop that a text says, such as ``lr in [0.1, 0.01]`` or ``lr in rates``.

    Raises:
        Misread: it says none.
    """
    tree = _parsed(text, "lr in [0.1, 0.01]")
    match tree:
        case ast.Compare(left=ast.Name(id=name), ops=[ast.In()], comparators=[source]):
            pass
        case _:
            raise Misread("it is not NAME in LIST", "each: lr in [0.1, 0.01], or each: lr in rates")
    said = ast.unparse(tree)
    if OF_IPYTHON.fullmatch(name):
        raise Misread(f"`{name}` is a name that IPython binds", "take another name")
    if isinstance(source, ast.Name):
        if source.id == name:
            raise Misread(f"`{name}` cannot be both the name and the list", f"each: one in {name}")
        return Each(text=said, name=name, source=source.id)
    if not isinstance(source, ast.List | ast.Tuple):
        kind = _kind(source)
        raise Misread(
            f"{kind} is no list of literals", "bind it to a name in a step before, and say that name"
        )
    if len(source.elts) > MOST_ITEMS:
        raise Misread(f"it has {len(source.elts):,} items, and {MOST_ITEMS:,} is the most")
    return Each(text=said, name=name, items=tuple(_item(element) for element in source.elts))


def names(condition: Condition) -> tuple[str, ...]:
    """The names that a condition reads, each once, in order."""
    if isinstance(condition, Compare):
        return (condition.name,)
    if isinstance(condition, Not):
        return names(condition.of)
    return tuple(dict.fromkeys(name for part in condition.of for name in names(part)))


def _parsed(text: str, example: str) -> ast.expr:
    if len(text) > LONGEST:
        raise Misread(f"it is longer than {LONGEST:,} characters")
    if not text.strip():
        raise Misread("it is empty", example)
    if "\0" in text or "\n" in text.strip():
        raise Misread("it takes one line of text")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in texts
            tree = ast.parse(_with_commas(text.strip()), mode="eval").body
    except (SyntaxError, tokenize.TokenError) as error:
        why = error.msg if isinstance(error, SyntaxError) else str(error.args[0])
        raise Misread(why, f"for instance {example}") from None
    except (ValueError, MemoryError, RecursionError):
        raise Misread("it cannot be read") from None
    if _deeper(tree, DEEPEST):
        raise Misread(f"it is nested deeper than {DEEPEST} times")
    return tree


def _with_commas(text: str) -> str:
    """A tag can hold no comma by the rules of nbformat, so that `;` may stand for one; it means nothing else here."""
    if ";" not in text:
        return text
    found = list(text)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.OP and token.string == ";":
            found[token.start[1]] = ","
    return "".join(found)


def portable(text: str) -> str:
    """The same without a comma, as a tag must be by the rules of nbformat; `_with_commas` reads it."""
    found = list(text)
    lines = io.StringIO(text)
    try:
        for token in tokenize.generate_tokens(lines.readline):
            if token.string == "," and token.type == tokenize.OP:
                found[token.start[1]] = ";"
            elif token.type == tokenize.STRING:
                start, end = token.start[1], token.end[1]
                found[start:end] = [r"\x2c" if c == "," else c for c in text[start:end]]
    except (tokenize.TokenError, SyntaxError):
        pass  # it is none of this language, and stays as it is
    return "".join(found)


def _deeper(tree: ast.AST, levels: int) -> bool:
    layer: list[ast.AST] = [tree]
    for _ in range(levels):
        layer = [child for node in layer for child in ast.iter_child_nodes(node)]
        if not layer:
            return False
    return True


def _condition(tree: ast.expr) -> Condition:
    match tree:
        case ast.BoolOp(op=ast.And(), values=parts):
            return AllOf(of=tuple(_condition(part) for part in parts))
        case ast.BoolOp(values=parts):
            return AnyOf(of=tuple(_condition(part) for part in parts))
        case ast.UnaryOp(op=ast.Not(), operand=part):
            return Not(of=_condition(part))
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return _compare(left, OPERATORS[type(op)], right)
        case ast.Compare():
            raise Misread("it compares more than two things", "join two comparisons with `and`")
        case ast.Name(id=name):
            raise Misread(f"`{name}` is compared with nothing", f"{name} == True")
        case ast.Constant():
            raise Misread("it reads no name", FORM)
    raise Misread(f"{_kind(tree)} is not allowed in it: it is {FORM}", _instead(tree))


def _compare(left: ast.expr, op: Operator, right: ast.expr) -> Compare:
    if not isinstance(left, ast.Name) and isinstance(right, ast.Name) and op in TURNED:
        left, op, right = right, TURNED[op], left
    if not isinstance(left, ast.Name):
        what = "it reads no name" if _is_literal(left) else f"{_kind(left)} is not allowed in it"
        raise Misread(f"{what}: it is {FORM}", _instead(left))
    if isinstance(right, ast.Name):
        raise Misread(
            f"it compares `{left.id}` with another name, `{right.id}`",
            "compare them in a cell, bind the answer to a name, and say NAME == True",
        )
    several = isinstance(right, ast.List | ast.Tuple | ast.Set)
    if op in ("in", "not in"):
        if not several:
            raise Misread(f"`{op}` takes a list, not {_kind(right)}", f'{left.id} {op} ["a", "b"]')
        return Compare(name=left.id, op=op, value=[_scalar(one) for one in right.elts])  # type: ignore[attr-defined]
    if several:
        raise Misread("a list is compared with `in` and `not in` only", f"{left.id} in [...]")
    value = _scalar(right)
    if op in ("is", "is not") and not (value is None or isinstance(value, bool)):
        raise Misread(f"`{op}` takes None, True or False", f"{left.id} == ...")
    return Compare(name=left.id, op=op, value=value)


def _instead(tree: ast.expr) -> str | None:
    if isinstance(tree, ast.Call | ast.Attribute | ast.Subscript | ast.BinOp | ast.NamedExpr | ast.IfExp):
        return "bind it to a name in a cell of a step before, and say that name"
    return None


def _scalar(tree: ast.expr) -> Json:
    value = _value(tree)
    if isinstance(value, list | dict | tuple):
        raise Misread(f"{ast.unparse(tree)} is no number, text, bool or None")
    return value


def _is_literal(tree: ast.expr) -> bool:
    try:
        ast.literal_eval(tree)
    except (ValueError, TypeError, MemoryError, RecursionError):
        return False
    return True


def _item(tree: ast.expr) -> Item:
    value = _value(tree)
    return Item(source=ast.unparse(tree), value=value)


def _value(tree: ast.expr) -> Json:
    """A literal as JSON; a tuple is a list there."""
    if not _is_literal(tree):
        raise Misread(f"{_kind(tree)} is no literal: {ast.unparse(tree):.60}", _instead(tree))
    value = ast.literal_eval(tree)
    if not _is_json(value):
        raise Misread(f"{ast.unparse(tree):.60} is no number, text, bool, None, or list of these")
    return _listed(value)


def _is_json(value: object) -> TypeGuard[Json]:
    if isinstance(value, list | tuple):
        return all(_is_json(one) for one in value)
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(one) for key, one in value.items())
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -WHOLE <= value < WHOLE
    return value is None or isinstance(value, str)


def _listed(value: Json) -> Json:
    if isinstance(value, list | tuple):
        return [_listed(one) for one in value]
    if isinstance(value, dict):
        return {key: _listed(one) for key, one in value.items()}
    return value


_KINDS: dict[type[ast.expr], str] = {
    ast.Call: "a call",
    ast.Attribute: "an attribute",
    ast.Subscript: "an element",
    ast.BinOp: "arithmetic",
    ast.Lambda: "a function",
    ast.IfExp: "`if`",
    ast.NamedExpr: "`:=`",
    ast.JoinedStr: "a text with {...}",
    ast.Await: "`await`",
    ast.Starred: "`*`",
    ast.Name: "a name",
    ast.Constant: "a single value",
    ast.Dict: "a dict",
    ast.Set: "a set",
    ast.List: "a list",
    ast.Tuple: "a tuple",
}


def _kind(tree: ast.expr) -> str:
    return _KINDS.get(type(tree), "that")
