"""What a piece of code does, event by event, to objects that are known by number only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias


class Partly(str):
    """A string whose literal parts are known: an f-string."""

    __slots__ = ()


class Value(NamedTuple):
    """What an expression may evaluate to: sets of objects, a bit each, and what is known of its origin.

    Args:
        at: the objects that it may be.
        within: objects in which it may be found, however deep (``x.a``, ``x[0]``).
        path: where it comes from (``pandas.read_csv``), or the type it has (``pandas.DataFrame()``).
    """

    at: int = 0
    within: int = 0
    path: str = ""

    @property
    def all(self) -> int:
        return self.at | self.within


PLAIN = Value()  # numbers, strings and the like: nothing that could be shared or changed


def join(one: Value, other: Value) -> Value:
    """What may be the one or the other."""
    if one == other:
        return one
    if one.path != other.path:
        one, other = settled(one), settled(other)
    return Value(one.at | other.at, one.within | other.within, one.path if one.path == other.path else "")


def part(value: Value) -> Value:
    """Something inside it: an item, an attribute, what it yields."""
    return Value(0, value.at | value.within) if value.at or value.within else PLAIN


def dotted(value: Value, names: tuple[str, ...]) -> Value:
    """An attribute of it, or one of that; a path that begins with a dot counts from what the object turns out to be."""
    if not names or value is PLAIN:
        return value
    if value.path:
        return value._replace(path=f"{value.path}.{'.'.join(names)}")
    if value.at and not value.within and not value.at & (value.at - 1):
        return Value(value.at, 0, "." + ".".join(names))
    return part(value)


def settled(value: Value) -> Value:
    """It without a path that counts from an object."""
    return Value(0, value.at | value.within) if value.path.startswith(".") else value


class Call(NamedTuple):
    """A call as it stands in the code: ``root.names[0].names[1](...)``.

    Args:
        root: what the dotted name begins with.
        names: the attributes that follow.
        args: positional arguments; one with a star counts as one.
        keywords: arguments by name; ``**`` stands at the empty name.
        constants: those arguments that are literals, by position or name.
        starred: whether ``*`` or ``**`` hides which parameter gets what.
        dropped: the result is thrown away, so that the call is there for its effect.
        decorates: the call is a decorator's: what it gets, it does not call now.
        result: the object's number that the result is known by.
        line: where it stands.
        root_name: the name that the dotted name begins with, where it is one.
        in_function: the call stands in a function's body.
        branch: it stands under a condition, or in a loop.
    """

    root: Value
    names: tuple[str, ...]
    args: tuple[Value, ...]
    keywords: Mapping[str, Value]
    constants: Mapping[int | str, Any]
    starred: bool
    dropped: bool
    decorates: bool
    result: int
    line: int
    root_name: str = ""
    in_function: bool = False
    branch: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function's body and how its parameters are filled.

    Args:
        name: as it is defined.
        trace: what the body does; object 0 is the function itself, its parameters follow.
        positional: parameters that positions fill, in order.
        keyword: further ones that only names fill.
        rest: the parameters ``*args`` and ``**kwargs``, those there are.
        bound: whether a method gets its object first (not for a staticmethod).
        by_load: a property: loading the attribute calls it.
        generator: calling it gives an iterator.
    """

    name: str
    trace: Trace
    positional: tuple[str, ...] = ()
    keyword: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()
    bound: bool = True
    by_load: bool = False
    generator: bool = False


Mode: TypeAlias = Literal["read", "write", "update"]  # an update reads what it writes over
Event: TypeAlias = tuple[Any, ...]
"""One of:

``("use", value, line)``, ``("bind", name, value, line, sure)``, ``("unbind", name, line, sure)``, ``("change", value, line)``
(in place), ``("consume", value, line)`` (iterate over), ``("enter", value, line)`` (a ``with``), ``("hold", holder, value)``,
``("item", object, container, line)``, ``("compute", object, operands, holds, line)``, ``("call", Call)``, ``("define", object)``,
``("state", kind, what, mode, line)``, ``("everything", line)``, ``("show", value)``,
``("raise", value)``, ``("caught", object)``.
"""


@dataclass(slots=True)
class Trace:
    """Events in order, and what is known about the objects in them.

    Args:
        events: what happens.
        size: how many objects have a number.
        names: objects that a global name holds when the code starts.
        parameters: a function's parameters.
        functions: objects that are functions of the notebook.
        classes: objects that are classes of the notebook: their methods.
        types: objects whose type is known.
        reads: global names that are loaded before they are surely bound, with the first line.
        optional: names whose absence does no harm (guarded, or in the text of a command).
        needs: those, and the names that functions in it read when they are called, with the first line.
        returns: what a function may return or yield.
        binds: global names that it may bind, with the first line.
        left: global names that may be bound by it when it has ended.
        deletes: global names that it may delete, with the first line.
        sure: global names that are bound for certain at the end.
        gone: global names that are unbound for certain at the end.
        imports: modules that import statements name.
        stars: modules whose names are imported, nobody knows which.
        requirements: what ``%pip install`` lines ask for.
        is_async: a top-level await.
    """

    events: list[Event] = field(default_factory=list)
    size: int = 0
    names: dict[str, int] = field(default_factory=dict)
    parameters: dict[str, int] = field(default_factory=dict)
    functions: dict[int, Function] = field(default_factory=dict)
    classes: dict[int, dict[str, int]] = field(default_factory=dict)
    types: dict[int, str] = field(default_factory=dict)
    reads: dict[str, int] = field(default_factory=dict)
    optional: set[str] = field(default_factory=set)
    needs: dict[str, int] = field(default_factory=dict)
    returns: Value = PLAIN
    binds: dict[str, int] = field(default_factory=dict)
    left: frozenset[str] = frozenset()
    deletes: dict[str, int] = field(default_factory=dict)
    sure: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()
    imports: set[str] = field(default_factory=set)
    stars: dict[str, int] = field(default_factory=dict)
    requirements: list[str] = field(default_factory=list)
    is_async: bool = False

    def new(self, kind: str = "") -> int:
        """The number of one more object, of that type if it is known."""
        number = self.size
        self.size += 1
        if kind:
            self.types[number] = kind
        return number
