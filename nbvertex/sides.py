"""What one run of a notebook showed, left and held: a side of the comparison that `verify` makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbvertex.errors import NbvertexError, ends_the_run

Output = Mapping[str, Any]  # as nbformat has it
Told = tuple[str, str, str]  # type, digest (empty: it cannot be looked into), short text


@dataclass(frozen=True, slots=True)
class Failure:
    """How a run failed.

    Args:
        position: the cell; None where no cell can be named.
        ename, evalue: the error as the notebook shows it; an empty name where the process ended.
        line: of the cell, where that is known.
        traceback: as the notebook shows it.
    """

    position: int | None
    ename: str
    evalue: str
    line: int | None = None
    traceback: tuple[str, ...] = ()

    @property
    def wanted(self) -> bool:
        """Whether the notebook ended the run itself, and well."""
        return ends_the_run(self.ename, self.evalue)

    def __str__(self) -> str:
        return ": ".join(part for part in (self.ename, self.evalue) if part) or "the process ended"


@dataclass(frozen=True, slots=True)
class Folder:
    """The working folder after a run.

    Args:
        root: where it is.
        changed: the files and folders (with a slash) that the run made, changed or removed.
    """

    root: Path
    changed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Side:
    """One run of a notebook.

    Args:
        outputs: position -> what the cell showed; the cells that were begun.
        counts: position -> the number in ``In [number]``.
        failure: how it failed; None: it ended well, or was refused.
        refused: why the steps could not go on, where that is no failure of a cell.
        values: name -> what it held at the end; None where the run did not come to its end.
        unknown: names of which it cannot be told what they held.
        before: name -> what it held before the cell that was watched.
        folder: what it left.
        untaken: the steps none of whose cells were to run -> why.
    """

    outputs: Mapping[int, tuple[Output, ...]] = field(default_factory=dict)
    counts: Mapping[int, int | None] = field(default_factory=dict)
    failure: Failure | None = None
    refused: NbvertexError | None = None
    values: Mapping[str, Told] | None = None
    unknown: frozenset[str] = frozenset()
    before: Mapping[str, Told] | None = None
    folder: Folder | None = None
    untaken: Mapping[str, str] = field(default_factory=dict)
