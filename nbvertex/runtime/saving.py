"""What a step leaves: its objects compared with how they came, and what is new or changed written."""

from __future__ import annotations

import collections
import hashlib
import os
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from . import carried, container, formats, grouping, history, kinds, pickler, session

if TYPE_CHECKING:
    from .heap import Heap

OWN_NAMES = frozenset(
    {"__builtins__", "__builtin__", "__name__", "__doc__", "__package__", "__loader__", "__spec__"}
)
_HOLDING = (
    "@builtins",
    "@figures",
    "@ipython.hooks",
    "@ipython.magics",
    "@in:",
    "@logging",
    "@on:",
    "@stdout",
)
"""State outside the names that holds objects of the notebook's."""

_NOTHING, _GONE = object(), object()
_NO_DUMP = pickler.Dump(b"", (), frozenset(), frozenset(), {})


@dataclass(frozen=True)
class Refusal:
    """A value that cannot travel: the name, its type, what it is or holds, the mend, and where it was bound."""

    name: str
    type: str
    message: str
    hint: str
    cell: int | None = None


class Saving:
    """The end of one step.

    Args:
        heap: its objects.
    """

    def __init__(self, heap: Heap) -> None:
        self.heap = heap
        self.namespace: dict[str, Any] = heap.shell.user_ns
        self.hidden: dict[str, Any] = heap.shell.user_ns_hidden
        self.names: dict[str, str | None] = {}
        self.units: dict[str, grouping.Unit] = {}  # entry -> the unit that it is in
        self.refused: list[Refusal] = []
        heap.find_again()
        self.came = {name: heap.objects.get(entry, _GONE) for name, entry in heap.names.items()}
        self.ids = {id(obj): entry for entry, obj in heap.objects.items()}
        self.outside: dict[str, str] = {}  # name of state outside the names -> its entry

    def run(self, live: list[str] | None, scratch: str) -> tuple[dict[str, Any], list[bytes]]:
        """Save what `Heap.save` says."""
        wanted = self._wanted(live)
        self._name_definitions()
        self._take([*wanted, *self._changed_inside()])
        self._take_changed_definitions()
        for name in self.came:
            if name not in self.names and not name.startswith("@") and name not in self.namespace:
                self.names[name] = None
        units = grouping.merge(self.units, self._dump)
        message, blobs = self._write(units, scratch)
        self.names.update(dict.fromkeys(self._forgotten()))
        if not self.heap.inputs.get("last"):
            outside, text = self.heap.outside.session, "\n".join(self.heap.sources)
            for what, which, hint in (*session.lives_on(outside), *session.forbidden(outside, text)):
                self.refused.append(Refusal(which, "left behind", what, hint, self._cell_of(which)))
            for module in self.heap.outside.modules.lost:
                hint = "keep its file as it is until the run has ended, or reload it"
                self.refused.append(
                    Refusal(
                        module,
                        "module",
                        "a module whose file is gone or was rewritten after the import",
                        hint,
                        self._cell_of(module),
                    )
                )
        return {**message, "names": self.names, "refused": [asdict(r) for r in self.refused]}, blobs

    def is_unchanged(self, entry: str) -> bool:
        """Whether nothing has changed in what came together with an entry; asked after `know_definitions`."""
        unit = self._as_loaded(entry)
        return unit is not None and unit.digest is not None

    def know_definitions(self) -> None:
        """Find the functions and classes among the objects."""
        self._name_definitions()

    # --- what is kept ------------------------------------------------------------------------------------

    def _wanted(self, live: list[str] | None) -> list[str]:
        plain = [name for name in self.namespace if self._is_own(name)] if live is None else live
        heap = self.heap
        changed = heap.context.run(heap.outside.changed, heap.sources, self.namespace)
        if live is None or any(map(history.is_one, live)):
            changed["@history"] = history.take(heap.shell)
        for name, value in changed.items():
            self.outside[name] = heap.new_entry(name)
            heap.objects[self.outside[name]] = value
        return [*sorted(name for name in plain if not history.is_one(name)), *sorted(changed)]

    def _changed_inside(self) -> list[str]:
        """State outside the names whose very object is still there, but holds something else."""
        found = [
            name
            for name, entry in self.heap.names.items()
            if name.startswith(_HOLDING) and name not in self.outside and self._has_changed(entry)
        ]
        self.outside.update({name: self.heap.names[name] for name in found})
        return sorted(found)

    def _has_changed(self, entry: str) -> bool:
        group = self.heap.group_of(entry)
        if group is None or group.dump is None:
            return False
        unit = self._as_loaded(entry)
        return unit is None or unit.digest is None

    def _is_own(self, name: str) -> bool:
        """Is it a name of the notebook's, and none that IPython or Python put there?"""
        if name in OWN_NAMES or history.is_one(name):
            return False
        return not self._is_given(name)

    def _is_given(self, name: str) -> bool:
        """Is it what IPython put there, as it does in every process?"""
        return name in self.hidden and self.hidden[name] is self.namespace.get(name, _NOTHING)

    def _name_definitions(self) -> None:
        """Functions and classes that are bound to a name are entries, whoever refers to them."""
        for name, obj in self.namespace.items():
            if id(obj) not in self.ids and kinds.is_definition(obj):
                self._hold(self.heap.new_entry(name), obj)
        self.definitions = self.heap.definitions()

    def _take(self, wanted: list[str]) -> None:
        """Keep these names, and those that the functions among what is kept read."""
        queue = collections.deque(wanted)
        while queue:
            name = queue.popleft()
            there = name in self.outside or (name in self.namespace and not self._is_given(name))
            if there and name not in self.names:
                entry = self.names[name] = self._entry_for(name)
                queue.extend(self._add(entry, name))

    def _take_changed_definitions(self) -> None:
        """A changed definition that no kept name holds may be what an object elsewhere refers to."""
        for entry in list(self.definitions.values()):
            if entry not in self.units:
                unit = self._as_loaded(entry)
                if unit is not None and unit.digest is None:
                    self._take(list(self._add(entry, entry)))

    def _entry_for(self, name: str) -> str:
        """The entry that a name is bound to now: the one it came in as, another one that is there, or a new one."""
        if name in self.outside:
            return self.outside[name]
        obj = self.namespace[name]
        if self.came.get(name, _NOTHING) is obj:
            return self.heap.names[name]
        entry = self.ids.get(id(obj))
        if entry is None:
            entry = self.heap.new_entry(name)
            self._hold(entry, obj)
        return entry

    def _hold(self, entry: str, obj: Any) -> None:
        self.heap.objects[entry] = obj
        self.ids[id(obj)] = entry

    def _add(self, entry: str, name: str) -> list[str]:
        """Take an entry into what is saved; returns the further names that its functions read."""
        if entry in self.units:
            return []
        unit = self._as_loaded(entry) or self._fresh(entry, name)
        if unit is None:
            return []
        self.units.update(dict.fromkeys(unit.entries, unit))
        more = sorted(unit.dump.free)
        for ref in sorted(unit.dump.refs):
            more.extend(self._add(ref, name))
        return more

    def _as_loaded(self, entry: str) -> grouping.Unit | None:
        """The entries that came together with this one, with their address where nothing in them has changed."""
        group = self.heap.group_of(entry)
        if group is None or any(one not in self.heap.objects for one in group.entries):
            return None
        if group.dump is None:
            return grouping.Unit(group.entries, _NO_DUMP, group.digest)
        try:
            now = self._dump(group.entries)
        except carried.CannotTravel:
            return None  # each entry for itself: what cannot travel may be one that nobody reads any more
        mapping = group.opened.mapping
        same = now.stream == group.dump.stream
        same = same and tuple(container.place(b, mapping) for b in now.buffers) == group.places
        if same and mapping is not None and any(isinstance(place, tuple) for place in group.places):
            same = container.is_untouched(mapping)
        return grouping.Unit(group.entries, now, group.digest if same else None)

    def _fresh(self, entry: str, name: str) -> grouping.Unit | None:
        obj = self.heap.objects[entry]
        try:
            return grouping.Unit((entry,), self._dump((entry,)))
        except carried.CannotTravel as error:
            cell = self._cell_of(name)
            if name.startswith("@in:"):
                what = f"what the step has put into it ({error.what})"
                self.refused.append(Refusal(name.removeprefix("@in:"), "module", what, error.hint, cell))
            else:
                self.refused.append(Refusal(name, _type_name(obj), error.what, error.hint, cell))
            return None

    def _cell_of(self, name: str) -> int | None:
        """The cell that has bound the name; else the first that has to do with it, or the last."""
        bound = self.heap.bound_at.get(name)
        if bound is not None:
            return bound
        cells = list(zip(self.heap.positions, self.heap.sources, strict=True))
        word = re.compile(rf"\b{re.escape(name.rpartition(':')[2].lstrip('@'))}\b")
        named = (position for position, source in cells if word.search(source))
        return next(named, cells[-1][0] if cells else None)

    def _dump(self, entries: tuple[str, ...]) -> pickler.Dump:
        objects = [self.heap.objects[entry] for entry in entries]
        if all(type(obj) in formats.ATOMS and obj == obj for obj in objects):  # a NaN's identity can be seen
            return _NO_DUMP
        return pickler.dump(objects, self.definitions, entries)

    def _forgotten(self) -> list[str]:
        """Names that were bound here and are not kept: an older value of theirs must not come back."""
        return [
            name
            for name, value in self.namespace.items()
            if name not in self.names
            and name not in self.hidden
            and self._is_own(name)
            and self.came.get(name, _NOTHING) is not value
        ]

    # --- writing -----------------------------------------------------------------------------------------

    def _write(self, units: list[grouping.Unit], scratch: str) -> tuple[dict[str, Any], list[bytes]]:
        homes: dict[str, str] = {}
        artifacts: list[dict[str, Any]] = []
        blobs: list[bytes] = []
        for number, unit in enumerate(units):
            digest = unit.digest
            if digest is None:
                record = self._store(unit, os.path.join(scratch, f"{os.getpid()}-{number}"), blobs)
                artifacts.append(record)
                digest = record["digest"]
            homes.update(dict.fromkeys(unit.entries, digest))
        return {"homes": homes, "artifacts": artifacts}, blobs

    def _store(self, unit: grouping.Unit, path: str, blobs: list[bytes]) -> dict[str, Any]:
        objects = [self.heap.objects[entry] for entry in unit.entries]
        kind, stream, buffers = formats.encode(objects, unit.dump)
        parts = container.pieces(kind, unit.entries, stream, buffers)
        record: dict[str, Any] = {
            "format": kind,
            "entries": list(unit.entries),
            "refs": sorted(unit.dump.refs),
            "free": sorted(unit.dump.free),
            "types": {e: _type_name(obj) for e, obj in zip(unit.entries, objects, strict=True)},
        }
        if len(stream) + sum(buffer.nbytes for buffer in buffers) > container.SMALL:
            digest, size = container.write(path, parts)
            return record | {"digest": digest, "size": size, "path": path}
        blobs.append(b"".join(bytes(part) for part in parts))
        digest = hashlib.sha256(blobs[-1]).hexdigest()
        return record | {"digest": digest, "size": len(blobs[-1]), "blob": len(blobs) - 1}


def _type_name(obj: Any) -> str:
    kind = type(obj)
    if kind.__module__ in {"builtins", "__main__"}:
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"
