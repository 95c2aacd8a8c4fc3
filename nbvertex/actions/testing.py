"""Notebooks as tests: run once for all their steps, or one step on values of the test's own."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from nbvertex import mirror, verify
from nbvertex.actions import verifying
from nbvertex.actions.reading import Opened, open_notebook
from nbvertex.actions.running import Given
from nbvertex.actions.verifying import Verified
from nbvertex.errors import DifferenceFound, NbvertexError, Place, ProblemsFound
from nbvertex.home import find
from nbvertex.pipeline import Step
from nbvertex.sides import Failure, Side
from nbvertex.trial import Bench, Tried

T = TypeVar("T")


def asks_for_law(opened: Opened) -> bool:
    """Whether the notebook's metadata say ``"nbvertex": {"verify": true}``, or ``"nbvertex": "verify"``."""
    said = opened.notebook.metadata.get("nbvertex")
    return said == "verify" or (isinstance(said, Mapping) and said.get("verify") is True)


class Exam:
    """A notebook as a test: it runs when the first of its steps is asked for.

    Args:
        opened: the notebook.
        given: values for parameters.
        law: run it as steps too, and compare.
    """

    def __init__(self, opened: Opened, given: Given, *, law: bool) -> None:
        self.opened, self.law = opened, law
        self._given = given

    @property
    def verified(self) -> Verified:
        """How the run as steps compares with the straight one.

        Raises:
            NbvertexError: the notebook could not be run, or must not be run twice unasked.
        """
        return _or_raise(self._both)

    @property
    def straight(self) -> Side:
        """The straight run.

        Raises:
            NbvertexError: the notebook could not be run.
        """
        if self.law and isinstance(self._both, Verified):
            return self._both.straight
        return _or_raise(self._one)

    @cached_property
    def _both(self) -> Verified | NbvertexError:
        return _caught(lambda: verifying.run(self.opened, given=self._given))

    @cached_property
    def _one(self) -> Side | NbvertexError:
        return _caught(lambda: verifying.straight_alone(self.opened, given=self._given))

    def failure(self, step: Step) -> Failure | None:
        """How a cell of a step failed in the straight run, if one did."""
        failure = self.straight.failure
        if failure is None or failure.wanted:
            return None
        return failure if any(cell.position == failure.position for cell in step.cells) else None

    def reached(self, step: Step) -> bool:
        """Whether all cells of a step were run."""
        return all(cell.position in self.straight.outputs for cell in step.cells)


def _caught(call: Callable[[], T]) -> T | NbvertexError:
    """What a call gives, or the error that every test meets that needs it."""
    try:
        return call()
    except NbvertexError as error:
        return error


def _or_raise(found: T | NbvertexError) -> T:
    if isinstance(found, NbvertexError):
        raise found
    return found


def plainly(call: Callable[[], T]) -> T:
    """What a call gives; an error of ours is raised from here, so that a test shows neither our frames nor pytest's.

    Raises:
        NbvertexError: what the call raised, its hint in a note.
    """
    __tracebackhide__ = True
    try:
        return call()
    except NbvertexError as error:
        failed = error.with_traceback(None)
    notes = [f"hint: {failed.hint}"] if failed.hint else []
    for problem in failed.problems if isinstance(failed, ProblemsFound) else ():
        notes += [str(problem), *([f"hint: {problem.hint}"] if problem.hint else [])]
    failed.__notes__ = [*notes, *getattr(failed, "__notes__", [])]
    raise failed


def _alike(found: Verified) -> Verified:
    if found.steps.refused is not None:
        raise found.steps.refused
    if found.compared.differences:
        first = found.compared.differences[0]
        cause = found.cause
        error = DifferenceFound(
            f"{first.what} differs between the straight run and the steps",
            place=Place(notebook=Path(found.opened.notebook.path).name, cell=first.position),
            hint=cause.hint if cause is not None else None,
        )
        error.add_note(
            "\n".join([*verify.diff(first), *([f"cause: {cause.said}"] if cause is not None else [])])
        )
        raise error
    return found


class Subject:
    """A notebook in a test.

    Args:
        opened: the notebook.
        bench: where its steps are tried.
        folder: makes an empty folder.
    """

    def __init__(self, opened: Opened, bench: Bench, folder: Callable[[], Path]) -> None:
        self._opened, self._bench, self._folder = opened, bench, folder

    def step(self, name: str) -> StepSubject:
        """One of its steps, to be run by itself.

        Raises:
            UsageError: there is none of that name.
        """
        __tracebackhide__ = True
        return StepSubject(plainly(lambda: self._bench.step(name)), self._bench, self._copy)

    def verify(self, /, **parameters: object) -> Verified:
        """Hold it to doing the same straight and as isolated steps.

        Args:
            parameters: name -> value.

        Raises:
            DifferenceFound: it does not.
            NbvertexError: it cannot be run, or its steps refuse to go on.
        """
        __tracebackhide__ = True
        given = Given(texts=(json.dumps(parameters),) if parameters else ())
        return plainly(lambda: _alike(verifying.run(self._opened, given=given)))

    def _copy(self) -> tuple[Path, Path]:
        """A clean copy of the notebook's folder to run in, and a folder for large values."""
        folder = self._folder()
        scratch = folder / "values"
        scratch.mkdir()
        path = Path(self._opened.notebook.path).absolute()
        copy = mirror.make(path.parent.resolve(), folder / "work", without=(find(path).folder, folder))
        return copy.cwd, scratch


class StepSubject:
    """A step of a notebook in a test.

    Args:
        step: it.
        bench: where it is tried.
        copy: makes a folder to run in, and one for large values.
    """

    def __init__(self, step: Step, bench: Bench, copy: Callable[[], tuple[Path, Path]]) -> None:
        self._step, self._bench, self._copy = step, bench, copy

    def run(self, /, **values: object) -> Tried:
        """Run it in a process of its own, on these values.

        The notebook's set-up and the cells above that only import and define run before it.

        Args:
            values: name -> what the step finds under it; a parameter is set as ``-p`` does.

        Returns:
            ``result["name"]`` is what a name holds at the end; ``.outputs`` and ``.text`` are what it showed;
            ``.folder`` is where it ran.

        Raises:
            StepFailed: a cell raised an error; the message names cell, line and error.
            UsageError: a value cannot be handed to another process.
        """
        __tracebackhide__ = True
        return plainly(lambda: self._run(values))

    def _run(self, values: Mapping[str, object]) -> Tried:
        cwd, scratch = self._copy()
        return self._bench.run(self._step.name, values, cwd=cwd, scratch=scratch)


class Subjects:
    """The notebooks of a test session, each read once as long as its file stays as it is."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], Opened, Bench]] = {}

    def get(self, path: Path, folder: Callable[[], Path]) -> Subject:
        """A notebook.

        Args:
            path: the file.
            folder: makes an empty folder.

        Raises:
            NotebookError: it cannot be read.
            ProblemsFound: it has errors.
        """
        status = os.stat(path) if path.exists() else None
        looks = (status.st_mtime_ns, status.st_size) if status is not None else (0, 0)
        known = self._known.get(path)
        if known is None or known[0] != looks:
            if known is not None:
                known[2].close()
            opened = open_notebook(str(path))
            known = self._known[path] = looks, opened, Bench(opened.pipeline, path.name)
        return Subject(known[1], known[2], folder)

    def close(self) -> None:
        """No process is left."""
        for _, _, bench in self._known.values():
            bench.close()
        self._known.clear()
