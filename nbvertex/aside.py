"""What a comparison sets aside: cells that vary by intent or tell the time, and what depends on them."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from nbvertex.ipython_syntax import read
from nbvertex.pipeline import Cell, Facts, Pipeline

CLOCK = "reads the clock"
STAMPS = re.compile(r"\basctime\b")  # what is logged says when
SEEDS = re.compile(r"\bseed\s*\(|\bset_state\s*\(|\bsetstate\s*\(|manual_seed|set_random_seed")


@dataclass(frozen=True, slots=True)
class Aside:
    """What is not compared, and why.

    Args:
        cells: position -> the reason.
        names: name -> the cell that makes it vary.
        files: file -> the cell that was seen to write it.
    """

    cells: Mapping[int, str] = field(default_factory=dict)
    names: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)


def find(pipeline: Pipeline, *, times: bool = False) -> Aside:
    """What cells tagged ``varies`` make vary.

    Args:
        pipeline: the notebook.
        times: cells that read the clock count as tagged.
    """
    found = _Spread(times=times)
    for cell in sorted((c for step in pipeline.steps for c in step.cells), key=lambda c: c.position):
        found.take(cell)
    return Aside(found.cells, found.names)


class _Spread:
    """Goes through the cells in order and sees how far what varies comes."""

    def __init__(self, *, times: bool) -> None:
        self.times = times
        self.cells: dict[int, str] = {}
        self.names: dict[str, int] = {}
        self.files: dict[str, int] = {}
        self._chance: int | None = None  # the cell since which the random generators differ

    def take(self, cell: Cell) -> None:
        """Go on with the next cell."""
        facts = cell.facts
        seeds = bool(SEEDS.search(cell.source))
        if seeds and not cell.varies:
            self._chance = None
        reason = self._reason(cell, seeds=seeds)
        if reason is None:
            for name in {*facts.surely, *facts.deletes}:
                self.names.pop(name, None)
            return
        self.cells[cell.position] = reason
        for name in {*facts.binds, *facts.mutates, *facts.touches} - _imported(cell.source):
            self.names.setdefault(name, cell.position)
        self.files.update(dict.fromkeys(facts.files_written, cell.position))
        if "random" in facts.outside:
            self._chance = cell.position

    def _reason(self, cell: Cell, *, seeds: bool) -> str | None:
        facts = cell.facts
        if cell.varies:
            return "varies"
        if self.times and ("clock" in facts.outside or STAMPS.search(cell.source)):
            return CLOCK
        names = sorted(_used(facts) & self.names.keys())
        if facts.everything and self.names:
            names = sorted(self.names)
        if names:
            return f"depends on `{names[0]}` of cell {self.names[names[0]]}"
        files = sorted(set(facts.files_read) & self.files.keys())
        if files:
            return f"reads {files[0]} of cell {self.files[files[0]]}"
        if self._chance is not None and "random" in facts.outside and not seeds:
            return f"draws at random after cell {self._chance}"
        return None


def _imported(source: str) -> set[str]:
    """The names that import statements of a cell bind: what they hold is the same in every run."""
    tree = read(source).tree
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)] if tree else []
    return {alias.asname or alias.name.partition(".")[0] for node in found for alias in node.names}


def _used(facts: Facts) -> set[str]:
    return {*facts.reads, *facts.mutates, *facts.touches}
