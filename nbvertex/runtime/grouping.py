"""Which entries are stored together: those that share an object, and definitions that need each other."""

from __future__ import annotations

import graphlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from . import pickler


@dataclass(frozen=True, eq=False)
class Unit:
    """Entries that are stored together.

    Args:
        entries: their ids.
        dump: what pickling them gave.
        digest: of the artifact that holds exactly this already, if one does.
    """

    entries: tuple[str, ...]
    dump: pickler.Dump
    digest: str | None = None


class Groups:
    """Units put together two by two (a union-find)."""

    def __init__(self, units: list[Unit]) -> None:
        self._parent = {id(unit): id(unit) for unit in units}

    def find(self, unit: int) -> int:
        """The one that stands for all of a unit's group."""
        while self._parent[unit] != unit:
            self._parent[unit] = self._parent[self._parent[unit]]
            unit = self._parent[unit]
        return unit

    def join(self, one: int, other: int) -> None:
        """Put the groups of two units together."""
        self._parent[self.find(one)] = self.find(other)


def merge(units: Mapping[str, Unit], dump: Callable[[tuple[str, ...]], pickler.Dump]) -> list[Unit]:
    """The units as they are to be stored.

    Args:
        units: entry -> its unit.
        dump: pickles several entries together.
    """
    single = list({id(unit): unit for unit in units.values()}.values())
    groups = Groups(single)
    _join_sharing(single, groups)
    _join_cycles(single, units, groups)
    together: dict[int, list[Unit]] = {}
    for unit in single:
        together.setdefault(groups.find(id(unit)), []).append(unit)
    return [_one(group, dump) for group in together.values()]


def _join_sharing(units: list[Unit], groups: Groups) -> None:
    seen: dict[int, int] = {}  # id of an object -> the first unit that holds it
    for unit in units:
        for met in seen.keys() & unit.dump.shared.keys():
            apart = groups.find(seen[met]) != groups.find(id(unit))
            if apart and pickler.identity_matters(unit.dump.shared[met]):
                groups.join(id(unit), seen[met])
        for met in unit.dump.shared:
            seen.setdefault(met, id(unit))


def _join_cycles(units: list[Unit], by_entry: Mapping[str, Unit], groups: Groups) -> None:
    while True:
        needs: dict[int, set[int]] = {}
        for unit in units:
            here = groups.find(id(unit))
            targets = {groups.find(id(by_entry[ref])) for ref in unit.dump.refs if ref in by_entry}
            needs.setdefault(here, set()).update(targets - {here})
        try:
            graphlib.TopologicalSorter(needs).prepare()
        except graphlib.CycleError as error:
            first, *others = error.args[1]
            for other in others:
                groups.join(other, first)
        else:
            return


def _one(group: list[Unit], dump: Callable[[tuple[str, ...]], pickler.Dump]) -> Unit:
    if len(group) == 1:
        return group[0]
    entries = tuple(sorted({entry for unit in group for entry in unit.entries}))
    return Unit(entries, dump(entries))
