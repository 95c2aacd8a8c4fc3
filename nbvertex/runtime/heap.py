"""The objects of one step's process, by entry: loaded before its cells, saved after them."""

from __future__ import annotations

import contextvars
import traceback
import types
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from . import (
    carried,
    code,
    container,
    definitions,
    formats,
    history,
    kinds,
    outside,
    pickler,
    replaced,
    saving,
)


@dataclass
class Loaded:
    """An artifact that was loaded, and how its objects looked when they arrived.

    Args:
        digest: its address.
        entries: what it holds.
        opened: its bytes.
        dump: its objects pickled again on arrival; None: built-in immutable values only.
        places: what tells of every buffer whether it has changed.
    """

    digest: str
    entries: tuple[str, ...]
    opened: container.Opened
    dump: pickler.Dump | None = None
    places: tuple[container.Place, ...] = ()


class CannotArrive(Exception):
    """A value was saved, and cannot be made again of what was saved.

    Args:
        names: that it is bound to.
        error: what its own code raised.
    """

    def __init__(self, names: list[str], error: Exception) -> None:
        super().__init__(names, error)
        self.names = names
        self.why = "".join(traceback.format_exception_only(error)).strip()

    def told(self) -> dict[str, Any]:
        """As a state that is refused, with no cell run."""
        what = f"what was saved of it cannot be made again ({self.why}): it"
        hint = "make it in the step that uses it, or keep only the data behind it"
        refused = [saving.Refusal(name, "a library's object", what, hint) for name in self.names]
        return {"names": {}, "homes": {}, "artifacts": [], "refused": [asdict(one) for one in refused]}


@dataclass
class Heap:
    """The objects of one step's process by entry id.

    Args:
        shell: the IPython shell whose ``user_ns`` the names live in.
        inputs: ``{"step", "names": {name: entry}, "artifacts": [{"digest", "entries", "path" | "blob"}],
            "imports": modules that the cells import, "last": no step follows}``.
        blobs: the bytes of small artifacts.
    """

    shell: Any
    inputs: dict[str, Any]
    blobs: list[bytes]
    names: dict[str, str] = field(default_factory=dict)
    objects: dict[str, Any] = field(default_factory=dict)
    loaded: dict[str, Loaded] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)  # entry -> id of an object that only names hold
    outside: outside.Outside = field(default_factory=outside.Outside)
    sources: list[str] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)  # of the cells that ran
    bound_at: dict[str, int] = field(default_factory=dict)
    context: contextvars.Context = field(default_factory=contextvars.copy_context)

    def load(self) -> None:
        """Fill the namespace and set the state outside it."""
        namespace = self.shell.user_ns
        self.know_records()
        self.names = dict(self.inputs["names"])
        definitions.use(namespace)
        code.number_in(self.shell)
        kinds.resolver = self.entry
        ambient = {name: entry for name, entry in self.names.items() if name.startswith("@")}
        self.outside.begin(self.shell)
        self.outside.apply({n: self.entry(ambient[n]) for n in outside.FIRST if n in ambient})
        namespace.update({n: self.entry(e) for n, e in self.names.items() if n not in ambient})
        rest = {n: self.entry(e) for n, e in ambient.items() if n not in outside.FIRST}
        bound = [obj.__name__ for obj in self.objects.values() if isinstance(obj, types.ModuleType)]
        self.outside.modules.import_again(rest.get("@imports", []), self.inputs.get("imports", []), bound)
        definitions.reunite(self.entry)
        self._take_baseline()
        self.outside.apply(rest)
        if "@history" in rest:
            history.give_back(self.shell, rest["@history"])
        self.outside.take_baseline(self.inputs.get("sources", []), namespace)
        self._let_go()
        self._seen = {name: id(value) for name, value in namespace.items()}

    def know_records(self) -> None:
        """Take note of which artifact holds which entry."""
        self._records = {entry: record for record in self.inputs["artifacts"] for entry in record["entries"]}

    def record(self, entry: str) -> dict[str, Any] | None:
        """The artifact that an entry came in; None for a new one."""
        return self._records.get(entry)

    def entry(self, entry: str) -> Any:
        """The object of an entry; its artifact is loaded when it is first asked for."""
        if entry not in self.objects:
            if entry not in self._records:
                raise carried.CannotTravel(f"entry {entry}, which did not come along", "run all steps again")
            self._load(self._records[entry])
        return self.objects[entry]

    def _load(self, record: dict[str, Any]) -> None:
        if "path" in record:
            opened = container.read_file(record["path"], record["digest"])
        else:
            opened = container.read_bytes(self.blobs[record["blob"]], record["digest"])
        self.loaded[record["digest"]] = Loaded(record["digest"], opened.entries, opened)
        try:
            objects = formats.read(opened)
        except (carried.CannotTravel, CannotArrive):
            raise
        except Exception as error:  # whatever a strange object's own code raises
            raise CannotArrive(self._names_of(opened.entries), error) from error
        self.objects.update(zip(opened.entries, objects, strict=True))

    def _names_of(self, entries: tuple[str, ...]) -> list[str]:
        names = [name for name, entry in self.names.items() if entry in entries]
        return names or [entry.partition(":")[2] for entry in entries]

    def _take_baseline(self) -> None:
        known = self.definitions()
        for loaded in self.loaded.values():
            objects = [self.objects[entry] for entry in loaded.entries]
            if not all(type(obj) in formats.ATOMS for obj in objects):
                loaded.dump = pickler.dump(objects, known, loaded.entries)
                loaded.places = tuple(container.place(b, loaded.opened.mapping) for b in loaded.dump.buffers)

    def _let_go(self) -> None:
        """Hold nothing but by the names where somebody can tell when an object dies: ``del x`` must be the end of it."""
        named = {entry for name, entry in self.names.items() if not name.startswith("@")}
        for loaded in self.loaded.values():
            if loaded.dump is None:
                continue
            loaded.dump = replace(loaded.dump, shared={}, buffers=())
            for entry in loaded.entries if loaded.dump.fragile else ():
                if entry in named and not kinds.is_definition(self.objects[entry]):
                    self.gone[entry] = id(self.objects.pop(entry))
        if carried.alive:
            carried.release()

    def find_again(self) -> None:
        """Take up again what was let go, as far as it is still there."""
        for name, entry in self.names.items():
            value = self.shell.user_ns.get(name)
            if entry in self.gone and id(value) == self.gone[entry]:
                self.objects[entry] = value

    def definitions(self) -> dict[int, str]:
        """id -> entry of the functions, classes and the like among the objects."""
        return {id(obj): entry for entry, obj in self.objects.items() if kinds.is_definition(obj)}

    def group_of(self, entry: str) -> Loaded | None:
        """The artifact that an entry was loaded with."""
        record = self._records.get(entry)
        return self.loaded.get(record["digest"]) if record else None

    def new_entry(self, name: str) -> str:
        """An id for the object that a name has been bound to in this step."""
        entry = f"{self.inputs['step']}:{name}"
        while entry in self._records:  # a step of that name ran before: another object
            entry += "'"
        return entry

    def cell_ran(self, position: int, count: int, source: str, filename: str) -> None:
        """Take note of a cell that was executed; called in the context in which cells run."""
        self.sources.append(source)
        self.positions.append(position)
        self.context = contextvars.copy_context()  # decimal and NumPy keep their options there
        for name, value in self.shell.user_ns.items():
            if self._seen.get(name) != id(value):
                self._seen[name] = id(value)
                self.bound_at[name] = position

    def save(self, live: list[str] | None, scratch: str) -> tuple[dict[str, Any], list[bytes]]:
        """Write what later steps may need.

        Args:
            live: the names to keep; None: all there are.
            scratch: the folder for artifacts too big for a frame.

        Returns:
            the message of docs/architecture.md, and the blobs that it counts on.
        """
        return saving.Saving(self).run(live, scratch)


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
    replaced.note_builtins()
    heap = load(shell, {"step": "", "names": {}, "artifacts": []}, [])
    heap.cell_ran(0, 0, "%", "")
    heap.outside.changed(heap.sources, shell.user_ns)  # and no more: nothing is written here
