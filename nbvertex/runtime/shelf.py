"""Modules imported ahead of time and put aside: `import` finds them there, ready, with all that importing them does."""

from __future__ import annotations

import copy
import importlib.machinery
import sys
import types
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(eq=False)
class Unit:
    """What one import brought.

    Args:
        name: the module that was asked for.
        modules: all that came with it, except the standard library's.
        needs: units put aside before that it imports in its turn.
        bindings: package, attribute and module, where a package of another unit got a submodule.
        effects: does to this process what the import did to the one that prepared it.
        aside: nobody has imported it since it was put aside.
    """

    name: str
    modules: dict[str, types.ModuleType] = field(default_factory=dict)
    needs: list[Unit] = field(default_factory=list)
    bindings: list[tuple[types.ModuleType, str, types.ModuleType]] = field(default_factory=list)
    effects: Callable[[], None] | None = None
    aside: bool = False


class Shelf:
    """A finder that gives out prepared modules; until then no trace of them is in `sys.modules`."""

    def __init__(self) -> None:
        self._units: dict[str, Unit] = {}  # by the name of each module they hold
        self._open: Unit | None = None

    def begin(self, name: str) -> None:
        """Start to note which units the next import makes use of."""
        self._open = Unit(name)

    def put(self, names: Iterable[str], effects: Callable[[], None]) -> None:
        """Put what was imported since `begin` aside.

        Args:
            names: the modules that `sys.modules` has gained.
            effects: see `Unit`.
        """
        unit, self._open = self._open, None
        assert unit is not None
        unit.effects = effects
        others = {name for need in unit.needs for name in need.modules}
        unit.modules = {n: sys.modules[n] for n in names if n not in others and not is_standard(n)}
        unit.bindings = list(_bindings(unit.modules))
        for one in (unit, *unit.needs):
            one.aside = True
            for name, module in one.modules.items():
                if sys.modules.get(name) is module:
                    del sys.modules[name]
                self._units[name] = one
            for package, attribute, _ in one.bindings:
                delattr(package, attribute)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """What the import system asks; asking alone changes nothing."""
        unit = self._units.get(name)
        if unit is None or not unit.aside:
            return None
        module = unit.modules[name]
        spec = copy.copy(module.__spec__) or importlib.machinery.ModuleSpec(name, None)
        spec.loader = _Ready(self, unit, module)  # type: ignore[assignment]
        return spec

    def take(self, unit: Unit) -> None:
        """Let a unit, and before it what it needs, be imported."""
        if not unit.aside:
            return
        unit.aside = False
        for need in unit.needs:
            self.take(need)
        for name, module in unit.modules.items():
            sys.modules.setdefault(name, module)
        for package, attribute, module in unit.bindings:
            setattr(package, attribute, module)
        if self._open is not None:
            self._open.needs.append(unit)
        elif unit.effects is not None:
            unit.effects()


class _Ready:
    """A loader that has nothing left to do."""

    def __init__(self, shelf: Shelf, unit: Unit, module: types.ModuleType) -> None:
        self._shelf, self._unit, self._module = shelf, unit, module
        self._spec = module.__spec__

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return self._module

    def exec_module(self, module: types.ModuleType) -> None:
        module.__spec__ = self._spec  # the import system has put its own copy there
        self._shelf.take(self._unit)


def is_standard(name: str) -> bool:
    """The module is of the standard library, so that nobody minds who imported it."""
    return name.partition(".")[0] in sys.stdlib_module_names


def _bindings(
    modules: dict[str, types.ModuleType],
) -> Iterable[tuple[types.ModuleType, str, types.ModuleType]]:
    for name, module in modules.items():
        parent, _, last = name.rpartition(".")
        if parent and parent not in modules:
            package = sys.modules.get(parent)
            if package is not None and vars(package).get(last) is module:
                yield package, last, module
