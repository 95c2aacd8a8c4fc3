"""Statements of a small language of templates become the cells of a notebook.

A template is Python with places for names, each of a kind:

    {list}       a name of that kind, made beforehand where there is none
    {=list}      a name that is bound: a new one, or one that is bound anew
    {~func}      a name that a function reads when it is called
    {-list}      a name that is deleted
    {list'2}     another place of the same kind; the same place twice is the same name
    {n} {k} {s}  a small number, a key, a short text

So a list of drawn numbers always gives a program that Run All understands, and a shorter list a shorter one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from running import Cell

PLACE = re.compile(r"\{([=~-]?)([a-z]+)((?:'\d)?)\}")
LITERALS = {
    "n": ("1", "0", "2", "3", "-1", "10"),
    "k": ("'a'", "'b'", "1", "(1, 'x')"),
    "s": ("'x'", "'long text'", "''"),
}
NAMES = 3  # of each kind: few, so that they meet often
MODULES = frozenset(
    "np pd math random os sys copy functools itertools collections warnings logging decimal types made".split()
)
"""Kinds of which there is one name only."""


@dataclass(frozen=True, slots=True)
class Op:
    """One drawn statement.

    Args:
        template: the statement.
        picks: which names and literals its places get, in turn.
        cut: what comes before it: 0 nothing, 1 a new cell, 2 a new step.
    """

    template: str
    picks: tuple[int, ...] = ()
    cut: int = 0


@dataclass
class Bound:
    """What is known of a name: its kind, and the names that its functions read when they are called."""

    kind: str
    late: frozenset[str] = frozenset()


@dataclass
class Filled:
    """A template whose places have names, by what each is there for."""

    text: str
    reads: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)
    binds: dict[str, str] = field(default_factory=dict)  # name -> kind
    deletes: set[str] = field(default_factory=set)


@dataclass
class Builder:
    """Writes a program, statement by statement.

    Args:
        makers: for every kind, the template that makes one where there is none.
    """

    makers: dict[str, str]
    bound: dict[str, Bound] = field(default_factory=dict)
    cells: list[list[str]] = field(default_factory=lambda: [[]])
    marks: list[bool] = field(default_factory=lambda: [False])

    def add(self, op: Op) -> None:
        """Write a statement, and before it what it needs."""
        if op.cut or self._is_magic(self.cells[-1]):
            self._new_cell()
        self.marks[-1] |= op.cut == 2
        self._write(op.template, iter(op.picks))

    @staticmethod
    def _is_magic(lines: list[str]) -> bool:
        """Such a cell is all of one piece."""
        return bool(lines) and lines[0].startswith("%%")

    def _new_cell(self) -> None:
        if self.cells[-1]:
            self.cells.append([])
            self.marks.append(False)

    def _write(self, template: str, picks: Iterator[int]) -> None:
        filled = self._fill(template, picks)
        known = {name: self.bound[name] for name in filled.reads | filled.late}
        needed = {name for one in filled.reads for name in self.bound[one].late}
        if needed - set(self.bound) and not filled.binds:
            filled.text = _guarded(filled.text)
        if self._is_magic([filled.text]):
            self._new_cell()
        self.cells[-1].append(filled.text)
        carried = frozenset(filled.late).union(*(one.late for one in known.values()))
        for name in filled.reads:  # what is put into it may be called through it
            self.bound[name].late |= carried - {name}
        for name, kind in filled.binds.items():
            self.bound[name] = Bound(kind, carried - {name})
        for name in filled.deletes:
            self.bound.pop(name, None)

    def _fill(self, template: str, picks: Iterator[int]) -> Filled:
        chosen: dict[tuple[str, str, str], str] = {}
        filled = Filled("")
        for sign, kind, number in PLACE.findall(template):
            place = sign.replace("~", ""), kind, number
            if place in chosen:
                continue
            pick = next(picks, 0)
            if kind in LITERALS:
                chosen[place] = LITERALS[kind][pick % len(LITERALS[kind])]
            elif sign == "=":
                chosen[place] = kind if kind in MODULES else f"{kind}{pick % NAMES}"
                filled.binds[chosen[place]] = kind
            else:
                chosen[place] = self._known(kind, pick)
                {"": filled.reads, "~": filled.late, "-": filled.deletes}[sign].add(chosen[place])
        filled.text = PLACE.sub(lambda m: chosen[m[1].replace("~", ""), m[2], m[3]], template)
        return filled

    def _known(self, kind: str, pick: int) -> str:
        """A name of the kind; where there is none, one is made first."""
        if not any(one.kind == kind for one in self.bound.values()):
            self._write(self.makers[kind], iter(()))
        there = [name for name, one in self.bound.items() if one.kind == kind]
        return there[pick % len(there)]

    def notebook(self, probe: str) -> list[Cell]:
        """The program as cells; the first cell of a step has its mark.

        Args:
            probe: the source of a last step, or nothing.
        """
        cells = [
            Cell("\n".join(lines), (f"step:s{number}",) if mark else ())
            for number, (lines, mark) in enumerate(zip(self.cells, self.marks, strict=True), 1)
        ]
        return [*cells, Cell(probe, ("step:probe",))] if probe else cells


def _guarded(text: str) -> str:
    inner = "\n".join("    " + line for line in text.split("\n"))
    return f"try:\n{inner}\nexcept NameError as error:\n    print('NameError:', error)"
