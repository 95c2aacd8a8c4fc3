"""What may be said about a step, whoever says it (tag, magic, settings file): one table, each value checked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from nbvertex import grammar
from nbvertex.errors import nearest
from nbvertex.pipeline import Each, Options, Resources, When

Value: TypeAlias = bool | int | float | str | tuple[str, str] | When | Each
Given: TypeAlias = Mapping[
    str, Value | tuple[Value, ...]
]  # option name to value; a tuple where there may be many

LONGEST_NAME = 100
LONGEST_SHOWN = 200  # characters of a wrong value
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
ON_OFF = {"enabled": True, "true": True, "on": True, "yes": True,
           "disabled": False, "false": False, "off": False, "no": False}  # fmt: skip
# Scripts whose letters pass for Latin ones; a name that mixes them is made to be misread.
_SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE")


class Wrong(ValueError):
    """A value does not fit; the message completes "takes ...".

    Args:
        message: why.
        hint: what to write instead.
    """

    def __init__(self, message: str = "", hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def step_name(text: str) -> str:
    """A step's name, in Unicode's composed form.

    Raises:
        Wrong: it holds something that is not safe in a name.
    """
    name = unicodedata.normalize("NFC", text)
    if not name:
        raise Wrong("a step needs a name")
    if len(name) > LONGEST_NAME:
        raise Wrong(f"a step's name has at most {LONGEST_NAME} characters, this has {len(name)}")
    odd = next(
        (c for c in name if not (c in "_-." or unicodedata.category(c)[0] in "LM" or c.isdecimal())), None
    )
    if odd is not None:
        raise Wrong(f"{text!a} is no name for a step: {_called(odd)} is not allowed in it")
    if not (name[0] == "_" or name[0].isalnum()):
        raise Wrong(f"{text!a} is no name for a step: it begins with {_called(name[0])}")
    if ".." in name or name.endswith("."):
        raise Wrong(f"{text!a} is no name for a step: a dot stands between other characters")
    if unicodedata.normalize("NFKC", name) != name:
        raise Wrong(f"{text!a} is no name for a step: it holds characters that look like others")
    scripts = {
        script for c in name if c.isalpha() for script in _SCRIPTS if script in unicodedata.name(c, "")
    }
    if len(scripts) > 1:
        raise Wrong(f"{text!a} is no name for a step: it mixes {' and '.join(sorted(scripts))} letters")
    return name


def _called(character: str) -> str:
    return {" ": "a space", "\n": "a line break", "\t": "a tab"}.get(character, ascii(character))


def _pattern(pattern: str) -> Callable[[str], str]:
    compiled = re.compile(pattern)

    def parse(text: str) -> str:
        if not compiled.fullmatch(text):
            raise Wrong
        return text

    return parse


def _number(least: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or int(text) < least:
            raise Wrong
        return int(text)

    return parse


def seconds(text: str) -> float:
    """A time such as ``90``, ``90s``, ``10m`` or ``1h30m`` in seconds; Wrong where it is none."""
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]+)?", text):
        total = float(text)
    elif re.fullmatch(r"([0-9]{1,9}(\.[0-9]+)?[smhd])+", text):
        total = sum(
            float(n) * _UNITS[unit] for n, _, unit in re.findall(r"([0-9]+(\.[0-9]+)?)([smhd])", text)
        )
    else:
        raise Wrong
    if total <= 0:
        raise Wrong
    return total


def _on_off(text: str) -> bool:
    if text.lower() not in ON_OFF:
        raise Wrong
    return ON_OFF[text.lower()]


def _path(text: str) -> str:
    if not text or not text.isprintable():
        raise Wrong
    return text


def _secret(text: str) -> str:
    kale = re.fullmatch(r"([a-z0-9][a-z0-9.-]*):([A-Za-z0-9._-]+):([A-Za-z_][A-Za-z0-9_]*)", text)
    if kale:  # Kubernetes secret, its key, the variable
        return f"{kale[3]}=k8s:{kale[1]}/{kale[2]}"
    reference = r"(projects/[a-z0-9:.-]+/secrets/[\w-]+(/versions/\w+)?|k8s:[a-z0-9.-]+/[\w.-]+|[A-Za-z0-9_-]+(:\w+)?)"
    return _pattern(rf"[A-Za-z_][A-Za-z0-9_]*={reference}")(text)


def _pair(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not colon or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_./-]*", key) or not value.isprintable():
        raise Wrong
    return key, value


def _spoken(read: Callable[[str], When | Each]) -> Callable[[str], When | Each]:
    """A text in the language of `grammar`."""

    def parse(text: str) -> When | Each:
        try:
            return read(text)
        except grammar.Misread as misread:
            said = str(misread).encode("ascii", "backslashreplace").decode()
            raise Wrong(said, misread.hint) from None

    return parse


def _here(text: str) -> str:
    if text != "here":
        raise Wrong
    return text


@dataclass(frozen=True, slots=True)
class Option:
    """One row of the table.

    Args:
        name: what the user types.
        field: where the model keeps it, in ``Options`` or ``Resources``.
        parse: makes the value of a text, or raises Wrong.
        takes: what the text is, for messages.
        many: it may be said more than once, and all of it counts.
        bare: what it means without a value; None: it needs one.
    """

    name: str
    field: str
    parse: Callable[[str], Value]
    takes: str
    many: bool = False
    bare: Value | None = None

    def read(self, text: str) -> tuple[Value, ...]:
        """The values that a text says.

        Raises:
            Wrong: with the whole sentence as its message.
        """
        parts = text.split(",") if self.name == "after" else [text]
        try:
            return tuple(self.parse(part.strip()) for part in parts)
        except Wrong as wrong:
            said = str(wrong)
            shown = f"{text[:LONGEST_SHOWN]!a}" + ("..." if len(text) > LONGEST_SHOWN else "")
            raise Wrong(
                f"`{self.name}` takes {self.takes}, not {shown}" + (f": {said}" if said else ""), wrong.hint
            ) from None


_SIZE = _pattern(r"[0-9]+(\.[0-9]+)?(Ki|Mi|Gi|Ti|K|M|G|T|KB|MB|GB|TB)")
_REQUIREMENT = _pattern(
    r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?\s*(\[[A-Za-z0-9._, -]*\])?\s*"
    r"((===|[<>=!~]=|[<>])[A-Za-z0-9.*+!_ ,<>=~-]+|@\s*[^\s;]+)?\s*(;[^\n\r]+)?"
)

TABLE = (
    Option("after", "after", step_name, "names of steps", many=True),
    Option("machine", "machine", _pattern(r"[a-z][a-z0-9]*(-[a-z0-9]+)+"), "a machine type such as n1-standard-4"),
    Option("cpu", "cpu", _pattern(r"[0-9]+(\.[0-9]+)?m?"), "a number of processors such as 4 or 500m"),
    Option("memory", "memory", _SIZE, "a size with its unit such as 16Gi"),
    Option("disk", "disk", _SIZE, "a size with its unit such as 200Gi"),
    Option("gpu", "gpu", _pattern(r"[0-9]{1,3}|[A-Za-z][A-Za-z0-9_.-]*(:[0-9]{1,3})?"),
           "a number, a type or both, such as 1 or nvidia-l4:2"),
    Option("replicas", "replicas", _number(1), "a whole number from 1"),
    Option("spot", "spot", _on_off, "true or false", bare=True),
    Option("image", "image", _pattern(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*"), "a container image"),
    Option("service-account", "service_account", _pattern(r"[A-Za-z0-9.:_-]+@[A-Za-z0-9.-]+"), "an e-mail address"),
    Option("runs-on", "runs_on", _here, "`here`"),
    Option("requires", "requires", _REQUIREMENT, "a requirement such as pandas>=2", many=True),
    Option("retries", "retries", _number(0), "a whole number from 0"),
    Option("timeout", "timeout", seconds, "seconds, or a time such as 10m or 2h"),
    Option("cache", "cache", _on_off, "enabled or disabled", bare=True),
    Option("secret", "secrets", _secret, "NAME=REFERENCE, where the reference names a secret in Secret Manager",
           many=True),
    Option("in", "inputs", _path, "a file", many=True),
    Option("out", "outputs", _path, "a file", many=True),
    Option("metric", "metrics", _pattern(r"[^\W\d]\w*"), "the name of a number or of a dict of numbers", many=True),
    Option("label", "labels", _pair, "KEY:VALUE", many=True),
    Option("annotation", "annotations", _pair, "KEY:VALUE", many=True),
    Option("when", "when", _spoken(grammar.when), "a condition such as accuracy > 0.9"),
    Option("each", "each", _spoken(grammar.each), "NAME in LIST, or NAME in a name"),
)  # fmt: skip
BY_NAME: Mapping[str, Option] = {option.name: option for option in TABLE}


def add(given: dict[str, Any], option: Option, values: tuple[Value, ...]) -> None:
    """Put what was said into ``given``.

    Raises:
        Wrong: something else was said before.
    """
    if option.many:
        given[option.name] = tuple(dict.fromkeys((*given.get(option.name, ()), *values)))
        return
    (value,) = values
    before = given.setdefault(option.name, value)
    if before != value:
        raise Wrong(f"`{option.name}` is said twice: {said(before)} and {said(value)}")


def said(value: Value) -> str:
    """A value as a message shows it."""
    return f"`{value.text}`" if isinstance(value, When | Each) else repr(value)


def from_settings(name: str, value: object) -> tuple[Option, tuple[Value, ...]]:
    """An option as TOML has it: a text, a number, true or false, or a list of texts.

    Raises:
        Wrong: there is no such option, or the value does not fit.
    """
    option = BY_NAME.get(name)
    if option is None:
        near = nearest(name, BY_NAME)
        raise Wrong(f"a step has no option `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    items = value if isinstance(value, list) and option.many else [value]
    values: list[Value] = []
    for item in items:
        if isinstance(item, bool):
            item = "true" if item else "false"
        elif isinstance(item, int | float):
            item = str(item)
        elif not isinstance(item, str):
            raise Wrong(f"`{name}` takes {option.takes}, not {item!a}")
        values += option.read(item)
    return option, tuple(values)


def build(layers: Iterable[Given]) -> tuple[Options, Resources]:
    """The model of what several places say; where there is one value, the later layer wins."""
    fields: dict[str, Any] = {}
    for layer in layers:
        for name, value in layer.items():
            option = BY_NAME[name]
            if option.parse is _pair:
                fields[option.field] = {**fields.get(option.field, {}), **dict(value)}  # type: ignore[arg-type]
            elif option.many:
                fields[option.field] = tuple(dict.fromkeys((*fields.get(option.field, ()), *value)))  # type: ignore[misc]
            else:
                fields[option.field] = value
    mine = Options.__struct_fields__
    return (
        Options(**{name: value for name, value in fields.items() if name in mine}),
        Resources(**{name: value for name, value in fields.items() if name not in mine}),
    )
