"""State outside the names: working folder, environment, random generators, options, modules' attributes, IPython's."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from . import machinery, modules, probes, registries, session, sources, tallies
from .machinery import MADE
from .probes import Probe

PROBES = (*probes.PROBES, *machinery.MACHINERY, *tallies.TALLIES)

# before anything is imported for a value, in this order
FIRST = (
    "@cwd", "@environ", "@path", "@interpreter", "@finders", "@made", "@modules", "@matplotlib.backend",
    "@jax.options",
)  # fmt: skip


@dataclass
class Outside:
    """The state outside the names, as one step finds and leaves it."""

    before: dict[str, Any] = field(default_factory=dict)
    given: set[str] = field(default_factory=set)
    environ: dict[str, str] = field(default_factory=dict)
    path: list[str] = field(default_factory=list)
    made: dict[str, Any] = field(default_factory=dict)  # modules that were put together by hand
    modules: modules.Modules = field(default_factory=modules.Modules)
    registries: registries.Registries = field(default_factory=registries.Registries)
    session: session.Session = field(default_factory=session.Session)
    code: sources.Code = field(default_factory=sources.Code)

    def begin(self, shell: Any) -> None:
        """Remember what a fresh process looks like."""
        self.environ = dict(os.environ)
        self.path = list(sys.path)
        self.session.begin(shell)

    def apply(self, values: dict[str, Any]) -> None:
        """Set the state that earlier steps left."""
        self.given.update(values)
        known = {probe.name: probe for probe in (*PROBES, MADE)}
        self.made = values.get("@made", self.made)
        for name, value in values.items():
            if name == "@environ":
                _set_environ(value, self.environ)
            elif name == "@path":
                sys.path[:] = [*value[0], *self.path, *value[1]] if value[2] is None else value[2]
            elif name in known and _is_there(known[name].module):
                known[name].put(value)
        self.modules.apply(values)
        self.registries.apply(values)
        self.session.apply(values, self.modules.sources)

    def take_baseline(self, cells: list[str], namespace: dict[str, Any]) -> None:
        """Remember the state that the step starts from.

        Args:
            cells: what it will run.
            namespace: the names it finds.
        """
        self.code = sources.read(cells)
        self.before = {p.name: p.get() for p in PROBES if p.module in sys.modules}
        self.before["@environ"] = dict(os.environ)
        self.before["@path"] = list(sys.path)
        self.modules.take_baseline()
        self.registries.take_baseline(self.code, namespace)
        self.session.take_baseline("\n".join(cells))

    def changed(self, cells: list[str], namespace: dict[str, Any]) -> dict[str, Any]:
        """What the step left otherwise than it found it, by entry name."""
        text = "\n".join(cells)
        found: dict[str, Any] = {}
        for probe in PROBES:
            if probe.module in sys.modules:
                now = probe.get()
                if self._is_news(probe, now, text):
                    found[probe.name] = now
        if "sys.modules" in text and (made := MADE.get()) != self.made:
            found["@made"] = made
        if dict(os.environ) != self.before["@environ"]:
            found["@environ"] = _environ_difference(self.environ)
        if list(sys.path) != self.before["@path"]:
            found["@path"] = _path_difference(self.path)
        found.update(self.modules.changed(self.code, namespace, self.session.reloaded()))
        found.update(self.registries.changed(text, namespace, found))
        found.update(self.session.changed(text))
        return found

    def _is_news(self, probe: Probe, now: Any, text: str) -> bool:
        if probe.name in self.before:
            before = self.before[probe.name]
            idle = probe.idle is not None and probe.name not in self.given and probe.idle(before, now, text)
            return not idle and not same(now, before)
        return probe.fresh is None or not probe.fresh(now, text)


def same(a: Any, b: Any) -> bool:
    """Equality that also serves tuples and dicts with arrays in them."""
    if a is b or type(a) is not type(b):
        return a is b
    if isinstance(a, tuple | list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(v, b[k]) for k, v in a.items())
    if type(a).__name__ == "ndarray":
        return bool(a.tobytes() == b.tobytes() and a.shape == b.shape)
    return bool(a == b)


def _is_there(name: str) -> bool:
    if name in sys.modules:
        return True
    with modules.quiet():
        try:
            __import__(name)
        except ImportError:
            return False
    return True


# ---------------------------------------------------------------------------------------- folder, environment


def _environ_difference(base: dict[str, str]) -> dict[str, str | None]:
    now = dict(os.environ)
    changed: dict[str, str | None] = {k: v for k, v in now.items() if base.get(k) != v}
    changed.update({k: None for k in base if k not in now})
    return dict(sorted(changed.items()))


def _set_environ(difference: dict[str, str | None], base: dict[str, str]) -> None:
    for name, value in difference.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if "TZ" in difference:
        time.tzset()


def _path_difference(base: list[str]) -> tuple[list[str], list[str], list[str] | None]:
    now = list(sys.path)
    for at in range(len(now) - len(base) + 1):
        if now[at : at + len(base)] == base:
            return now[:at], now[at + len(base) :], None
    return [], [], now
