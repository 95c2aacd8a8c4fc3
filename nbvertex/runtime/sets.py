"""Sets whose order of iteration came of how they grew: rebuilt so that it holds."""

from __future__ import annotations

import bisect
import itertools
import random
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from . import carried

AnySet = set[Any] | frozenset[Any]

_SMALL_TABLE = 8  # places that lie in the set itself (CPython, Objects/setobject.c)
_PLACE = 16  # bytes of a place: a pointer and a hash
_FEW = 6  # items of which every order may be tried
_TRIES = 300


def keeps_order(items: AnySet) -> bool:
    """Does the set come back as it is, with room for as many, when its items are added one after another?"""
    again = type(items)(list(items))
    return sys.getsizeof(again) == sys.getsizeof(items) and _is_same(again, items)


def recipe(items: AnySet) -> tuple[list[Any], int]:
    """In which order to add the items to a table of how many places, so that they are iterated as now.

    Raises:
        carried.CannotTravel: no such order was found.
    """
    extra = sys.getsizeof(items) - sys.getsizeof(type(items)())
    size = extra // _PLACE if extra else _SMALL_TABLE
    for order in _orders(list(items), size):
        if _is_same(build(order, size, frozen=type(items) is frozenset), items):
            return order, size
    raise carried.CannotTravel("a set whose order cannot be kept", "sort its items into a list")


def _is_same(one: AnySet, other: AnySet) -> bool:
    return all(a is b for a, b in zip(one, other, strict=True))


def _orders(items: list[Any], size: int) -> Iterator[list[Any]]:
    yield items
    yield items[::-1]
    # An item lies at the place that its hash says, or, where another was there first, somewhere else.
    at_home = _longest_rising([hash(item) % size for item in items])
    first = [item for place, item in enumerate(items) if place in at_home]
    then = [item for place, item in enumerate(items) if place not in at_home]
    yield first + then
    yield first + then[::-1]
    if len(items) <= _FEW:
        yield from map(list, itertools.permutations(items))
    chance = random.Random(0)
    for _ in range(_TRIES if len(items) > _FEW else 0):
        chance.shuffle(then)
        yield first + then


def _longest_rising(homes: list[int]) -> set[int]:
    """The places of a longest run of items that lie in the order of their homes."""
    lowest: list[int] = []  # the lowest home on which a run of that length ends
    ends: list[int] = []  # and the place of that item
    before: list[int] = []
    for place, home in enumerate(homes):
        length = bisect.bisect_right(lowest, home)
        before.append(ends[length - 1] if length else -1)
        lowest[length : length + 1] = [home]
        ends[length : length + 1] = [place]
    found = set()
    place = ends[-1] if ends else -1
    while place >= 0:
        found.add(place)
        place = before[place]
    return found


def build(order: Iterable[Any], size: int, *, frozen: bool) -> AnySet:
    """A set of these items, added in this order to a table with that many places."""
    items = list(order)
    made: set[Any] = set()
    if size > _SMALL_TABLE:
        _enlarge(made, size, {hash(item) % size for item in items})
    for item in items:
        made.add(item)
    return frozenset(made) if frozen else made


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
    place = next((place for place in range(size - 1, -1, -1) if place not in near), 0)
    guard = _Guard(place)
    made.add(guard)
    try:
        made.update({_Guard(place): None} | dict.fromkeys(range(1 << 40, (1 << 40) + size // 4)))
    except _Stop:
        made.discard(guard)
