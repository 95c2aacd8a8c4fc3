"""Check a notebook, show its steps, list its parameters."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbvertex.errors import NbvertexError, Place, Problem, ProblemsFound
from nbvertex.notebook import Notebook
from nbvertex.pipeline import Parameter, Pipeline


@dataclass(frozen=True, slots=True)
class Checked:
    """What `check` found in one notebook.

    Args:
        notebook: the file as the user named it.
        pipeline: its steps; None where it has errors.
        problems: errors and warnings.
    """

    notebook: str
    pipeline: Pipeline | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> int:
        return sum(problem.is_error for problem in self.problems)


@dataclass(frozen=True, slots=True)
class Opened:
    """A notebook that can be run.

    Args:
        notebook: the file.
        pipeline: its steps.
        warnings: what is odd but no error.
    """

    notebook: Notebook
    pipeline: Pipeline
    warnings: tuple[Problem, ...]


def check(paths: Iterable[str], *, split: str | None = None) -> list[Checked]:
    """Every problem of notebooks; one that cannot be read is a problem of its own.

    Args:
        paths: the files.
        split: ``headings`` or ``cells``: how to cut a notebook without marks.
    """
    return [_check(path, split) for path in paths]


def _check(path: str, split: str | None) -> Checked:
    from nbvertex import notebook

    try:
        pipeline, problems = _convert(notebook.read(path), split)
    except ProblemsFound as error:
        return Checked(path, None, error.problems)
    except NbvertexError as error:
        place = error.place if error.place.notebook else Place(notebook=path)
        return Checked(path, None, (Problem(error.code, error.message, place, error.hint),))
    return Checked(path, pipeline, problems)


def open_notebook(path: str, *, split: str | None = None) -> Opened:
    """A notebook and its steps.

    Raises:
        NotebookError: it cannot be read.
        ProblemsFound: it has errors; all of them, and the warnings.
    """
    from nbvertex import notebook

    return converted(notebook.read(path), split=split)


def converted(notebook: Notebook, *, split: str | None = None) -> Opened:
    """The steps of a notebook that has been read.

    Raises:
        ProblemsFound: it has errors; all of them, and the warnings.
    """
    pipeline, problems = _convert(notebook, split)
    if pipeline is None or any(problem.is_error for problem in problems):
        raise ProblemsFound(problems)
    return Opened(notebook, pipeline, problems)


def step_names(path: str) -> list[str]:
    """The steps that a notebook is marked with, whatever else is wrong in it.

    Raises:
        NotebookError: it cannot be read.
    """
    from nbvertex import dialect, notebook

    cells = [cell for cell in notebook.read(path).cells if cell.kind == "code"]
    steps = [dialect.read_marks(path, cell).step for cell in cells]
    return [step for step in dict.fromkeys(steps) if step]


def _convert(notebook: Notebook, split: str | None) -> tuple[Pipeline | None, tuple[Problem, ...]]:
    from nbvertex import config, convert

    return convert.check(notebook, split=split, settings=config.load(Path(notebook.path)))


def checked_json(checked: Checked) -> dict[str, Any]:
    """What `check` found, as JSON."""
    return {
        "notebook": checked.notebook,
        "ok": not checked.errors,
        "steps": [step.name for step in checked.pipeline.steps] if checked.pipeline else None,
        "problems": [
            {
                "severity": problem.severity,
                "code": problem.code,
                "message": problem.message,
                "cell": problem.place.cell,
                "line": problem.place.line,
                "step": problem.place.step,
                "hint": problem.hint,
            }
            for problem in checked.problems
        ],
    }


def parameter_json(parameter: Parameter) -> dict[str, Any]:
    """A parameter as JSON, with what is not said about it."""
    return {name: getattr(parameter, name) for name in parameter.__struct_fields__}
