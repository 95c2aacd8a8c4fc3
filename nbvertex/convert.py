"""A notebook becomes a pipeline: its marks are read, its cells cut into steps, and what flows between them found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from nbvertex import dataflow, declarations, faults, flows, stays, unbound
from nbvertex.config import Settings
from nbvertex.cutting import Cut, cut
from nbvertex.dataflow import Analysis
from nbvertex.dialect import Header, Marks, read_header, read_marks
from nbvertex.errors import Place, Problem, ProblemsFound, nearest
from nbvertex.half_characters import shown
from nbvertex.names import given as is_given
from nbvertex.notebook import Notebook
from nbvertex.options import BY_NAME, Wrong, add, build
from nbvertex.pipeline import Cell, Parameter, Pipeline, Step
from nbvertex.runnable import runnable


def convert(notebook: Notebook, *, split: str | None = None, settings: Settings | None = None) -> Pipeline:
    """The pipeline that a notebook is.

    Args:
        notebook: as `notebook.read` gives it.
        split: ``headings`` or ``cells``: how to cut it; None: at its step marks.
        settings: of the project.

    Raises:
        ProblemsFound: the notebook has errors; it holds all of them, and the warnings.
    """
    pipeline, problems = check(notebook, split=split, settings=settings)
    if pipeline is None:
        raise ProblemsFound(problems)
    return pipeline


def check(
    notebook: Notebook, *, split: str | None = None, settings: Settings | None = None
) -> tuple[Pipeline | None, tuple[Problem, ...]]:
    """The pipeline, or None where there are errors; and every problem at once, in notebook order."""
    if refusal := faults.refusal(notebook):
        return None, (refusal,)
    draft = _drafted(notebook, split, settings or Settings())
    steps, problems = draft.steps()
    parameters, notes = draft.parameters()
    connected = flows.connect(steps, draft.analyses)
    problems += [*draft.mark_problems(), *draft.code_problems(steps), *notes]
    problems += faults.in_order(notebook.path, connected.steps, draft.marks)
    problems += stays.seen(
        notebook.path, connected.steps, connected.flows, draft.analyses, marked=draft.pieces.marked
    )
    problems += [replace(one, place=replace(one.place, notebook=notebook.path)) for one in connected.problems]
    problems += [] if steps else [faults.no_code(notebook)]
    problems = sorted(dict.fromkeys(problems), key=lambda one: (one.place.cell or 0, one.place.line or 0))
    if any(problem.is_error for problem in problems):
        return None, tuple(problems)
    cell = draft.parameters_cell()
    return Pipeline(
        name=_safe(draft.header.name) or _safe(Path(notebook.path).stem) or "notebook",
        notebook=shown(Path(notebook.path).name),
        steps=connected.steps,
        flows=connected.flows,
        parameters=parameters,
        parameters_cell=cell,
        parameters_step=draft.step_of.get(cell, ""),
        requirements=tuple(dict.fromkeys(r for step in connected.steps for r in step.facts.requirements)),
        kernel=notebook.kernel,
        description=draft.header.description,
    ), tuple(problems)


def _safe(name: str) -> str:
    """A pipeline's name, from a file's or from metadata: letters, digits, - and _."""
    return re.sub(r"[^\w-]+", "-", name).strip("-_")[:100].rstrip("-_")


@dataclass(frozen=True, slots=True)
class _Draft:
    """A notebook that is read but not yet connected.

    Args:
        marks, analyses: of each code cell, skipped ones included, by position.
        pieces: which cells make which step.
        step_of: the step of each cell that runs.
    """

    notebook: Notebook
    settings: Settings
    split: str | None
    header: Header
    marks: Mapping[int, Marks]
    analyses: Mapping[int, Analysis]
    pieces: Cut
    step_of: Mapping[int, str]

    def steps(self) -> tuple[list[Step], list[Problem]]:
        """The steps with their cells and options."""
        cells = self._cells()
        steps: list[Step] = []
        problems: list[Problem] = []
        for name, positions in self.pieces.steps.items():
            given: dict[str, Any] = {}
            for position in positions:
                problems += self._add_options(given, position, name)
            options, resources = build([self.settings.steps.get(name, {}), self.header.given, given])
            steps.append(
                Step(
                    name=name,
                    title=self.pieces.titles.get(name, ""),
                    cells=tuple(cells[position] for position in positions),
                    options=options,
                    resources=resources,
                )
            )
        return steps, problems

    def _cells(self) -> dict[int, Cell]:
        ids = {cell.position: cell.id for cell in self.notebook.cells}
        cells: dict[int, Cell] = {}
        count = 0
        for position in sorted(self.step_of):
            mark, analysis = self.marks[position], self.analyses[position]
            blank = not mark.source.strip()  # Run All passes it over, without a number
            count += not blank
            cells[position] = Cell(
                position=position,
                source=runnable(mark.source),
                id=ids[position],
                count=0 if blank else count,
                digest=analysis.digest,
                may_fail=mark.may_fail,
                varies=mark.varies,
                facts=analysis.facts,
            )
        return cells

    def _add_options(self, given: dict[str, Any], position: int, step: str) -> list[Problem]:
        problems: list[Problem] = []
        for name, value in self.marks[position].given.items():
            place = Place(self.notebook.path, position, None, step)
            if name == "after" and self.split:
                continue  # the steps that it names are not cut
            if name in ("when", "each") and self.split:
                problems.append(faults.torn(name, place, self.split))
                continue
            try:
                add(given, BY_NAME[name], value if isinstance(value, tuple) else (value,))
            except Wrong as wrong:
                above = self._said(name, given[name], self.pieces.steps[step])
                problems.append(
                    Problem("option", f"{wrong} for step `{step}`, in cells {above} and {position}", place,
                            "say it on one of its cells")
                )  # fmt: skip
        return problems

    def _said(self, option: str, value: object, positions: Sequence[int]) -> int:
        """The first cell that says this of an option."""
        return next(position for position in positions if self.marks[position].given.get(option) == value)

    def parameters_cell(self) -> int:
        """The first cell marked as the parameters cell, or 0."""
        return next((p for p in sorted(self.step_of) if self.marks[p].parameters), 0)

    def parameters(self) -> tuple[tuple[Parameter, ...], list[Problem]]:
        """What the cells declare, and what is worth knowing about it."""
        found: list[Parameter] = []
        problems: list[Problem] = []
        for position in sorted(self.step_of):
            if self.analyses[position].problem is None:
                tagged = self.marks[position].parameters
                some, notes = declarations.declared(position, self.analyses[position].python, tagged=tagged)
                found += some
                for note in notes:
                    place = Place(self.notebook.path, position, note.line, self.step_of[position])
                    problems.append(Problem(note.code, note.message, place, note.hint, "warning"))
        tags = {cell.position: cell.tags for cell in self.notebook.cells}
        injected = {position for position in self.step_of if "injected-parameters" in tags[position]}
        return declarations.merged(found, injected), problems

    def mark_problems(self) -> list[Problem]:
        """What is wrong with the marks themselves."""
        problems = [*self.header.problems, *(p for mark in self.marks.values() for p in mark.problems)]
        problems += faults.in_names(self.notebook.path, self.pieces)
        for name in self.settings.steps:
            near = None if name in self.pieces.steps else nearest(name, self.pieces.steps)
            if near:
                problems.append(
                    Problem(
                        "settings-step", f"{self.settings.file} has options for step `{name}`, which does not exist",
                        Place(self.notebook.path), f"did you mean `{near}`?", "warning",
                    )
                )  # fmt: skip
        return problems

    def code_problems(self, steps: Sequence[Step]) -> list[Problem]:
        """What would fail when the cells run."""
        severity = "error" if self.pieces.marked else "warning"
        given = {
            step.cells[0].position: (step.options.each.name,)
            for step in steps
            if step.options.each and step.cells
        }
        seen = [
            unbound.Seen(position, self.step_of.get(position, ""), analysis,
                         skipped=self.marks[position].skip, may_fail=self.marks[position].may_fail,
                         given=given.get(position, ()))
            for position, analysis in self.analyses.items()
        ]  # fmt: skip
        return [
            *faults.in_code(self.notebook.path, self.analyses, self.marks, self.pieces),
            *unbound.find(self.notebook.path, seen, severity=severity),
        ]


def _drafted(notebook: Notebook, split: str | None, settings: Settings) -> _Draft:
    marks = {cell.position: read_marks(notebook.path, cell) for cell in notebook.cells if cell.kind == "code"}
    analyses: dict[int, Analysis] = {}
    modules: dict[str, str] = {}
    for position, mark in marks.items():
        analyses[position] = dataflow.analyse(mark.source, modules)
        for name, known in () if mark.skip else analyses[position].modules.items():
            if known or is_given(name):  # a builtin bound anew is one no more
                modules[name] = known
            else:
                modules.pop(name, None)
    pieces = cut(notebook.cells, marks, split)
    return _Draft(
        notebook=notebook,
        settings=settings,
        split=split,
        header=read_header(notebook.path, notebook.metadata),
        marks=marks,
        analyses=analyses,
        pieces=pieces,
        step_of={position: name for name, positions in pieces.steps.items() for position in positions},
    )
