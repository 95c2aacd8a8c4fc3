"""The values that a user gives for parameters: papermill's flags, checked against what the notebook declares."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from nbvertex.declarations import kind_of, why_no_json
from nbvertex.errors import ParameterError, Place, nearest
from nbvertex.pipeline import Json, Kind, Parameter
from nbvertex.runtime.orders import by_papermill

_TAKES: Mapping[Kind, str] = {
    "any": "any value", "none": "any value", "int": "a whole number", "float": "a number", "bool": "True or False",
    "str": "a text", "list": "a list", "dict": "a mapping",
}  # fmt: skip


def resolve(
    parameters: Sequence[Parameter],
    raw: Iterable[tuple[str, str, bool]] = (),
    files: Iterable[str | Path] = (),
    yaml_text: Iterable[str] = (),
) -> dict[str, Json]:
    """The values given, typed and checked; a parameter that none is given for keeps its default and is not in it.

    Later ones win, as in papermill: files, then YAML texts, then ``-p``, then ``-r``.

    Args:
        parameters: what the notebook declares.
        raw: name, text, and whether it is ``-r`` (the text as it is) rather than ``-p`` (read by its type).
        files: YAML or JSON files, each a mapping.
        yaml_text: YAML texts, each a mapping.

    Raises:
        ParameterError: a name is unknown, a value does not fit, a file cannot be read; all of it in one.
    """
    known = {parameter.name: parameter for parameter in parameters}
    given: dict[str, Callable[[Parameter], Json]] = {}  # what reads the value, once its parameter is known
    for where, mapping in (*((str(file), _file(Path(file))) for file in files),
                           *(("-y", _yaml(text, "-y")) for text in yaml_text)):  # fmt: skip
        given.update({name: partial(_as_it_is, value) for name, value in _mapping(mapping, where).items()})
    for name, text, is_raw in sorted(
        raw, key=lambda item: item[2]
    ):  # stable: -p in their order, then -r in theirs
        given[name] = partial(_read, text, is_raw)
    values: dict[str, Json] = {}
    troubles: list[ParameterError] = []
    for name, read in given.items():
        try:
            if name not in known:
                raise _unknown(name, parameters)
            values[name] = _checked(known[name], read(known[name]))
        except ParameterError as error:
            troubles.append(error)
    if troubles:
        raise _together(troubles)
    return {name: values[name] for name in known if name in values}


def _together(troubles: Sequence[ParameterError]) -> ParameterError:
    first = troubles[0]
    if len(troubles) == 1:
        return first
    hints = dict.fromkeys(trouble.hint for trouble in troubles if trouble.hint)
    return ParameterError("; ".join(trouble.message for trouble in troubles), hint="; ".join(hints) or None)


def _unknown(name: str, parameters: Sequence[Parameter]) -> ParameterError:
    if not parameters:
        return ParameterError(
            f"there is no parameter {name!a}: the notebook declares none",
            hint="tag the cell that assigns the defaults `parameters`",
        )
    near = nearest(name, [parameter.name for parameter in parameters])
    known = ", ".join(f"{p.name} ({p.kind})" if p.kind != "any" else p.name for p in parameters)
    meant = f"did you mean `{near}`? " if near else ""
    return ParameterError(f"there is no parameter {name!a}", hint=f"{meant}known: {known}")


# Reading what was given.


def _as_it_is(value: Json, parameter: Parameter) -> Json:
    return value


def _read(text: str, is_raw: bool, parameter: Parameter) -> Json:
    """A text from the command line as a value of the parameter's type."""
    kind = parameter.kind
    if is_raw:
        if kind not in ("str", "any", "none"):
            raise _wrong(
                parameter, f"takes {_TAKES[kind]}, and -r gives a text", f"-p {parameter.name} {text}"
            )
        return text
    if kind == "str":
        return None if parameter.optional and text == "None" else text
    if kind in ("any", "none") or (parameter.optional and text == "None"):
        return by_papermill(text)
    if kind in ("list", "dict"):
        return _yaml(text, f"-p {parameter.name}")  # type: ignore[no-any-return]
    if kind == "bool":
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    try:
        return int(text)
    except ValueError:
        pass
    if kind == "float":
        try:
            return float(text)
        except ValueError:
            pass
    return text  # does not fit, as the check will say


def _file(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ParameterError(f"the parameters file {str(path)!r} cannot be read: {reason}") from error
    if path.suffix.lower() == ".json":
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ParameterError(f"the parameters file {str(path)!r} is no JSON: {error}") from error
    return _yaml(text, str(path))


def _yaml(text: str, where: str) -> Any:
    if text.lstrip()[:1] in (
        "{",
        "[",
    ):  # PyYAML reads JSON's 1e5 and its pairs of surrogates as something else
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(text)
    import yaml

    class Loader(yaml.SafeLoader):
        """Dates stay texts, as in papermill; numbers may be written 1e-5, as in YAML 1.2."""

    Loader.yaml_implicit_resolvers = {
        first: [rule for rule in rules if rule[0] != "tag:yaml.org,2002:timestamp"]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    power = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+")
    Loader.add_implicit_resolver("tag:yaml.org,2002:float", power, list("-+.0123456789"))
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        at = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise ParameterError(
            f"the YAML of {where} cannot be read: {error.problem or error.context}{at}"
        ) from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        # what PyYAML lets through for odd tags such as `!!int x`
        raise ParameterError(f"the YAML of {where} cannot be read: {error}") from error


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ParameterError(
            f"{where} holds {_article(kind_of(value))}, not names with values", hint="NAME: VALUE"
        )
    odd = next((key for key in value if not isinstance(key, str)), None)
    if odd is not None:
        raise ParameterError(f"{where} names a parameter {odd!a}, which is no name")
    return value


def _article(kind: Kind) -> str:
    return {"any": "something else", "none": "nothing"}.get(kind) or _TAKES[kind]


# Checking a value against its declaration.


def _checked(parameter: Parameter, value: Json) -> Json:
    why = why_no_json(value)
    if why is not None:
        raise _wrong(parameter, f"cannot be {_shown(value)}: {why}")
    kind = kind_of(value)
    fits = (
        parameter.kind in ("any", "none", kind)
        or (kind == "none" and parameter.optional)
        or (kind == "int" and parameter.kind == "float")
    )
    if not fits:
        raise _wrong(parameter, f"takes {_takes(parameter)}, not {_shown(value)}")
    if kind == "none" and parameter.optional:
        return value
    if parameter.choices and not any(type(one) is type(value) and one == value for one in parameter.choices):
        listed = ", ".join(map(_shown, parameter.choices))
        near = (
            nearest(value, [c for c in parameter.choices if isinstance(c, str)])
            if isinstance(value, str)
            else None
        )
        raise _wrong(
            parameter,
            f"takes one of {listed}, not {_shown(value)}",
            f"did you mean {near!a}?" if near else None,
        )
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = parameter.minimum, parameter.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            ends = (
                f"from {low} to {high}"
                if None not in (low, high)
                else f"from {low}"
                if high is None
                else f"to {high}"
            )
            raise _wrong(parameter, f"takes a number {ends}, not {value}")
    return value


def _takes(parameter: Parameter) -> str:
    return _TAKES[parameter.kind] + (" or None" if parameter.optional else "")


def _shown(value: object) -> str:
    try:
        text = ascii(value)
    except (RecursionError, ValueError):
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def _wrong(parameter: Parameter, message: str, hint: str | None = None) -> ParameterError:
    if hint is None and parameter.source:
        hint = f"its default is {parameter.source if len(parameter.source) <= 60 else parameter.source[:57] + '...'}"
    place = Place(cell=parameter.cell or None, line=parameter.line or None)
    return ParameterError(f"parameter `{parameter.name}` {message}", place=place, hint=hint)
