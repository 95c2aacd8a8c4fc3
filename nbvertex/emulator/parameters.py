"""Parameters of pipelines: a value as its declared type wants it, and what a run is given against what it declares."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from nbvertex.emulator.placeholders import as_text
from nbvertex.emulator.spec import Component, InvalidSpec, whole_numbers

Json = Any


def _integer(value: Json) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)


def _double(value: Json) -> float:
    if isinstance(value, bool):
        raise ValueError  # noqa: TRY004 - one border translates it
    return float(value)


def _boolean(value: Json) -> bool:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}[str(value).strip().lower()]


def _list(value: Json) -> list[Json]:
    held = json.loads(value) if isinstance(value, str) else value
    if not isinstance(held, list):
        raise ValueError  # noqa: TRY004 - one border translates it
    return held


def _struct(value: Json) -> dict[str, Json]:
    held = json.loads(value) if isinstance(value, str) else value
    if not isinstance(held, dict):
        raise ValueError  # noqa: TRY004 - one border translates it
    return held


READERS: dict[str, Callable[[Json], Json]] = {
    "NUMBER_INTEGER": _integer,
    "NUMBER_DOUBLE": _double,
    "STRING": as_text,
    "BOOLEAN": _boolean,
    "LIST": _list,
    "STRUCT": _struct,
}


def typed(value: Json, kind: str) -> Json:
    """A value as its type wants it; text is read where the type is no string.

    Args:
        value: the value, or the text of a file that an executor wrote.
        kind: `NUMBER_INTEGER`, `STRING`, ...

    Raises:
        ValueError: it is no such value.
    """
    if value is None or kind not in READERS:
        return value
    try:
        return READERS[kind](value)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{value!r} is no {kind}") from error


def run_parameters(root: Component, given: Mapping[str, Json]) -> dict[str, Json]:
    """The parameters of a run: what is given, else what is declared.

    Raises:
        InvalidSpec: one is unknown, of another type, not among its literals, or missing.
    """
    for name in given:
        if name not in root.parameters:
            raise InvalidSpec(f"Input parameter {name!r} is not defined in the pipeline's root component.")
    values = {}
    for name, declared in root.parameters.items():
        value = whole_numbers(given.get(name, declared.default))
        if value is None:
            if not declared.optional:
                raise InvalidSpec(f"Input parameter {name!r} is required but no value is given.")
            continue
        if declared.type == "STRING" and not isinstance(value, str):
            raise InvalidSpec(f"Input parameter {name!r} must be a STRING, not {value!r}.")
        try:
            values[name] = typed(value, declared.type)
        except ValueError as error:
            raise InvalidSpec(f"Input parameter {name!r}: {error}.") from error
        if declared.literals and values[name] not in declared.literals:
            known = ", ".join(map(as_text, declared.literals))
            raise InvalidSpec(f"Input parameter {name!r} is {value!r}, which is none of: {known}.")
    return values
