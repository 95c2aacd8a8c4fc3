"""Every error a user can meet: what happened, where (notebook, cell, line), and how to mend it."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


class Exit(enum.IntEnum):
    """The exit codes of the command line; nothing else ends the process with a number."""

    OK = 0
    FAILED = 1  # a step, a comparison, or nbvertex itself
    REFUSED = 2
    REMOTE = 3
    INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a notebook something is.

    Args:
        notebook: the file as the user named it.
        cell: position in the notebook, counted from 1, markdown included.
        line: line within that cell, counted from 1.
        step: the step that the cell belongs to.
    """

    notebook: str | None = None
    cell: int | None = None
    line: int | None = None
    step: str | None = None

    def __str__(self) -> str:
        parts = [self.notebook] if self.notebook else []
        if self.cell is not None:
            cell = f"cell {self.cell}"
            if self.step:
                cell += f" [step {self.step}]"
            parts.append(cell)
        elif self.step:
            parts.append(f"step {self.step}")
        if self.line is not None:
            parts.append(f"line {self.line}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, as `check` lists it.

    Args:
        code: a stable short name, for instance ``undefined-name``.
        message: one sentence, without the place.
        place: where it is.
        hint: what to do about it.
        severity: ``error`` (refused, exit 2) or ``warning``.
    """

    code: str
    message: str
    place: Place = Place()
    hint: str | None = None
    severity: str = "error"

    @property
    def is_error(self) -> bool:
        return self.severity == "error"

    def __str__(self) -> str:
        where = str(self.place)
        return f"{where}: {self.message}" if where else self.message


class NbvertexError(Exception):
    """The family of every error that a user can meet.

    Args:
        message: one sentence.
        place: where in the notebook.
        hint: what to do about it.
        code: a stable short name.
    """

    exit_code = Exit.REFUSED
    code = "error"

    def __init__(
        self, message: str, *, place: Place | None = None, hint: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place or Place()
        self.hint = hint
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        where = str(self.place)
        return f"{where}: {self.message}" if where else self.message


class UsageError(NbvertexError):
    """The command or its options are off."""

    code = "usage"


class ConfigError(NbvertexError):
    """pyproject.toml or nbvertex.toml says something that is not understood."""

    code = "config"


class NotebookError(NbvertexError):
    """The file cannot be read as a notebook."""

    code = "notebook"


class ParameterError(NbvertexError):
    """A parameter is unknown, of the wrong type or out of its range."""

    code = "parameter"


class Refused(NbvertexError):
    """What was asked cannot be done rightly, so it is not done at all."""

    code = "refused"


class ProblemsFound(NbvertexError):
    """A notebook has errors; all of them are listed at once."""

    code = "problems"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        errors = [p for p in self.problems if p.is_error]
        super().__init__(f"{len(errors)} problem{'s' if len(errors) != 1 else ''} found")


class StoreError(NbvertexError):
    """The store of artifacts or the lineage database cannot be read or written."""

    code = "store"


class StepFailed(NbvertexError):
    """A step of a run failed; the output notebook holds the traceback."""

    exit_code = Exit.FAILED
    code = "step-failed"


class DifferenceFound(NbvertexError):
    """A check found a difference."""

    exit_code = Exit.FAILED
    code = "difference"


class RemoteError(NbvertexError):
    """The remote side or its credentials failed."""

    exit_code = Exit.REMOTE
    code = "remote"


class Interrupted(NbvertexError):
    """The user asked to stop."""

    exit_code = Exit.INTERRUPTED
    code = "interrupted"


def ends_the_run(ename: str, evalue: str) -> bool:
    """Whether an error in a cell ends the run, and well: `sys.exit()` and `sys.exit(0)`, as papermill has it."""
    return ename == "SystemExit" and evalue in ("", "0")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that the user most likely meant, or None where none is near."""
    import difflib

    folded = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word.casefold(), folded, 1)
    return folded[found[0]] if found else None


def visible(text: str, *, keep: str = "\n") -> str:
    """The text with control and direction characters spelled out, so that no name repaints a terminal.

    Args:
        text: from wherever.
        keep: characters that stay as they are.
    """
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def many(count: int, noun: str) -> str:
    """``1 step``, ``2 steps``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
