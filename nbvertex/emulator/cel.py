"""Conditions and selectors of pipelines: the part of the Common Expression Language that kfp compiles to, and a bit more."""

from __future__ import annotations

import ast
import json
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

Json = Any
TOKEN = re.compile(
    r"""\s*(?:
        (?P<number>\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+|\d+(?:[eE][+-]?\d+)?[uU]?)
      | (?P<string>r?(?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'))
      | (?P<name>[A-Za-z_]\w*)
      | (?P<sign>&&|\|\||<=|>=|==|!=|[-+*/%<>!?:.,()\[\]{}])
    )""",
    re.VERBOSE | re.DOTALL,
)


class InvalidExpression(ValueError):
    """The expression is not understood, or cannot be worked out on these values."""


def evaluate(expression: str, names: Mapping[str, Json]) -> Json:
    """The value of an expression.

    Args:
        expression: for instance `inputs.parameter_values['n'] > 3 && !(...)`.
        names: what the names in it stand for.

    Raises:
        InvalidExpression: it is not understood, or cannot be worked out on these values.
    """
    parser = _Parser(expression, names)
    value = parser.ternary()
    parser.end()
    return value


def condition(expression: str, parameters: Mapping[str, Json]) -> bool:
    """Whether a task with these input parameters is triggered.

    Raises:
        InvalidExpression: the expression is not understood, or says neither true nor false.
    """
    old = {key: _old_value(value) for key, value in parameters.items()}
    value = evaluate(expression, {"inputs": {"parameter_values": dict(parameters), "parameters": old}})
    if not isinstance(value, bool):
        raise InvalidExpression(
            f"the condition {expression!r} gives {value!r}, which is neither true nor false"
        )
    return value


def select(expression: str, value: Json) -> Json:
    """A part of a parameter, for instance `parseJson(string_value)["a"]`."""
    text = value if isinstance(value, str) else json.dumps(value)
    return evaluate(expression, {"string_value": text, "struct_value": value, "list_value": value})


def _old_value(value: Json) -> dict[str, Json]:
    """A value as schema 2.0.0 spells it."""
    if isinstance(value, bool):
        return {"bool_value": value, "string_value": json.dumps(value)}
    if isinstance(value, int | float):
        return {"int_value": value, "double_value": value, "number_value": value}
    return {"string_value": value if isinstance(value, str) else json.dumps(value)}


def _same(left: Json, right: Json) -> bool:
    if isinstance(left, bool) is not isinstance(right, bool):
        return False
    return bool(left == right)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Json, Json], bool]:
    def check(left: Json, right: Json) -> bool:
        numbers = [isinstance(one, int | float) for one in (left, right)]
        if not (all(numbers) or (isinstance(left, str) and isinstance(right, str))):
            raise InvalidExpression(f"{left!r} and {right!r} cannot be put in order")
        return compare(left, right)

    return check


def _divide(left: Json, right: Json) -> Json:
    if isinstance(left, int) and isinstance(right, int):
        return int(left / right)
    return left / right


COMPARISONS: dict[str, Callable[[Json, Json], bool]] = {
    "==": _same,
    "!=": lambda left, right: not _same(left, right),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": lambda left, right: left in right,
}
SUMS: dict[str, Callable[[Any, Any], Any]] = {"+": operator.add, "-": operator.sub}
PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {"*": operator.mul, "/": _divide, "%": operator.mod}


def _string(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _bool(value: Json) -> bool:
    if isinstance(value, str):
        return {"true": True, "True": True, "1": True, "t": True}.get(value, False)
    return bool(value)


FUNCTIONS: dict[str, Callable[..., Json]] = {
    "int": lambda value: int(float(value)) if isinstance(value, str) and "." in value else int(value),
    "uint": int,
    "double": float,
    "string": _string,
    "bool": _bool,
    "size": len,
    "parseJson": json.loads,
    "parse_json": json.loads,
    "type": lambda value: type(value).__name__,
}
METHODS: dict[str, Callable[..., Json]] = {
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "contains": lambda text, part: part in text,
    "matches": lambda text, pattern: re.search(pattern, text) is not None,
    "size": len,
}
CONSTANTS: dict[str, Json] = {"true": True, "false": False, "null": None}


class _Parser:
    """One expression, read and worked out from left to right."""

    def __init__(self, text: str, names: Mapping[str, Json]) -> None:
        self._text = text
        self._names = names
        self._tokens = list(self._split())
        self._at = 0

    def _split(self) -> list[tuple[str, str]]:
        tokens, position, text = [], 0, self._text.rstrip()
        while position < len(text):
            match = TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise InvalidExpression(
                    f"{self._text!r} is not understood at {text[position : position + 20]!r}"
                )
            tokens.append((match.lastgroup, match.group(match.lastgroup)))
            position = match.end()
        return tokens

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _take(self, *signs: str) -> str | None:
        kind, text = self._peek()
        if kind in ("sign", "name") and text in signs:
            self._at += 1
            return text
        return None

    def _expect(self, sign: str) -> None:
        if self._take(sign) is None:
            raise InvalidExpression(f"{sign!r} is missing in {self._text!r}")

    def end(self) -> None:
        if self._peek()[0] != "end":
            raise InvalidExpression(f"{self._peek()[1]!r} is not understood in {self._text!r}")

    def ternary(self) -> Json:
        value = self._either()
        if self._take("?") is None:
            return value
        yes = self.ternary()
        self._expect(":")
        no = self.ternary()
        return yes if value else no

    def _either(self) -> Json:
        value = self._both()
        while self._take("||"):
            other = self._both()
            value = bool(value) or bool(other)
        return value

    def _both(self) -> Json:
        value = self._comparison()
        while self._take("&&"):
            other = self._comparison()
            value = bool(value) and bool(other)
        return value

    def _comparison(self) -> Json:
        return self._chain(self._sum, COMPARISONS)

    def _sum(self) -> Json:
        return self._chain(self._product, SUMS)

    def _product(self) -> Json:
        return self._chain(self._unary, PRODUCTS)

    def _chain(self, part: Callable[[], Json], operators: Mapping[str, Callable[[Any, Any], Any]]) -> Json:
        value = part()
        while (sign := self._take(*operators)) is not None:
            value = self._apply(operators[sign], value, part())
        return value

    def _unary(self) -> Json:
        if self._take("!"):
            value = self._unary()
            if not isinstance(value, bool):
                raise InvalidExpression(f"! before {value!r} in {self._text!r}")
            return not value
        if self._take("-"):
            return self._apply(operator.neg, self._unary())
        return self._member()

    def _member(self) -> Json:
        value = self._primary()
        while True:
            if self._take("["):
                key = self.ternary()
                self._expect("]")
                value = self._item(value, key)
            elif self._take("."):
                name = self._next()[1]
                value = (
                    self._apply(METHODS[name], value, *self._arguments())
                    if name in METHODS and self._take("(")
                    else self._item(value, name)
                )
            else:
                return value

    def _item(self, value: Json, key: Json) -> Json:
        try:
            return value[key]
        except (KeyError, IndexError, TypeError) as error:
            raise InvalidExpression(f"{self._text!r}: there is no {key!r}") from error

    def _arguments(self) -> list[Json]:
        given = []
        while self._take(")") is None:
            given.append(self.ternary())
            if self._peek()[1] != ")":
                self._expect(",")
        return given

    def _primary(self) -> Json:
        kind, text = self._next()
        if kind == "number":
            return int(text.rstrip("uU")) if text.rstrip("uU").isdigit() else float(text)
        if kind == "string":
            return ast.literal_eval(text)
        if text == "(":
            value = self.ternary()
            self._expect(")")
            return value
        if text == "[":
            return self._list()
        if kind == "name":
            return self._name(text)
        raise InvalidExpression(f"{text or 'the end'!r} is not understood in {self._text!r}")

    def _list(self) -> list[Json]:
        items = []
        while self._take("]") is None:
            items.append(self.ternary())
            if self._peek()[1] != "]":
                self._expect(",")
        return items

    def _name(self, name: str) -> Json:
        if name in FUNCTIONS and self._take("("):
            return self._apply(FUNCTIONS[name], *self._arguments())
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name in self._names:
            return self._names[name]
        raise InvalidExpression(f"nothing is known as {name!r} in {self._text!r}")

    def _apply(self, function: Callable[..., Json], *values: Json) -> Json:
        try:
            return function(*values)
        except (TypeError, ValueError, ZeroDivisionError, OverflowError) as error:
            raise InvalidExpression(f"{self._text!r} cannot be worked out: {error}") from error
