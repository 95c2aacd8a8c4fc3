"""Sets whose order of iteration came of how they grew: rebuilt so that it holds."""

from __future__ import annotations

import bisect
import ctypes
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
    by_place = _by_place(items, size)
    for order in itertools.chain([by_place] if by_place else [], _orders(list(items), size)):
        if _is_same(build(order, size, frozen=type(items) is frozenset), items):
            return order, size
    raise carried.CannotTravel("a set whose order cannot be kept", "sort its items into a list")


class Gap:
    """Where an item was that has been removed since: others passed that place when they were added.

    Args:
        place: where it was.
    """

    def __init__(self, place: int) -> None:
        self.place = place

    def __hash__(self) -> int:
        return self.place


def _by_place(items: AnySet, size: int) -> list[Any] | None:
    """An order of adding that brings every item to the place where it lies, or None where places cannot be read."""
    places = _places(items, size)
    if places is None:
        return None
    left = dict(zip(places, items, strict=True))
    order: list[Any] = []
    taken: set[int] = set()
    while left:
        ready = [place for place, item in left.items() if _way(hash(item), size, place) <= taken]
        if not ready:  # something lay in the way of the next one, and is gone
            place, item = next(iter(left.items()))
            gaps = sorted(_way(hash(item), size, place) - taken - left.keys())
            if not gaps:
                return None
            order.extend(Gap(gap) for gap in gaps)
            taken.update(gaps)
        for place in ready:
            order.append(left.pop(place))
            taken.add(place)
    return order


def _places(items: AnySet, size: int) -> list[int] | None:
    """The place of each item in the table (CPython, PySetObject: fill, used, mask, table; then hash and key)."""
    if sys.implementation.name != "cpython" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    head = id(items) + set.__basicsize__ - (7 + 2 * _SMALL_TABLE) * 8
    words = (ctypes.c_ssize_t * 4).from_address(head)
    if words[1] != len(items) or words[2] != size - 1:
        return None
    table = (ctypes.c_ssize_t * (2 * size)).from_address(words[3])
    places = [place for place in range(size) if table[2 * place] and table[2 * place + 1] != -1]
    return places if len(places) == len(items) else None


_NEXT = 9  # places that are looked at after the one that the hash gives
_SHIFT = 5


def _way(number: int, size: int, goal: int) -> set[int]:
    """The places that an item of this hash finds before the one where it lies (set_add_entry in CPython)."""
    seen: set[int] = set()
    perturb, start = number & (1 << 64) - 1, number & size - 1
    while len(seen) < size:
        for place in range(start, start + _NEXT + 1 if start + _NEXT < size else start + 1):
            if place == goal:
                return seen
            seen.add(place)
        perturb >>= _SHIFT
        start = (start * 5 + 1 + perturb) & size - 1
    return seen


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
        _enlarge(made, size, items)
    for item in items:
        made.add(item)
    made.difference_update([item for item in items if type(item) is Gap])
    return frozenset(made) if frozen else made


class _Stop(Exception):
    pass


class _Guard:
    """An item that no other may be compared with: it stops an update just after the table was enlarged."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        raise _Stop


_LEAVE_IT_TO_THE_OTHER = (str, bytes, int, float, complex, tuple, type(None))  # when they are compared


def _enlarge(made: set[Any], size: int, items: list[Any]) -> None:
    # Updating from a dict makes room for twice its keys before it adds the first (set_update_internal in CPython).
    filling = dict.fromkeys(range(1 << 40, (1 << 40) + size // 4))
    if items and type(items[0]) in _LEAVE_IT_TO_THE_OTHER:
        made.add(items[0])
        number, extra = hash(items[0]), None
    else:
        number = _far_from({hash(item) % size for item in items}, size)
        extra = _Guard(number)
        made.add(extra)
    try:
        made.update({_Guard(number): None} | filling)
    except _Stop:
        if extra is not None:
            made.discard(extra)


def _far_from(taken: set[int], size: int) -> int:
    near = {place + step for place in taken for step in range(_NEXT + 1)}
    return next((place for place in range(size - 1, -1, -1) if place not in near), 0)
