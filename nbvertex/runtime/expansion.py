"""For a straight run in a kernel: conditions decided, and rounds run one after the other, each on a copy of all names."""

from __future__ import annotations

import ast
import copy
import hashlib
import os
import sys
import types
from typing import Any

from . import (
    carried,
    condition,
    container,
    definitions,
    formats,
    history,
    items,
    kinds,
    pickler,
    probes,
    rounds,
    survey,
)


class Expansion:
    """The steps under a condition and over a list of one run.

    Args:
        shell: the kernel's.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.namespace: dict[str, Any] = shell.user_ns
        definitions.use(self.namespace)

    def call(self, said: dict[str, Any]) -> dict[str, Any]:
        """Do what is said: ``{"do": a method, ...}``."""
        found: dict[str, Any] | None = getattr(self, said.pop("do"))(**said)
        return found or {}

    def decide(self, test: dict[str, Any]) -> dict[str, Any]:
        """Whether a condition holds."""
        return condition.decide(test, self._own())

    def skip(self, cells: int) -> None:
        """Leave out the numbers of cells that are not run."""
        self.shell.execution_count += cells

    def begin(
        self, name: str, source: str, literals: list[str], gathers: list[str], imports: list[str]
    ) -> dict[str, Any]:
        """Begin with the rounds of a step; gives the items in a few words."""
        own = self._own()
        if source and source not in own:
            return {"error": "is not bound"}
        try:
            found = items.listed(own[source]) if source else [ast.literal_eval(text) for text in literals]
        except items.Unlisted as error:
            return {"error": str(error)}
        self.name, self.items, self.gathers, self.imports = name, found, gathers, imports
        self.own = own
        self.digests = {name: survey.digest(value) for name, value in own.items()}
        self.count = self.shell.execution_count
        self.ends: list[tuple[dict[str, Any], set[str]]] = []
        self._remember()
        return {"items": literals if not source else [condition.short(item) for item in found]}

    def round(self, index: int) -> None:
        """Begin with a round."""
        self._put_back()
        self.before = _copies(self.own)
        self._put(self.before)
        self.namespace[self.name] = copy.deepcopy(self.items[index])
        self.shell.execution_count = self.count

    def end(self) -> dict[str, Any]:
        """End a round; gives the definitions that it has changed, which cannot be undone."""
        after = self._own()
        written = {
            name
            for name in {*after, *self.before}
            if after.get(name, rounds.MISSING) is not self.before.get(name, rounds.MISSING)
            or survey.digest(after[name]) != self.digests[name]
        }
        self.ends.append((after, written))
        self._restore()
        return {
            "changed": sorted(
                n for n in written if n in after and after[n] is self.own.get(n) and _is_fixed(after[n])
            )
        }

    def gather(self, cells: int) -> None:
        """End with all rounds: what they have written is in lists."""
        self._put(self.own)
        for name in {*self.gathers, *(name for _, written in self.ends for name in written)}:
            values = [after.get(name, rounds.MISSING) for after, _ in self.ends]
            if any(value is rounds.MISSING for value in values):
                self.namespace.pop(name, None)
            elif values and (name in self.imports or rounds.is_one(values)):
                self.namespace[name] = values[-1]
            else:
                self.namespace[name] = values
        self.shell.execution_count = self.count + cells

    # --- the namespace

    def _own(self) -> dict[str, Any]:
        hidden = self.shell.user_ns_hidden
        return {
            name: value
            for name, value in self.namespace.items()
            if not history.is_one(name)
            and not name.startswith("__")
            and not (name in hidden and hidden[name] is value)
        }

    def _put(self, values: dict[str, Any]) -> None:
        for name in self._own():
            del self.namespace[name]
        self.namespace.update(values)

    # --- what IPython and Python remember by themselves

    def _remember(self) -> None:
        manager = self.shell.history_manager
        manager.enabled = False  # it minds numbers that come twice
        self.shown = {name: value for name, value in self.namespace.items() if history.is_one(name)}
        self.kept = (
            dict(self.namespace.get("_oh", {})),
            len(manager.input_hist_parsed),
            len(manager.input_hist_raw),
        )
        self.around = os.getcwd(), dict(os.environ), {probe.name: probe.get() for probe in _generators()}
        self.warned = {name: dict(found) for name, found in _registries()}

    def _put_back(self) -> None:
        """Give a round the state outside the names that the first one found, as far as steps may change it."""
        folder, environ, generators = self.around
        os.chdir(folder)
        if dict(os.environ) != environ:
            os.environ.clear()
            os.environ.update(environ)
        for probe in _generators():
            if probe.name in generators:
                probe.put(generators[probe.name])

    def _restore(self) -> None:
        manager = self.shell.history_manager
        outputs, parsed, raw = self.kept
        del manager.input_hist_parsed[parsed:]
        del manager.input_hist_raw[raw:]
        for name in [name for name in self.namespace if history.is_one(name) and name not in self.shown]:
            del self.namespace[name]
        self.namespace.update(self.shown)
        self.namespace.get("_oh", {}).clear()
        self.namespace.get("_oh", {}).update(outputs)
        for name, found in _registries():
            found.clear()
            found.update(self.warned.get(name, {}))


def _generators() -> list[probes.Probe]:
    """The generators of random numbers of the modules that are there."""
    return [p for p in probes.PROBES if p.name in rounds.GENERATORS.values() and p.module in sys.modules]


def _registries() -> list[tuple[str, dict[Any, Any]]]:
    """Where Python remembers of which warnings it has told."""
    found = [
        (name, getattr(module, "__dict__", {}).get("__warningregistry__"))
        for name, module in list(sys.modules.items())
    ]
    return [(name, registry) for name, registry in found if isinstance(registry, dict)]


def _is_fixed(value: Any) -> bool:
    """Whether it is a definition that all rounds share; not a function that may keep state."""
    if isinstance(value, types.FunctionType):
        return not (value.__closure__ or value.__defaults__ or value.__kwdefaults__ or value.__dict__)
    return kinds.is_definition(value)


def _copies(own: dict[str, Any]) -> dict[str, Any]:
    """The values, copied so that they share among each other what they did; definitions are everybody's."""
    fixed = {id(value): name for name, value in own.items() if _is_fixed(value)}
    kinds.resolver = own.__getitem__
    data = [name for name in own if id(own[name]) not in fixed]
    try:
        found = dict(zip(data, _copied([own[name] for name in data], fixed), strict=True))
    except carried.CannotTravel:  # a value that no step could be given: the others without it
        found = {}
        for name in data:
            try:
                found[name] = _copied([own[name]], fixed)[0]
            except carried.CannotTravel:
                found[name] = own[name]
    return {name: found.get(name, value) for name, value in own.items()}


def _copied(values: list[Any], fixed: dict[int, str]) -> list[Any]:
    names = tuple(str(number) for number in range(len(values)))
    kind, stream, buffers = formats.encode(values, pickler.dump(values, fixed, names))
    data = b"".join(bytes(part) for part in container.pieces(kind, names, stream, buffers))
    return formats.read(container.read_bytes(data, hashlib.sha256(data).hexdigest()))
