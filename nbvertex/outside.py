"""The state outside the names, cell after cell: whom a cell must come after."""

from __future__ import annotations

import posixpath
import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from nbvertex.effects import State
from nbvertex.families import family

UNORDERED = frozenset(
    {"clock", "input", "display"}
)  # nobody can tell who was first, or it is refused elsewhere
SURROUNDING = frozenset(
    {"environ", "cwd", "modules", "ipython", "threads", "signals"}
)  # any code may look at these
ASKS = {"process": ("environ", "cwd"), "files": ("cwd",)}  # kinds that look at what another kind has set


@dataclass(frozen=True, slots=True)
class Touch:
    """One cell at some outside state.

    Args:
        step, cell, line: where.
        kind: of the state.
        maybe: it is not sure that it matters.
    """

    step: int
    cell: int
    line: int
    kind: str
    maybe: bool = False


def _doubted(touch: Touch) -> Touch:
    return Touch(touch.step, touch.cell, touch.line, touch.kind, maybe=True)


@dataclass(slots=True)
class _Files:
    """Who has written or read which files, found by path, name, folder or module."""

    found: dict[tuple[str, str], list[Touch]] = field(default_factory=dict)
    anything: list[Touch] = field(default_factory=list)  # those whose files have no known name

    def meet(self, name: str, kind: str) -> Iterator[Touch]:
        """Those who had to do with a file, in whatever way it is named; with any, where it has no name."""
        if kind == "imports":
            yield from self.found.get(("module", name), ())
            yield from map(_doubted, self.anything) if _is_local(name) else ()
            return
        yield from map(_doubted, self.anything)
        if not _named(name):
            for (how, _), touches in self.found.items():
                yield from map(_doubted, touches if how == "path" else ())
            return
        path = posixpath.normpath(name)
        yield from self.found.get(("path", path), ())
        for other in self.found.get(("name", posixpath.basename(path)), ()):
            yield _doubted(other)
        for folder in _folders(path):
            yield from map(_doubted, self.found.get(("path", folder), ()))
        yield from map(_doubted, self.found.get(("folder", path), ()))

    def note(self, name: str, touch: Touch, *, alone: bool) -> None:
        """One more who has; ``alone`` where those before need not be known any more."""
        if not _named(name):
            if alone:
                self.found.clear()
                self.anything.clear()
            self.anything.append(touch)
            return
        path = posixpath.normpath(name)
        base = posixpath.basename(path)
        keys = [("path", path), ("name", base), *(("folder", folder) for folder in _folders(path))]
        keys += (
            [("module", part.removesuffix(".py")) for part in path.split("/")] if path.endswith(".py") else []
        )
        for key in keys:
            known = self.found.setdefault(key, [])
            if alone and key[0] == "path":
                known.clear()
            if not known or known[-1] != touch:
                known.append(touch)


def _is_local(module: str) -> bool:
    """Whether a module may lie beside the notebook: it is none of Python's own, nor of a library known here."""
    return module not in sys.stdlib_module_names and family(module) is None


def _named(name: str) -> bool:
    return bool(name) and not set(name) & set("*?[")


def _folders(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: number + 1]) for number in range(len(parts))]


def clash(above: State, below: State) -> str:
    """The kind of state for which the order of two cells counts; empty where it does not."""
    for one, other in ((above, below), (below, above)):
        if one[2] != "read" and one[0] in ASKS.get(other[0], ()):
            return one[0]
    if {above[0], below[0]} == {"files", "imports"}:
        files = _Files()
        written, module = (above, below) if above[0] == "files" else (below, above)
        files.note(written[1], Touch(0, 0, 0, "files"), alone=True)
        return (
            "files"
            if written[2] != "read" and any(not t.maybe for t in files.meet(module[1], "imports"))
            else ""
        )
    if {above[0], below[0]} <= {"files", "process"}:
        files = _Files()
        files.note(above[1] if above[0] == "files" else "", Touch(0, 0, 0, "files"), alone=True)
        meets = any(files.meet(below[1] if below[0] == "files" else "", "files"))
        return "files" if meets and {above[2], below[2]} != {"read"} else ""
    first, second = (state[0].replace("chance", "random") for state in (above, below))
    if first != second or first in UNORDERED | {"imports", "network"} or {above[2], below[2]} == {"read"}:
        return ""
    return first if above[1] == below[1] or not above[1] or not below[1] else ""


@dataclass(slots=True)
class Outside:
    """What cells so far have done to the state outside the names.

    Args:
        figures: figures live on from cell to cell, so that drawing has an order.
    """

    figures: bool = False
    writes: dict[tuple[str, str], Touch] = field(default_factory=dict)
    seeded: set[str] = field(default_factory=set)
    written: _Files = field(default_factory=_Files)
    read: _Files = field(default_factory=_Files)

    def before(self, state: State) -> Iterator[Touch]:
        """Whom a cell that does this must come after."""
        kind, what, mode = state
        if kind in UNORDERED and not (kind == "display" and what and self.figures):
            return
        for other in ASKS.get(kind, ()):
            yield from self._writers(other, "")
        if kind in ("files", "imports", "process"):
            name = "" if kind == "process" else what
            yield from self.written.meet(name, kind)
            yield from () if mode == "read" else self.read.meet(name, kind)
        if kind == "imports" and _is_local(what):
            yield from self._writers("modules", "sys.path")
        if kind == "chance":
            yield from map(_doubted, self._writers("random", what) if what in self.seeded else ())
        elif kind in ("network", "process"):
            yield from map(_doubted, self._writers(kind, what))
        elif kind != "files" and mode != "write":
            yield from self._writers(kind, what)

    def around(self, anew: Container[tuple[str, str]]) -> Iterator[Touch]:
        """What any code may look at without saying so.

        Args:
            anew: the state that it sets for itself first.
        """
        for (kind, what), touch in self.writes.items():
            if (kind in SURROUNDING or (kind == "random" and what in self.seeded)) and (
                kind,
                what,
            ) not in anew:
                yield _doubted(touch)

    def _writers(self, kind: str, what: str) -> Iterator[Touch]:
        for (name, other), touch in self.writes.items():
            if name == kind and (what == other or not what or not other):
                yield touch if what == other else _doubted(touch)

    def done(self, state: State, touch: Touch) -> None:
        """Note what a cell does."""
        kind, what, mode = state
        if kind in ("files", "process"):
            (self.read if mode == "read" else self.written).note(
                what if kind == "files" else "", touch, alone=mode != "read"
            )
            if mode != "read" and not _named(what):
                self.read = _Files()
        if kind == "chance":
            kind = "random" if what in self.seeded else ""
        if kind and mode != "read" and kind != "files":
            self.writes[kind, what] = touch
        if kind == "random" and mode == "write":
            self.seeded.add(what)
