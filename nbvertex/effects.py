"""What a call may do, as far as anybody knows beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias

from nbvertex.trace import Mode

State: TypeAlias = tuple[str, str, Mode]
"""Kind, what of it (empty: any), and what is done to it."""

Result: TypeAlias = Literal[
    "plain",  # a number, a string, None: nothing that could be shared
    "new",  # an object of its own
    "holds",  # a new object that holds what was given
    "perhaps",  # nobody knows whether it is, or holds, or shares memory with what was given
    "part",  # something inside what was given
    "self",  # the object whose method it is
]


class Effect(NamedTuple):
    """What a call does.

    Args:
        result: what it returns.
        type: the type of what it returns.
        receiver: what happens to the object whose method is called.
        args: what happens to the objects given.
        changes: arguments changed in place, by position or name.
        stores: the object (or the first argument changed) keeps what was given.
        state: what it does to the state outside the names.
        everything: it may read or write any name.
        expressions: a literal among the arguments that is evaluated with the names around.
        marked: of the names in it, only those behind an ``@``.
        definitions: it may look up any function or class of the notebook by its name.
        calls: functions among the arguments are called, now or later.
    """

    result: Result = "new"
    type: str = ""
    receiver: Literal["keep", "change", "hand"] = "keep"
    args: Literal["keep", "hand", "consume"] = "keep"
    changes: tuple[int | str, ...] = ()
    stores: bool = False
    state: tuple[State, ...] = ()
    everything: bool = False
    expressions: int | str | None = None
    marked: bool = False
    definitions: bool = False
    calls: bool = True


class Given(NamedTuple):
    """What is known of a call's arguments.

    Args:
        number: how many stand by position.
        names: those given by name.
        constants: those that are literals, by position or name.
        root: the name that the call begins with.
    """

    number: int
    names: frozenset[str]
    constants: Mapping[int | str, Any]
    root: str = ""

    def literal(self, position: int, name: str) -> Any:
        """A literal argument; None where it is none or is not given."""
        return self.constants.get(position, self.constants.get(name))

    def has(self, position: int, name: str) -> bool:
        return self.number > position or name in self.names


def reads(kind: str, what: str = "") -> tuple[State, ...]:
    return ((kind, what, "read"),)


def updates(kind: str, what: str = "") -> tuple[State, ...]:
    return ((kind, what, "update"),)


def writes(kind: str, what: str = "") -> tuple[State, ...]:
    return ((kind, what, "write"),)


PURE = Effect("plain")
NEW = Effect("new")
UNKNOWN = Effect("perhaps", receiver="hand", args="hand")
EVERYTHING = Effect("perhaps", args="hand", everything=True)


def table(*entries: tuple[Effect, str]) -> dict[str, Effect]:
    """Effects by name, from names written in a row."""
    return {name: effect for effect, names in entries for name in names.split()}
