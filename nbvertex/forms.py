"""Colab's form fields: what a comment such as ``# @param {type:"slider", min:0, max:10}`` says."""

from __future__ import annotations

import ast
import json
import re
from dataclasses import dataclass
from typing import Any

from nbvertex.pipeline import Json, Kind

MARK = re.compile(r"#+\s*@param\b")
_TEXT = r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"
_OBJECT = re.compile(rf"\{{((?:[^{{}}\"']|{_TEXT})*)\}}")
_LIST = re.compile(rf"\[(?:[^\[\]\"']|{_TEXT})*\]")
_PAIR = re.compile(rf"\s*(?P<key>[\w-]+|{_TEXT})\s*:\s*(?P<value>{_TEXT}|[^,\"'\s][^,\"']*?)\s*(?:,|$)")
_WORDS = {"true": True, "false": False, "null": None, "none": None}

_KINDS: dict[str, Kind | None] = {
    "string": "str", "text": "str", "date": "str", "integer": "int", "boolean": "bool", "number": "float",
    "slider": None, "raw": None,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Form:
    """A form field.

    Args:
        kind: the type that it asks for; None where the default tells it.
        choices: the values that its list offers, where no others may be typed.
        minimum, maximum: a slider's ends.
        text: what stands beside it.
        trouble: what could not be read, or empty.
    """

    kind: Kind | None = None
    choices: tuple[Json, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    text: str = ""
    trouble: str = ""


def read(comment: str) -> Form | None:
    """The form field in a comment; None where it has none."""
    mark = MARK.match(comment)
    if mark is None:
        return None
    rest, trouble = comment[mark.end() :].strip(), ""
    said: dict[str, Any] = {}
    listed: list[Json] | None = None
    while rest[:1] in ("{", "["):
        found = (_OBJECT if rest[0] == "{" else _LIST).match(rest)
        if found is None:
            trouble = rest
            break
        if rest[0] == "{":
            said, unread = _pairs(found[1])
            trouble = trouble or unread
        else:
            listed = _items(found[0])
            trouble = trouble or ("" if listed is not None else found[0])
        rest = rest[found.end() :].lstrip(" \t,")
    kind = said.get("type")
    if isinstance(kind, str) and kind.lower() not in _KINDS:
        trouble = trouble or f"type: {kind}"
    choices = tuple(listed) if listed and said.get("allow-input") is not True else ()
    if kind == "raw":
        choices = _raw(choices)
    sliding = any(isinstance(said.get(key), float) for key in ("min", "max", "step"))
    return Form(
        kind="float" if sliding else _KINDS.get(kind.lower()) if isinstance(kind, str) else None,
        choices=choices,
        minimum=_number(said.get("min")),
        maximum=_number(said.get("max")),
        text="" if trouble else rest,
        trouble=trouble,
    )


def _pairs(text: str) -> tuple[dict[str, Any], str]:
    """The pairs of a JavaScript object, and what is no pair."""
    said: dict[str, Any] = {}
    at = 0
    text = text.strip()
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            return said, text[at:].strip(" ,")
        said[pair["key"].strip("\"'")] = _value(pair["value"])
        at = pair.end()
    return said, ""


def _value(text: str) -> Any:
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _items(text: str) -> list[Json] | None:
    for load in (json.loads, ast.literal_eval):
        try:
            items = load(text)
        except (ValueError, SyntaxError, RecursionError):
            continue
        if all(item is None or isinstance(item, bool | int | float | str) for item in items):
            return list(items)
    return None


def _raw(choices: tuple[Json, ...]) -> tuple[Json, ...]:
    """The values of a raw list, whose items are Python; nothing where one is more than a literal."""
    try:
        values = [ast.literal_eval(item) if isinstance(item, str) else item for item in choices]
    except (ValueError, SyntaxError):
        return ()
    return tuple(values) if all(v is None or isinstance(v, bool | int | float | str) for v in values) else ()


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
