"""What a container is told to do: one step of a notebook, as JSON and the texts of its cells."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json import dumps, loads
from typing import Any

from .jobs import CellJob

FORMAT = "nbvertex.step/1"
_LONGEST = 16_000  # characters of a word: a system takes 128 KB, and a character may become six bytes
# placeholders of KFP and Argo, variables of Kubernetes, the interpreter of kfp.local, and what no argument can hold
_REPLACED = re.compile(r"\{\{|\}\}|\$\$|\$\(|python3|[\0\r\ud800-\udfff]")


class NotAnOrder(Exception):
    """It was written by another version, or by nobody."""


@dataclass(frozen=True)
class Parameter:
    """A value that may be injected.

    Args:
        name: the Python name.
        cells: after which cells it is set.
        kind: what it is given as: int, float, bool, str, list, dict, none or any.
        given: the name under which its value comes, where that is another.
        default: what its cell gives it; a value equal to it is not injected.
        known: there is a default.
    """

    name: str
    cells: tuple[int, ...]
    kind: str = "any"
    given: str = ""
    default: Any = None
    known: bool = False


@dataclass(frozen=True)
class Order:
    """One step to run; see `nbvertex.plan.Planned` for what most of it means.

    Args:
        notebook, pipeline: the file's name and the pipeline's.
        step, index: the step, and its place in notebook order.
        cells: its code.
        wanted, live, imports, last: what it loads, keeps, imports, and whether nothing follows.
        draws: it draws random numbers.
        parameters: what may be injected.
        requirements: what must be installed.
        secrets: environment variables and the secrets that they hold, each ``NAME=projects/.../versions/...``.
        outputs: the files that it is asked for by name.
        measures: names whose numbers are its metrics.
        values: names that are shown as artifacts of their own.
        limit: bytes of output kept per cell.
        timeout: seconds for an attempt.
        task: what is done instead of running the cells, or beside it (see `tasks`); None: nothing.
        own_image: its image was chosen for it, so that the versions in it are the right ones.
        exact: values come as they were given, and only those that were given.
    """

    notebook: str
    pipeline: str
    step: str
    index: int
    cells: tuple[CellJob, ...]
    wanted: tuple[str, ...] | None = None
    live: tuple[str, ...] | None = None
    imports: tuple[str, ...] = ()
    last: bool = False
    draws: bool = False
    parameters: tuple[Parameter, ...] = ()
    requirements: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    limit: int = 10_000_000
    timeout: float | None = None
    task: Mapping[str, Any] | None = None
    own_image: bool = False
    exact: bool = False

    @property
    def kind(self) -> str:
        """The task's, or ``run``."""
        return self.task["kind"] if self.task is not None else "run"

    def given(self, values: Mapping[str, Any]) -> tuple[tuple[int, str, object], ...]:
        """What is injected after which cell, of the values that were given by name."""
        found: list[tuple[int, str, object]] = []
        for parameter in self.parameters:
            name = parameter.given or parameter.name
            if name in values:
                value = values[name] if self.exact else typed(values[name], parameter)
                if self.exact or not (parameter.known and same(value, parameter.default)):
                    found += [(cell, parameter.name, value) for cell in parameter.cells]
        return tuple(found)


def read(said: Mapping[str, Any], texts: Sequence[str]) -> Order:
    """The order that was given as JSON; the cells' sources are the texts.

    Raises:
        NotAnOrder: it does not fit.
    """
    if said.get("format") != FORMAT:
        raise NotAnOrder("this step was written by another version of nbvertex")
    fields = {key: value for key, value in said.items() if key != "format"}
    if len(fields["cells"]) != len(texts):
        raise NotAnOrder("the step has lost some of its cells")
    cells = tuple(
        CellJob(
            position=cell["position"], count=cell["count"], source=text, may_fail=cell.get("may_fail", False)
        )
        for cell, text in zip(fields.pop("cells"), texts, strict=True)
    )
    parameters = tuple(
        Parameter(**{**one, "cells": tuple(one["cells"])}) for one in fields.pop("parameters", ())
    )
    lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    return Order(**{**fields, **lists, "cells": cells, "parameters": parameters})


def joined(words: Sequence[str]) -> list[str]:
    """The texts that a command line carries.

    Args:
        words: each is ``text:`` and a text, ``json:`` and a text as JSON has it, or ``more:`` or ``more-json:`` and the
            next piece of the text before.
    """
    found: list[str] = []
    for word in words:
        kind, _, text = word.partition(":")
        text = loads(text) if kind.endswith("json") else text
        if kind.startswith("more"):
            found[-1] += text
        else:
            found.append(text)
    return found


def worded(text: str) -> list[str]:
    """The words that carry a text: as it is, or as JSON where some launcher would put something else in its place."""
    plain = is_plain(text)
    pieces = [text[at : at + _LONGEST] for at in range(0, len(text), _LONGEST)] or [""]
    words = []
    for number, piece in enumerate(pieces):
        kind = ("more-" if number else "") + "json" if not plain else "more" if number else "text"
        words.append(f"{kind}:{piece if plain else as_json(piece)}")
    return words


def is_plain(text: str) -> bool:
    """Whether a text can be an argument as it is."""
    return len(text) <= _LONGEST and not _REPLACED.search(text)


def as_json(value: Any) -> str:
    """JSON in which nothing stands that some launcher would put something else in the place of."""
    text = dumps(value, indent=1, ensure_ascii=True)  # no two braces side by side but within texts
    return _REPLACED.sub(lambda m: "".join(f"\\u{ord(c):04x}" for c in m[0]), text)


def typed(value: Any, parameter: Parameter) -> Any:
    """A value as the notebook means it: services hand on every number within lists and dicts as a float."""
    if parameter.kind == "int" and isinstance(value, float) and value.is_integer():
        return int(value)
    if parameter.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if parameter.kind in ("list", "dict"):
        return _whole(value)
    if parameter.kind in ("any", "none") and isinstance(value, str):
        return by_papermill(value)
    return value


def by_papermill(text: str) -> bool | int | float | str | None:
    """A text for a parameter of no declared type, as papermill reads it."""
    if text in ("True", "False", "None"):
        return {"True": True, "False": False}.get(text)
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return value


def same(a: Any, b: Any) -> bool:
    """Equal, and of equal types throughout; numbers within lists and dicts only equal."""
    if isinstance(a, list | dict):
        return bool(type(a) is type(b) and a == b)
    return type(a) is type(b) and bool(a == b)
