"""Whether a step's condition holds: literals compared with values, read from the left and no further than needed."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Callable, Mapping
from typing import Any

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda value, values: any(_truth(value == one) for one in values),
    "not in": lambda value, values: not any(_truth(value == one) for one in values),
    "is": operator.is_,
    "is not": operator.is_not,
}
PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})
CONTAINERS = (list, tuple, dict, set, frozenset, bytearray)


class Incomparable(Exception):
    """A value that the condition cannot be decided with.

    Args:
        name: whose value it is.
        message: what is wrong with it.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


def decide(test: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Decide a condition.

    Args:
        test: the condition, as the pipeline's JSON has it.
        values: the values of the names in it.

    Returns:
        ``{"holds": bool, "because": "accuracy is 0.83"}``, or ``{"name", "error"}`` where it cannot be decided.
    """
    looked_at: dict[str, Any] = {}
    try:
        holds = _holds(test, values, looked_at)
    except Incomparable as error:
        return {"name": error.name, "error": str(error)}
    return {"holds": holds, "because": ", ".join(f"{n} is {short(v)}" for n, v in looked_at.items())}


def _holds(test: Mapping[str, Any], values: Mapping[str, Any], looked_at: dict[str, Any]) -> bool:
    kind = test["is"]
    if kind == "all":
        return all(_holds(part, values, looked_at) for part in test["of"])
    if kind == "any":
        return any(_holds(part, values, looked_at) for part in test["of"])
    if kind == "not":
        return not _holds(test["of"], values, looked_at)
    name = test["name"]
    if name not in values:
        raise Incomparable(name, f"`{name}` is not bound")
    value = looked_at[name] = values[name]
    if not _comparable(value, test["op"]):
        raise Incomparable(name, f"`{name}` ({type_name(value)}) is no single value that can be compared")
    try:
        return _truth(OPERATORS[test["op"]](value, test["value"]))
    except Exception as error:  # the value's own code says no, in whatever way
        raise Incomparable(
            name, f"`{name}` ({type_name(value)}) cannot be compared with {test['value']!r}: {error}"
        ) from None


def _comparable(value: Any, op: str) -> bool:
    """Whether it is one value, and not many, nor something that is only equal to itself."""
    if op in ("is", "is not"):
        return True
    shape = getattr(value, "shape", ())
    if isinstance(value, CONTAINERS) or (isinstance(shape, tuple) and shape != ()):
        return False
    if isinstance(value, type) or getattr(type(value), "__eq__", None) is object.__eq__:
        return value is None
    return True


def _truth(answer: Any) -> bool:
    if answer is NotImplemented:
        raise TypeError("its type does not say how")
    return bool(answer)


def short(value: Any) -> str:
    """The value in a few words: of a library's number, the number."""
    try:
        plain = value.item() if type(value).__module__ != "builtins" and hasattr(value, "item") else value
    except Exception:  # the value's own code raised, and this is only for show
        plain = value
    return reprlib.repr(plain) if type(plain) in PLAIN else f"a {type_name(value)}"


def type_name(value: Any) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ in ("builtins", "__main__")
        else f"{kind.__module__}.{kind.__qualname__}"
    )
