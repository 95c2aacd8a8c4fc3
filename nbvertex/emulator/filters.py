"""The filters and orders of list calls (AIP-160, AIP-132), and the log's, which is a little wider."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeAlias

from nbvertex.emulator.problem import ApiError

Test: TypeAlias = Callable[[Any], bool]
Function: TypeAlias = Callable[[list[str], Any], bool]
TOKEN = re.compile(
    r"""\s*(?: (?P<open>\() | (?P<close>\)) | (?P<comma>,)
        | (?P<text>"(?:[^"\\]|\\.)*" | '(?:[^'\\]|\\.)*')
        | (?P<operator>>=|<=|!=|=~|!~|=|>|<|:)
        | (?P<word>-?[^\s()=<>!:,"']+(?:"(?:[^"\\]|\\.)*"[^\s()=<>!:,"']*)*) )""",
    re.VERBOSE,
)


def _ident(message: Any) -> str:
    return str(message.name.rpartition("/")[2])


def _pipeline(message: Any) -> Any:
    info = message.pipeline_spec.fields["pipelineInfo"].struct_value.fields
    return info["name"].string_value if "name" in info else None


TOLD: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("Endpoint", "endpoint"): _ident,
    ("Model", "model"): _ident,
    ("PipelineJob", "pipeline_job_user_id"): _ident,
    ("PipelineJob", "pipeline_name"): _pipeline,
}
"""What the documentation of list calls lets filters name that is no field."""


class Filter:
    """A filter as it was said, ready to be asked.

    Args:
        text: the filter; an empty one lets everything through.
        functions: what may be called in it, by name.
        same: makes two ways to write one name alike (project ids and numbers).

    Raises:
        ApiError: it cannot be understood.
    """

    def __init__(
        self,
        text: str,
        *,
        functions: dict[str, Function] | None = None,
        same: Callable[[str], str] = lambda text: text,
    ) -> None:
        self._text, self._functions, self._same = text, functions or {}, same
        self._tokens, self._at = self._read(text), 0
        self._test: Test = lambda message: True
        if self._tokens:
            self._test = self._sequence()
            if self._at < len(self._tokens):
                raise self._wrong(self._tokens[self._at][1])

    def __call__(self, message: Any) -> bool:
        return self._test(message)

    def _read(self, text: str) -> list[tuple[str, str]]:
        tokens, at = [], 0
        text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--")).strip()
        while at < len(text):
            found = TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                raise self._wrong(text[at : at + 20])
            tokens.append((found.lastgroup, found[found.lastgroup]))
            at = found.end()
            while at < len(text) and text[at].isspace():
                at += 1
        return tokens

    def _wrong(self, near: str) -> ApiError:
        return ApiError("INVALID_ARGUMENT", f"Invalid filter {self._text!r}: unexpected {near!r}")

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "the end")

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _word(self, said: str) -> bool:
        if self._peek() == ("word", said):
            self._at += 1
            return True
        return False

    def _sequence(self) -> Test:
        """OR binds tighter than AND in AIP-160, and terms side by side are joined by AND."""
        tests = [self._alternatives()]
        while self._peek()[0] in ("word", "open", "text"):
            self._word("AND")
            tests.append(self._alternatives())
        return tests[0] if len(tests) == 1 else lambda message: all(test(message) for test in tests)

    def _alternatives(self) -> Test:
        tests = [self._term()]
        while self._word("OR"):
            tests.append(self._term())
        return tests[0] if len(tests) == 1 else lambda message: any(test(message) for test in tests)

    def _term(self) -> Test:
        if self._word("NOT") or self._word("-"):
            test = self._term()
            return lambda message: not test(message)
        kind, said = self._next()
        if kind == "open":
            test = self._sequence()
            if self._next()[0] != "close":
                raise self._wrong("the end")
            return test
        if kind not in ("word", "text") or (kind == "word" and said in ("AND", "OR")):
            raise self._wrong(said)
        if kind == "word" and said.startswith("-") and not said[1:2].isdigit():
            self._at -= 1
            self._tokens[self._at] = ("word", said[1:])
            test = self._term()
            return lambda message: not test(message)
        if self._peek()[0] == "open" and kind == "word":
            return self._call(said)
        if self._peek()[0] != "operator":
            value = unquoted(said)
            return lambda message: any(value.lower() in text.lower() for text in texts(message))
        operator = self._next()[1]
        return self._comparison(unquoted(said) if kind == "text" else said, operator)

    def _comparison(self, path: str, operator: str) -> Test:
        if self._peek()[0] == "open":  # field = (a OR b)
            self._next()
            tests = [self._one(path, operator, self._next())]
            while self._word("OR"):
                tests.append(self._one(path, operator, self._next()))
            if self._next()[0] != "close":
                raise self._wrong("the end")
            return lambda message: any(test(message) for test in tests)
        return self._one(path, operator, self._next())

    def _one(self, path: str, operator: str, token: tuple[str, str]) -> Test:
        kind, said = token
        if kind not in ("word", "text"):
            raise self._wrong(said)
        value = self._same(unquoted(said))
        names = fields_of(path)
        return lambda message: compare(reach(message, names, self._wrong), operator, value, self._same)

    def _call(self, name: str) -> Test:
        function = self._functions.get(name)
        if function is None:
            raise ApiError("INVALID_ARGUMENT", f"Invalid filter {self._text!r}: no function {name!r}")
        self._next()
        arguments: list[str] = []
        while self._peek()[0] != "close":
            kind, said = self._next()
            if kind == "end":
                raise self._wrong(said)
            if kind != "comma":
                arguments.append(self._same(unquoted(said)))
        self._next()
        return lambda message: function(arguments, message)


def unquoted(said: str) -> str:
    """A literal without its quotes."""
    if len(said) > 1 and said[0] == said[-1] and said[0] in "\"'":
        return re.sub(r"\\(.)", r"\1", said[1:-1])
    return said


def fields_of(path: str) -> list[str]:
    """``a.b."c.d".e`` as its names."""
    return [unquoted(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"|[^.]+', path)]


def snake(name: str) -> str:
    """``displayName`` as ``display_name``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda found: f"_{found[1].lower()}", name)


def reach(message: Any, names: Sequence[str], wrong: Callable[[str], ApiError]) -> Any:
    """What a message has at the end of a path of fields; None where something on the way is missing.

    Raises:
        ApiError: a message has no such field.
    """
    here = message
    for name in names:
        if here is None:
            return None
        if hasattr(here, "DESCRIPTOR"):
            here = _field(here, name, wrong)
        elif hasattr(here, "keys"):  # a map
            here = here.get(name)
        elif name not in (
            "number_value",
            "string_value",
            "bool_value",
        ):  # a value of a Struct, already its own
            return None
    return here


def _field(message: Any, name: str, wrong: Callable[[str], ApiError]) -> Any:
    kind = message.DESCRIPTOR.full_name
    if kind == "google.protobuf.Struct":
        return _value(message.fields[name]) if name in message.fields else None
    fields = message.DESCRIPTOR.fields_by_name
    field = fields.get(name) or fields.get(snake(name)) or fields.get(f"{name}_")
    if field is None:
        told = TOLD.get((message.DESCRIPTOR.name, snake(name)))
        if told is None:
            raise wrong(name)
        return told(message)
    value = getattr(message, field.name)
    if field.enum_type is not None and isinstance(value, int):
        return Named(value, field.enum_type.values_by_number[value].name)
    if field.message_type is not None and field.message_type.full_name == "google.protobuf.Value":
        return _value(value)
    return value


def _value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    return getattr(value, kind) if kind and kind != "null_value" else None


class Named(int):
    """A number of an enumeration that knows its name."""

    name: str

    def __new__(cls, number: int, name: str) -> Named:
        made = super().__new__(cls, number)
        made.name = name
        return made


def texts(message: Any) -> list[str]:
    """Every text in a message, for terms that name no field."""
    found: list[str] = []
    for _, value in message.ListFields():
        for one in value if not isinstance(value, str | bytes) and hasattr(value, "__iter__") else [value]:
            if isinstance(one, str):
                found.append(one)
            elif hasattr(one, "ListFields"):
                found += texts(one)
    return found


def seconds(text: str) -> float:
    """A time as RFC 3339 says it, in seconds since the epoch.

    Raises:
        ApiError: it is none.
    """
    try:
        made = datetime.fromisoformat(text)
    except ValueError:
        raise ApiError("INVALID_ARGUMENT", f"Invalid timestamp {text!r}") from None
    return (made if made.tzinfo else made.replace(tzinfo=UTC)).timestamp()


def compare(found: Any, operator: str, value: str, same: Callable[[str], str] = lambda text: text) -> bool:
    """Whether what a message has stands in that relation to what the filter says."""
    if operator in ("!=", "!~"):
        return not compare(found, "=" if operator == "!=" else "=~", value, same)
    if found is None:
        return False
    if hasattr(found, "ToNanoseconds"):
        return _ordered(found.ToNanoseconds() / 1e9, "=" if operator == ":" else operator, seconds(value))
    if hasattr(found, "DESCRIPTOR"):
        return operator == ":" and value == "*" and bool(found.ListFields())
    if isinstance(found, bool):
        return found is (value.lower() == "true")
    if isinstance(found, Named):
        return _enumerated(found, operator, value)
    if isinstance(found, int | float):
        return bool(found) if (operator, value) == (":", "*") else _numbered(found, operator, value)
    if isinstance(found, str):
        return _texts(same(found), operator, value)
    if hasattr(found, "keys"):  # `labels:key` asks for the key
        return bool(found) if value == "*" else value in found
    return operator in (":", "=") and any(compare(one, "=", value, same) for one in found)


def _enumerated(found: Named, operator: str, value: str) -> bool:
    wanted = value.upper()
    if operator in ("=", ":"):
        return wanted in (found.name, str(int(found))) or found.name.endswith(f"_{wanted}")
    levels = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")
    if wanted in levels:
        return _ordered(int(found), operator, levels.index(wanted) * 100)
    return wanted.isdigit() and _ordered(int(found), operator, int(wanted))


def _numbered(found: float, operator: str, value: str) -> bool:
    try:
        return _ordered(found, "=" if operator == ":" else operator, float(value))
    except ValueError:
        return False


def _texts(found: str, operator: str, value: str) -> bool:
    if operator == ":":
        return bool(found) if value == "*" else value.lower() in found.lower()
    if operator == "=~":
        return re.search(value, found) is not None
    if operator == "=" and "*" in value:
        return (
            re.fullmatch(".*".join(re.escape(part) for part in value.split("*")), found, re.DOTALL)
            is not None
        )
    return _ordered(found, operator, value)


def _ordered(found: Any, operator: str, value: Any) -> bool:
    return bool(
        {
            "=": found == value,
            ">": found > value,
            "<": found < value,
            ">=": found >= value,
            "<=": found <= value,
        }[operator]
    )


def ordered(messages: list[Any], order: str) -> list[Any]:
    """Messages in the order that ``order_by`` says, e.g. ``create_time desc, display_name``.

    Raises:
        ApiError: it cannot be understood.
    """

    def wrong(name: str) -> ApiError:
        return ApiError("INVALID_ARGUMENT", f"Invalid order_by {order!r}: unexpected {name!r}")

    for part in reversed([part.strip() for part in order.split(",") if part.strip()]):
        name, *rest = part.split()
        if [word.lower() for word in rest] not in ([], ["asc"], ["desc"]):
            raise wrong(rest[0])

        key = partial(_rank, fields_of(name), wrong)
        messages = sorted(messages, key=key, reverse=bool(rest) and rest[0].lower() == "desc")
    return messages


def _rank(names: Sequence[str], wrong: Callable[[str], ApiError], message: Any) -> tuple[bool, Any]:
    value = reach(message, names, wrong)
    if hasattr(value, "ToNanoseconds"):
        value = value.ToNanoseconds()
    return value is not None, 0 if value is None else value
