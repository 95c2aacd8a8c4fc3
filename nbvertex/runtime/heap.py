"""What a step's names hold: loaded before its cells, compared and saved after them."""

from __future__ import annotations

import collections
import contextvars
import graphlib
import io
import json
import os
import re
import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from . import arrays, carried, container, definitions, outside, pickler, session

ATOMS = frozenset({type(None), bool, int, str, bytes, float, complex})
HISTORY = ("In", "Out", "_", "__", "___", "_ih", "_oh", "_dh", "_i", "_ii", "_iii", "__annotations__")
OWN_NAMES = frozenset({"__builtins__", "__builtin__", "__name__", "__doc__", "__package__", "__loader__", "__spec__"})
_NUMBERED = re.compile(r"_i?\d+$")


@dataclass
class Loaded:
    """An artifact that was loaded, and how its objects looked when they arrived."""

    digest: str
    entries: tuple[str, ...]
    opened: container.Opened
    dump: pickler.Dump | None = None  # None: of built-in immutable values only
    places: tuple[tuple[int, int], ...] = ()  # address and size of every buffer


@dataclass
class Unit:
    """Entries that are stored together."""

    entries: tuple[str, ...]
    dump: pickler.Dump
    digest: str | None = None  # of the artifact that holds exactly this already


@dataclass
class Refusal:
    """A value that cannot travel: the name, its type, what it is or holds, the mend, and where it was bound."""

    name: str
    type: str
    message: str
    hint: str
    cell: int | None = None


@dataclass
class Heap:
    """The objects of one step's process by entry id.

    Args:
        shell: the IPython shell whose ``user_ns`` the names live in.
        inputs: ``{"step", "names": {name: entry}, "artifacts": [{"digest", "entries", "path" | "blob"}]}``.
        blobs: the bytes of small artifacts.
    """

    shell: Any
    inputs: dict[str, Any]
    blobs: list[bytes]
    names: dict[str, str] = field(default_factory=dict)
    objects: dict[str, Any] = field(default_factory=dict)
    loaded: dict[str, Loaded] = field(default_factory=dict)
    outside: outside.Outside = field(default_factory=outside.Outside)
    sources: list[str] = field(default_factory=list)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def cell_ran(self, position: int, count: int, source: str, filename: str) -> None:
        """Take note of a cell that was executed; called in the context in which cells run."""
        self.sources.append(source)
        self.context = contextvars.copy_context()  # decimal and NumPy keep their options there
        for name, value in self.shell.user_ns.items():
            if self._seen.get(name) != id(value):
                self._seen[name] = id(value)
                self._bound_at[name] = position

    # ------------------------------------------------------------------------------------------ loading

    def entry(self, entry: str) -> Any:
        """The object of an entry; its artifact is loaded when it is first asked for."""
        if entry not in self.objects:
            record = self._records.get(entry)
            if record is None:
                raise carried.CannotTravel(f"entry {entry}, which was not handed over", "run the earlier steps again")
            self._load(record)
        return self.objects[entry]

    def load(self) -> None:
        """Fill the namespace and set the state outside it."""
        self._records = {e: r for r in self.inputs["artifacts"] for e in r["entries"]}
        self.names = dict(self.inputs["names"])
        definitions.use(self.shell.user_ns)
        pickler.resolver = self.entry
        ambient = {name: entry for name, entry in self.names.items() if name.startswith("@")}
        self.outside.begin(self.shell)
        self.outside.apply({n: self.entry(ambient[n]) for n in outside.FIRST if n in ambient})
        for name, entry in self.names.items():
            if not name.startswith("@"):
                self.shell.user_ns[name] = self.entry(entry)
        rest = {n: self.entry(e) for n, e in ambient.items() if n not in outside.FIRST}
        bound = [v.__name__ for v in self.objects.values() if isinstance(v, types.ModuleType)]
        self.outside.modules.import_again(rest.get("@imports", []), self.inputs.get("imports", []), bound)
        self._take_baseline()
        self.outside.apply(rest)
        if "@history" in rest:
            _restore_history(self.shell, rest["@history"])
        self.outside.take_baseline()
        self._seen = {name: id(value) for name, value in self.shell.user_ns.items()}
        self._bound_at: dict[str, int] = {}

    def _load(self, record: dict[str, Any]) -> None:
        if "path" in record:
            opened = container.read_file(record["path"], record["digest"])
        else:
            opened = container.read_bytes(self.blobs[record["blob"]], record["digest"])
        self.loaded[record["digest"]] = Loaded(record["digest"], opened.entries, opened)
        for entry, obj in zip(opened.entries, _read(opened), strict=True):
            self.objects[entry] = obj

    def _take_baseline(self) -> None:
        self._definitions = self._own_definitions()
        for loaded in self.loaded.values():
            objects = [self.objects[e] for e in loaded.entries]
            if all(type(obj) in ATOMS for obj in objects):
                continue
            loaded.dump = pickler.dump(objects, self._definitions, loaded.entries)
            loaded.places = tuple(_place(b) for b in loaded.dump.buffers)

    def _own_definitions(self) -> dict[int, str]:
        return {id(obj): entry for entry, obj in self.objects.items() if is_definition(obj)}

    # ------------------------------------------------------------------------------------------- saving

    def save(self, live: list[str] | None, scratch: str) -> tuple[dict[str, Any], list[bytes]]:
        """Write what later steps may need.

        Args:
            live: the names to keep; None: all there are.
            scratch: the folder for artifacts too big for a frame.

        Returns:
            the message of docs/architecture.md, and the blobs it counts on.
        """
        self._refused: list[Refusal] = []
        self._units: dict[str, Unit] = {}  # entry -> the unit that it is in
        self._ids = {id(obj): entry for entry, obj in self.objects.items()}
        namespace = self.shell.user_ns
        wanted = self._wanted(live)
        names: dict[str, str | None] = {}
        queue = collections.deque(wanted)
        self._name_definitions(namespace)
        while queue:
            name = queue.popleft()
            if name in names or name not in namespace and not name.startswith("@"):
                continue
            entry = names[name] = self._entry_for(name)
            queue.extend(self._add(entry, name))
        for entry, obj in list(self.objects.items()):
            if entry not in self._units and is_definition(obj) and self._is_loaded(entry):
                changed = self._changed_definition(entry)
                if changed is not None:
                    queue.extend(changed)
                    while queue:
                        name = queue.popleft()
                        if name not in names and name in namespace:
                            new = names[name] = self._entry_for(name)
                            queue.extend(self._add(new, name))
        for name in self.names:
            if name not in names and not name.startswith("@") and self._is_gone(name, namespace):
                names[name] = None
        message, blobs = self._write(self._merge(), scratch)
        for name in self._forgotten(namespace, names):
            names[name] = None
        if not self.inputs.get("last"):
            for what, which, hint in session.lives_on(self.outside.session):
                self._refused.append(Refusal(which, "left behind", what, hint))
        message["names"] = names
        message["refused"] = [vars(r) for r in self._refused]
        return message, blobs

    def _wanted(self, live: list[str] | None) -> list[str]:
        namespace = self.shell.user_ns
        if live is None:
            hidden = self.shell.user_ns_hidden
            plain = [
                name
                for name, value in namespace.items()
                if not (name in hidden and hidden[name] is value) and name not in OWN_NAMES and name not in HISTORY
            ]
        else:
            plain = [name for name in live if name not in HISTORY]
        changed = self.context.run(self.outside.changed, self.sources, self)
        if live is None or not set(HISTORY).isdisjoint(live):
            changed["@history"] = _history(self.shell)
        for name, value in changed.items():
            self.objects[self._new_entry(name)] = value
            self.names[name] = self._new_entry(name)
        return [*sorted(plain), *sorted(changed)]

    def _new_entry(self, name: str) -> str:
        entry = f"{self.inputs['step']}:{name}"
        while entry in self._records:  # the step ran before in this run: another object
            entry += "'"
        return entry

    def _entry_for(self, name: str) -> str:
        """The entry that a name is bound to now: the one it came in as, another loaded one, or a new one."""
        if name.startswith("@"):
            return self.names[name]
        obj = self.shell.user_ns[name]
        came = self.names.get(name)
        if came is not None and self.objects.get(came, _NOTHING) is obj:
            return came
        entry = self._ids.get(id(obj))
        if entry is None:
            entry = self._new_entry(name)
            self._hold(entry, obj)
        return entry

    def _hold(self, entry: str, obj: Any) -> None:
        self.objects[entry] = obj
        self._ids[id(obj)] = entry

    def _name_definitions(self, namespace: dict[str, Any]) -> None:
        """Functions and classes that are bound to a name are entries, whoever refers to them."""
        for name, obj in namespace.items():
            if isinstance(obj, _DEFINED) and id(obj) not in self._ids and is_definition(obj):
                self._hold(self._new_entry(name), obj)
        self._definitions = self._own_definitions()

    def _add(self, entry: str, name: str) -> Iterable[str]:
        """Take an entry into what is saved; returns the further names that its functions read."""
        if entry in self._units:
            return ()
        unit = self._unchanged(entry) or self._fresh(entry, name)
        if unit is None:
            return ()
        for member in unit.entries:
            self._units[member] = unit
        more = [n for n in sorted(unit.dump.free) if n in self.shell.user_ns]
        for ref in sorted(unit.dump.refs):
            more.extend(self._add(ref, name))
        return more

    def _is_loaded(self, entry: str) -> bool:
        return entry in self._records

    def _group_of(self, entry: str) -> Loaded | None:
        record = self._records.get(entry)
        return self.loaded.get(record["digest"]) if record else None

    def _unchanged(self, entry: str) -> Unit | None:
        """The unit as it was loaded, where nothing in it has changed since."""
        group = self._group_of(entry)
        if group is None:
            return None
        if group.dump is None:
            return Unit(group.entries, _NO_DUMP, group.digest)
        try:
            now = pickler.dump([self.objects[e] for e in group.entries], self._definitions, group.entries)
        except carried.CannotTravel:
            return None
        same = now.stream == group.dump.stream and self._buffers_untouched(group, now)
        return Unit(group.entries, now, group.digest if same else None)

    def _buffers_untouched(self, group: Loaded, now: pickler.Dump) -> bool:
        if not now.buffers:
            return not group.places
        if tuple(_place(b) for b in now.buffers) != group.places:
            return False
        return group.opened.mapping is not None and container.is_untouched(group.opened.mapping)

    def _changed_definition(self, entry: str) -> list[str] | None:
        """A definition that no live name holds may be what an object elsewhere refers to."""
        unit = self._unchanged(entry)
        if unit is None or unit.digest is not None:
            return None
        return list(self._add(entry, entry))

    def _fresh(self, entry: str, name: str) -> Unit | None:
        obj = self.objects[entry]
        if type(obj) in ATOMS and obj == obj:  # a NaN has an identity that can be seen
            return Unit((entry,), pickler.Dump(b"", (), frozenset(), frozenset(), {}))
        try:
            return Unit((entry,), pickler.dump([obj], self._definitions, (entry,)))
        except carried.CannotTravel as error:
            kind = type(obj)
            qualified = kind.__qualname__ if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}.{kind.__qualname__}"
            self._refused.append(Refusal(name, qualified, error.what, error.hint, self._bound_at.get(name)))
            return None

    def _is_gone(self, name: str, namespace: dict[str, Any]) -> bool:
        return name not in namespace

    def _forgotten(self, namespace: dict[str, Any], names: dict[str, str | None]) -> list[str]:
        """Names that were bound here and are not kept: an older value of theirs must not come back."""
        before = {name: self.objects.get(entry, _NOTHING) for name, entry in self.names.items()}
        return [
            name
            for name, value in namespace.items()
            if name not in names
            and name not in OWN_NAMES
            and name not in HISTORY
            and not _NUMBERED.match(name)
            and name not in self.shell.user_ns_hidden
            and before.get(name, _NOTHING) is not value
        ]

    # ------------------------------------------------------------------------- what is stored together

    def _merge(self) -> list[Unit]:
        """Units that share an object, or whose definitions need each other, become one."""
        units = list({id(u): u for u in self._units.values()}.values())
        parent = {id(u): id(u) for u in units}

        def find(key: int) -> int:
            while parent[key] != key:
                parent[key] = parent[parent[key]]
                key = parent[key]
            return key

        seen: dict[int, int] = {}
        for unit in units:
            for met in seen.keys() & unit.dump.shared.keys():
                if find(seen[met]) != find(id(unit)) and pickler.identity_matters(unit.dump.shared[met]):
                    parent[find(id(unit))] = find(seen[met])
            for met in unit.dump.shared:
                seen.setdefault(met, id(unit))
        self._merge_cycles(units, parent, find)
        groups: dict[int, list[Unit]] = {}
        for unit in units:
            groups.setdefault(find(id(unit)), []).append(unit)
        return [self._join(group) for group in groups.values()]

    def _merge_cycles(self, units: list[Unit], parent: dict[int, int], find: Any) -> None:
        while True:
            graph: dict[int, set[int]] = {}
            for unit in units:
                here = find(id(unit))
                targets = {find(id(self._units[r])) for r in unit.dump.refs if r in self._units}
                graph.setdefault(here, set()).update(targets - {here})
            try:
                graphlib.TopologicalSorter(graph).prepare()
            except graphlib.CycleError as error:
                first, *others = error.args[1]
                for other in others:
                    parent[find(other)] = find(first)
                continue
            return

    def _join(self, group: list[Unit]) -> Unit:
        if len(group) == 1:
            return group[0]
        entries = tuple(sorted({e for unit in group for e in unit.entries}))
        dump = pickler.dump([self.objects[e] for e in entries], self._definitions, entries)
        return Unit(entries, dump)

    # ----------------------------------------------------------------------------------------- writing

    def _write(self, units: list[Unit], scratch: str) -> tuple[dict[str, Any], list[bytes]]:
        homes: dict[str, str] = {}
        artifacts: list[dict[str, Any]] = []
        blobs: list[bytes] = []
        for number, unit in enumerate(units):
            if unit.digest is None:
                record = self._store(unit, number, scratch, blobs)
                artifacts.append(record)
                unit.digest = record["digest"]
            homes.update(dict.fromkeys(unit.entries, unit.digest))
        return {"homes": homes, "artifacts": artifacts}, blobs

    def _store(self, unit: Unit, number: int, scratch: str, blobs: list[bytes]) -> dict[str, Any]:
        objects = [self.objects[e] for e in unit.entries]
        kind, stream, buffers = _encode(objects, unit.dump)
        parts = container.pieces(kind, unit.entries, stream, buffers)
        record: dict[str, Any] = {
            "format": kind,
            "entries": list(unit.entries),
            "refs": sorted(unit.dump.refs),
            "free": sorted(unit.dump.free),
            "types": {e: _type_name(o) for e, o in zip(unit.entries, objects, strict=True)},
        }
        if len(stream) + sum(b.nbytes for b in buffers) <= container.SMALL:
            data = b"".join(bytes(p) for p in parts)
            import hashlib

            record |= {"digest": hashlib.sha256(data).hexdigest(), "size": len(data), "blob": len(blobs)}
            blobs.append(data)
        else:
            path = os.path.join(scratch, f"{os.getpid()}-{number}")
            digest, size = container.write(path, parts)
            record |= {"digest": digest, "size": size, "path": path}
        return record


_NOTHING = object()
_NO_DUMP = pickler.Dump(b"", (), frozenset(), frozenset(), {})
_DEFINED = (*definitions.KINDS, type(pickler._lru_cache_example))


def is_definition(obj: Any) -> bool:
    """Is it a function, class or the like that the notebook made?"""
    return isinstance(obj, _DEFINED) and not definitions.is_importable(obj)


def load(shell: Any, inputs: dict[str, Any], blobs: list[bytes]) -> Heap:
    """Fill ``shell.user_ns`` with what a step is handed.

    Raises:
        container.Corrupt: an artifact's bytes are not what its address says.
    """
    heap = Heap(shell, inputs, blobs)
    heap.load()
    return heap


def warm_up(shell: Any) -> None:
    """Do once in the warm process, after its imports, what would else be done anew in every step."""
    outside.note_builtins()
    heap = load(shell, {"step": "", "names": {}, "artifacts": []}, [])
    heap.cell_ran(0, 0, "%", "")
    heap.save([], "")


def _read(opened: container.Opened) -> list[Any]:
    if opened.kind == "json":
        return list(json.loads(bytes(opened.stream)))
    if opened.kind == "array":
        facts = json.loads(bytes(opened.stream))
        import numpy

        make = arrays.mapped_array(opened.buffers[0], tuple(facts["shape"]), facts["order"], numpy.dtype(facts["dtype"]), facts["writeable"])
        return [make]
    return list(pickler.HeapUnpickler(io.BytesIO(opened.stream), opened.buffers).load())


def _encode(objects: list[Any], dump: pickler.Dump) -> tuple[str, bytes, list[memoryview]]:
    """The safest format that gives back exactly these objects."""
    if not (dump.buffers or dump.by_name) and len(dump.stream) <= container.SMALL and _is_json(objects, set()):
        return "json", json.dumps(objects, separators=(",", ":")).encode(), []
    buffers = [b.raw() for b in dump.buffers]
    if len(objects) == 1 and len(buffers) == 1 and _is_array(objects[0]):
        array = objects[0]
        order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
        facts = {"shape": array.shape, "order": order, "dtype": array.dtype.str, "writeable": bool(array.flags.writeable)}
        return "array", json.dumps(facts).encode(), buffers
    if not dump.stream:  # a built-in value that JSON does not give back exactly
        import pickle

        return "pickle", pickle.dumps(objects, protocol=5), []
    return "pickle", dump.stream, buffers


def _is_array(obj: Any) -> bool:
    import sys

    if "numpy" not in sys.modules or not isinstance(obj, sys.modules["numpy"].ndarray):
        return False
    return arrays.is_plain(obj) and obj.dtype.isbuiltin == 1 and arrays.owner_of(obj) is None and obj.dtype.kind in "biufc"


def _is_json(obj: Any, seen: set[int]) -> bool:
    """Does JSON give back exactly this, nothing in it shared?"""
    kind = type(obj)
    if kind in (str, int, bool, type(None)):
        return True
    if kind is float:
        return obj == obj and abs(obj) != float("inf")
    if kind not in (list, dict) or id(obj) in seen:
        return False
    seen.add(id(obj))
    if kind is dict:
        return all(type(k) is str and _is_json(v, seen) for k, v in obj.items())
    return all(_is_json(item, seen) for item in obj)


def _place(buffer: Any) -> tuple[int, int]:
    import ctypes

    raw = buffer.raw()
    if raw.readonly:
        return 0, raw.nbytes
    return ctypes.addressof(ctypes.c_char.from_buffer(raw)), raw.nbytes


def _type_name(obj: Any) -> str:
    kind = type(obj)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _history(shell: Any) -> dict[str, Any]:
    """IPython's memory of inputs and outputs, where a later cell may read it."""
    namespace = shell.user_ns
    kept = {name: namespace[name] for name in HISTORY if name in namespace}
    hook = shell.displayhook
    return {"names": kept, "hook": [getattr(hook, name, "") for name in ("_", "__", "___")]}


def _restore_history(shell: Any, history: dict[str, Any]) -> None:
    namespace = shell.user_ns
    for name, value in history["names"].items():
        current = namespace.get(name)
        if name in ("In", "_ih", "_dh") and isinstance(current, list):
            current[:] = value
        elif name in ("Out", "_oh") and isinstance(current, dict):
            current.clear()
            current.update(value)
        else:
            namespace[name] = value
    for name, value in zip(("_", "__", "___"), history["hook"], strict=True):
        setattr(shell.displayhook, name, value)
