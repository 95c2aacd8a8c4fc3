"""One step of a notebook run by itself, on values that are handed to it."""

from __future__ import annotations

import ast
import os
import pickle
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbvertex import ipython_syntax, worker
from nbvertex.displays import plain
from nbvertex.environment import Packages, interpreter
from nbvertex.errors import Place, StepFailed, UsageError, nearest
from nbvertex.errors import Refused as RefusedValue
from nbvertex.pipeline import SETUP, Cell, Pipeline, Step
from nbvertex.runtime.jobs import CellJob, Done, Failed, Job, Refused
from nbvertex.values import Values

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
Output = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tried:
    """What a step did on the values it was given.

    Args:
        outputs: what its cells showed, as nbformat has it.
        values: what the names held at the end.
        lost: names whose values cannot leave the step -> why.
        folder: the working folder it ran in.
    """

    outputs: tuple[Output, ...]
    values: Values
    lost: Mapping[str, str]
    folder: Path

    @property
    def text(self) -> str:
        """What its cells printed and showed, as text."""
        parts = [
            output.get("text") or output.get("data", {}).get("text/plain", "")
            for output in self.outputs
            if output["output_type"] != "error"
        ]
        return "".join("".join(part) for part in parts)

    def __contains__(self, name: str) -> bool:
        return name in self.values or name in self.lost

    def __getitem__(self, name: str) -> Any:
        __tracebackhide__ = True
        if name in self.lost:
            raise RefusedValue(f"`{name}` cannot leave the step: {self.lost[name]}", code="cannot-travel")
        if name not in self.values:
            near = nearest(name, self.values)
            raise KeyError(f"the step leaves no {name!r}" + (f"; did you mean {near!r}?" if near else ""))
        return self.values[name]


class Bench:
    """Processes for trials of one notebook's steps; close it when all is tried.

    Args:
        pipeline: the notebook.
        notebook: its file, for messages.
    """

    def __init__(self, pipeline: Pipeline, notebook: str) -> None:
        self._pipeline, self._notebook = pipeline, notebook
        self._pool: worker.Pool | None = None
        self._made = 0

    def close(self) -> None:
        """No process is left."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def step(self, name: str) -> Step:
        """The step of that name.

        Raises:
            UsageError: there is none.
        """
        __tracebackhide__ = True
        names = [step.name for step in self._pipeline.steps]
        if name not in names:
            near = nearest(name, names)
            hint = f"did you mean {near!r}?" if near else f"its steps are {', '.join(names)}"
            raise UsageError(f"{self._notebook} has no step {name!r}", hint=hint, code="unknown-step")
        return self._pipeline.step(name)

    def run(self, name: str, given: Mapping[str, object], *, cwd: Path, scratch: Path) -> Tried:
        """Run one step in a process of its own.

        The set-up runs before it, and so do cells above that only import and define; everything else that the
        step reads is handed to it.

        Args:
            name: the step.
            given: name -> value, set before its first cell; a parameter is set after the cell that declares it.
            cwd: the working folder.
            scratch: where large values are kept as long as they are used.

        Raises:
            UsageError: there is no such step, or a value cannot be handed to another process.
            StepFailed: a cell raised an error, or the process ended.
        """
        step = self.step(name)
        before = _before(self._pipeline, step)
        self._check(given)
        self._made += 1
        job = Job(
            id=f"{name}#{self._made}",
            cells=tuple(CellJob(c.position, c.count, c.source, c.may_fail) for c in (*before, *step.cells)),
            inputs={"step": name, "names": {}, "artifacts": [], "imports": (), "last": True},
            parameters=tuple(_placed(self._pipeline, step, before, given)),
            cwd=str(cwd),
            scratch=str(scratch),
        )
        outputs, result = self._watch(job)
        if isinstance(result, Done | Refused):
            return self._tried(step, outputs, result, cwd)
        raise self._failure(step, before, result, given)

    def _check(self, given: Mapping[str, object]) -> None:
        for name, value in given.items():
            if not name.isidentifier():
                raise UsageError(f"{name!r} is no name that a step could read")
            try:
                pickle.dumps(value, protocol=4)
            except Exception as error:  # whatever a strange object's own code raises
                raise UsageError(
                    f"`{name}` ({type(value).__name__}) cannot be handed to a step: {error}",
                    hint="what is defined at the top of the test's module can be",
                ) from error

    def _watch(self, job: Job) -> tuple[dict[int, tuple[Output, ...]], worker.Result]:
        """Run the job to its end."""
        pool = self._pool = self._pool or self._open()
        outputs: dict[int, tuple[Output, ...]] = {}
        try:
            pool.start(job)
            while True:
                for event in pool.poll():
                    match event:
                        case worker.CellEnded(position=position, outputs=shown):
                            outputs[position] = plain(shown)
                        case worker.Revised(position=position, outputs=shown):
                            outputs[position] = plain(shown)
                        case worker.Ended(result=result):
                            return outputs, result
        except BaseException:  # nothing may go on behind the back of whoever is interrupted
            self.close()
            raise

    def _open(self) -> worker.Pool:
        """Processes that have imported what the set-up imports, and find what the test can import."""
        packages = Packages(interpreter(sys.executable, _Forgetful()), _Forgetful())
        first = self._pipeline.steps[0] if self._pipeline.steps else None
        modules = first.facts.imports if first is not None else ()
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        preload = tuple(module for module in modules if packages.installed(module))
        return worker.Pool(sys.executable, preload=preload, env=environ)

    def _tried(
        self, step: Step, outputs: Mapping[int, tuple[Output, ...]], result: Done | Refused, cwd: Path
    ) -> Tried:
        done = result.rest if isinstance(result, Refused) else result
        problems = result.problems if isinstance(result, Refused) else ()
        assert done is not None
        lost = {problem["name"]: f"{problem['message']} ({problem['type']})" for problem in problems}
        shown = tuple(output for cell in step.cells for output in outputs.get(cell.position, ()))
        return Tried(shown, Values(done), lost, cwd)

    def _failure(
        self, step: Step, before: Sequence[Cell], result: worker.Result, given: Mapping[str, object]
    ) -> StepFailed:
        if not isinstance(result, Failed):
            message = result.message if isinstance(result, worker.Died) else "did not end"
            return StepFailed(message, place=Place(self._notebook, step=step.name), code="step-died")
        ours = any(cell.position == result.position for cell in step.cells)
        place = Place(self._notebook, result.position, result.line, step.name if ours else None)
        message = f"{result.ename}: {result.evalue}" if result.evalue else result.ename
        hint = self._missing(step, before, result) or result.hint
        error = StepFailed(message, place=place, hint=hint)
        error.add_note("\n".join(ESCAPES.sub("", line) for line in result.traceback))
        return error

    def _missing(self, step: Step, before: Sequence[Cell], result: Failed) -> str | None:
        """What to do about a name that an earlier step binds and nobody has handed over."""
        name = result.evalue.partition("'")[2].partition("'")[0] if result.ename == "NameError" else ""
        if step.options.each is not None and name == step.options.each.name:
            return f"it is an item of the list that the step runs over: hand one over, run({name}=...)"
        ran = {cell.position for cell in before}
        for other in self._pipeline.steps:
            for cell in other.cells:
                if name in cell.facts.binds and cell.position not in ran and other.name != step.name:
                    return f"cell {cell.position} [step {other.name}] binds it: hand it over, run({name}=...)"
        return None


@dataclass
class _Forgetful:
    """Notes on what is installed, for as long as this process lives."""

    kept: dict[str, str] = field(default_factory=dict)

    def read(self, name: str) -> str | None:
        """What was noted."""
        return self.kept.get(name)

    def write(self, name: str, value: str) -> None:
        """Note it."""
        self.kept[name] = value


def _before(pipeline: Pipeline, step: Step) -> list[Cell]:
    """The set-up, and the cells above the step that only import and define."""
    start = min((cell.position for cell in step.cells), default=0)
    found = [
        cell
        for other in pipeline.steps
        for cell in other.cells
        if other.name != step.name
        and (other.name == SETUP or (cell.position < start and _only_defines(cell)))
    ]
    return sorted(found, key=lambda cell: cell.position)


_DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _only_defines(cell: Cell) -> bool:
    """Whether a cell only imports, defines, and names constants."""
    tree = ipython_syntax.read(cell.source).tree
    return tree is not None and all(
        isinstance(node, _DEFINITIONS) or _is_constant(node) for node in tree.body
    )


def _is_constant(node: ast.stmt) -> bool:
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign | ast.Expr) else None
    try:
        ast.literal_eval(value) if value is not None else None
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return value is not None


def _placed(
    pipeline: Pipeline, step: Step, before: Sequence[Cell], given: Mapping[str, object]
) -> Iterator[tuple[int, str, object]]:
    """After which cell each value is set."""
    last = max((cell.position for cell in before), default=0)
    there = {cell.position for cell in (*before, *step.cells)}
    declared = {parameter.name: (parameter.cell, *parameter.again) for parameter in pipeline.parameters}
    for name, value in given.items():
        places = [position for position in declared.get(name, ()) if position in there]
        for position in places or [last]:
            yield position, name, value
