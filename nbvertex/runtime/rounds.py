"""A round of a step that runs over a list, and what becomes of all of them: names hold lists of what each left."""

from __future__ import annotations

import base64
import contextlib
import copy
import io
import pickle
import types
from typing import Any

from . import container, definitions, formats, heap, history, items, kinds, outside, saving, survey

MISSING = object()
GENERATORS = {"random": "@random", "numpy": "@numpy.random", "torch": "@torch"}
ASIDE = frozenset(
    {"@history", "@imports", "@warned"}
)  # it is the same for all rounds, or nobody reads it later


def bind(held: heap.Heap, said: dict[str, Any]) -> None:
    """Give a round its item: a copy of its own.

    Args:
        held: the objects of the process.
        said: the task: ``name``, and ``item`` (pickled, in base64) or ``source`` and ``index``.
    """
    namespace = held.shell.user_ns
    if said["item"] is not None:
        namespace[said["name"]] = pickle.loads(base64.b64decode(said["item"]))
    else:
        namespace[said["name"]] = copy.deepcopy(items.listed(namespace[said["source"]])[said["index"]])


def written(held: heap.Heap, live: list[str] | None) -> list[str]:
    """The names that the round has bound or deleted, or whose objects it has changed.

    Args:
        held: the objects of the process, saved.
        live: the names that matter; None: all.
    """
    namespace = held.shell.user_ns
    found = []
    work = saving.Saving(held)
    work.know_definitions()
    for name in {*namespace, *held.names} if live is None else live:
        aside = name.startswith("@") or history.is_one(name) or name in saving.OWN_NAMES
        if aside or name in held.shell.user_ns_hidden:
            continue
        came = held.objects[held.names[name]] if name in held.names else MISSING
        if came is not namespace.get(name, MISSING) or (
            came is not MISSING and _is_changed(held, work, name)
        ):
            found.append(name)
    return sorted(found)


def _is_changed(held: heap.Heap, work: saving.Saving, name: str) -> bool:
    """Whether an object is another one than it was; not only one that came with it."""
    entry = held.names[name]
    group = held.group_of(entry)
    if group is None or work.is_unchanged(entry):
        return False
    if len(group.entries) == 1:
        return True
    before = survey.digest(_as_it_came(held, entry))
    return not before or before != survey.digest(held.objects[entry])


def _as_it_came(held: heap.Heap, entry: str) -> Any:
    record = held.record(entry)
    assert record is not None
    if "path" in record:
        opened = container.read_file(record["path"], record["digest"])
    else:
        opened = container.read_bytes(held.blobs[record["blob"]], record["digest"])
    return formats.read(opened)[list(opened.entries).index(entry)]


class Left(heap.Heap):
    """What one round has left, as objects of its own; definitions that no round has changed are everybody's."""

    def arrive(self, everybody: heap.Heap) -> None:
        """Be ready to be asked for names.

        Args:
            everybody: the objects of this process.
        """
        self.everybody = everybody
        self.know_records()
        self.names = dict(self.inputs["names"])

    def entry(self, entry: str) -> Any:
        """The object of an entry."""
        if entry not in self.objects and self._is_everybodys(entry):
            self.objects[entry] = self.everybody.entry(entry)
        return super().entry(entry)

    def _is_everybodys(self, entry: str) -> bool:
        mine, theirs = self.record(entry), self.everybody.record(entry)
        if mine is None or theirs is None or mine["digest"] != theirs["digest"]:
            return False
        return any(kinds.is_definition(self.everybody.entry(other)) for other in theirs["entries"])

    def value(self, name: str) -> Any:
        """What a name held at the end of the round, or `MISSING`."""
        entry = self.names.get(name)
        kinds.resolver = self.entry
        try:
            return MISSING if entry is None else self.entry(entry)
        finally:
            definitions.reunite(self.entry)
            kinds.resolver = self.everybody.entry


class StateChanged(Exception):
    """Rounds have left the state outside the names otherwise than they found it; the message says which."""


def gather(held: heap.Heap, said: dict[str, Any], blobs: list[bytes]) -> None:
    """Bind the lists of what the rounds have left.

    Args:
        held: the objects of the process, as they were before the rounds.
        said: the task: ``rounds`` (``names``, ``artifacts``, ``changed``: state outside the names), ``lists``: the
            names, ``seeds``: generators whose last state stays, ``imports``: names that stay what they are.
        blobs: the bytes that came with the job.

    Raises:
        StateChanged: there are no lists of the state outside the names.
    """
    namespace = held.shell.user_ns
    rounds = []
    for number, one in enumerate(said["rounds"]):
        left = Left(held.shell, {**one, "step": f"{number}"}, blobs[said["first"] :])
        left.arrive(held)
        rounds.append((left, one["changed"]))
    for left, _ in rounds:
        _import(left.value("@imports"))
    held.sources.extend(held.inputs["sources"])
    _settle(held, rounds, {GENERATORS[what] for what in said["seeds"] if what in GENERATORS})
    for name in said["lists"]:
        values = [left.value(name) for left, _ in rounds]
        if any(value is MISSING for value in values):
            namespace.pop(name, None)
        elif values and (name in said["imports"] or is_one(values)):
            namespace[name] = values[-1]
        else:
            namespace[name] = values


def is_one(values: list[Any]) -> bool:
    """Whether all are the same module, or the same thing of one: no list is made of them."""
    return all(value is values[0] for value in values) and _is_imported(values[0])


def _is_imported(value: Any) -> bool:
    if isinstance(value, types.ModuleType):
        return True
    known = (type, types.FunctionType, types.BuiltinFunctionType)
    return isinstance(value, known) and getattr(value, "__module__", "__main__") not in (None, "__main__")


def _import(names: Any) -> None:
    """Import what the rounds have imported, so that everything that comes with it is here too."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for name in names if names is not MISSING else ():
            with contextlib.suppress(Exception):  # a cell has tried it and gone on without
                __import__(name)


def _settle(held: heap.Heap, rounds: list[tuple[Left, list[str]]], seeded: set[str]) -> None:
    """See to it that the state outside the names is as it was, or as the rounds have left it all alike."""
    changed = sorted({name for _, names in rounds for name in names} - ASIDE)
    if not changed:
        return
    here = held.context.run(held.outside.changed, held.sources, held.shell.user_ns)
    wrong = []
    for name in changed:
        if name in seeded:
            held.outside.apply({name: rounds[-1][0].value(name)})
            continue
        values = [left.value(name) for left, names in rounds if name in names]
        if not all(outside.same(value, here.get(name, MISSING)) for value in values):
            wrong.append(name)
    if wrong:
        raise StateChanged(", ".join(wrong))
