"""Sets whose order of iteration came of items that are gone: rebuilt so that it holds."""

from __future__ import annotations

import sys
from typing import Any

from . import carried

_EMPTY = sys.getsizeof(set())
_SMALL_TABLE = 8  # places that lie in the set itself (CPython, Objects/setobject.c)
_PLACE = 16  # bytes of a place: a pointer and a hash


def keeps_order(items: set[Any]) -> bool:
    """Does the set come back in the same order when its items are added one after another?"""
    order = list(items)
    again: set[Any] = set()
    again.update(order)
    return all(map(_is, again, order))


def _is(a: object, b: object) -> bool:
    return a is b


def table_size(items: set[Any]) -> int:
    """The number of places in the set's table.

    Raises:
        carried.CannotTravel: not even a table of that size gives the order back.
    """
    extra = sys.getsizeof(items) - _EMPTY
    size = extra // _PLACE if extra else _SMALL_TABLE
    if not all(map(_is, build(list(items), size), items)):
        raise carried.CannotTravel("a set whose order cannot be kept", "sort its items into a list")
    return size


def build(items: list[Any], size: int) -> set[Any]:
    """A set of these items, in a table with that many places."""
    made: set[Any] = set()
    if size > _SMALL_TABLE:
        _enlarge(made, size, {hash(item) % size for item in items})
    made.update(iter(items))
    return made


class _Stop(Exception):
    pass


class _Guard:
    """An item that no other may be compared with: it stops an update just after the table was enlarged."""

    def __init__(self, place: int) -> None:
        self.place = place

    def __hash__(self) -> int:
        return self.place

    def __eq__(self, other: object) -> bool:
        raise _Stop


def _enlarge(made: set[Any], size: int, taken: set[int]) -> None:
    # Updating from a dict makes room for twice its keys before it adds the first (set_update_internal in CPython).
    near = {place + step for place in taken for step in range(10)}
    place = next(place for place in range(size - 1, -1, -1) if place not in near)
    guard = _Guard(place)
    made.add(guard)
    try:
        made.update({_Guard(place): None} | dict.fromkeys(range(1 << 40, (1 << 40) + size // 4)))
    except _Stop:
        made.discard(guard)
