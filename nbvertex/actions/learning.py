"""What the last run of a notebook tells of the files that its steps need."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from nbvertex import pipeline as model
from nbvertex.errors import UsageError
from nbvertex.footprint import Footprint, Marks, footprints
from nbvertex.lineage import Lineage, Run, Touched
from nbvertex.notebook import SourceCell
from nbvertex.pipeline import Pipeline, Step

MAGIC = "%%step"


@dataclass(frozen=True, slots=True)
class Learned:
    """What a run tells of files.

    Args:
        run: its id.
        steps: what each was seen to touch.
        magic: the steps that a ``%%step`` line marks, and not a tag.
    """

    run: str
    steps: tuple[Footprint, ...]
    magic: frozenset[str]

    def marks(self, step: Footprint) -> list[str]:
        """The marks to add to a step, in the form that its others have."""
        found = []
        for key, marks in (("in", step.inputs), ("out", step.outputs)):
            magic = step.step in self.magic
            for path in marks.add:
                tag = f"{key}:{path.replace(',', '?')}"  # Jupyter's tags hold no comma
                found.append(f"--{key} {shlex.quote(path)}" if magic else tag)
        return found


def learn(path: str, pipeline: Pipeline) -> Learned:
    """What the newest run of a notebook tells.

    Args:
        path: its file.
        pipeline: its steps as they are now.

    Raises:
        UsageError: it has not been run here.
        StoreError: the record of runs cannot be read.
    """
    from nbvertex import notebook
    from nbvertex.actions.runs import home_of, opened
    from nbvertex.environment import interpreter
    from nbvertex.files import Files

    home = home_of(path)
    nothing = UsageError(f"{path} has not been run here: `nbvertex run {path}` shows which files it needs")
    if not home.database.exists():
        raise nothing
    with opened(home) as lineage:
        runs = lineage.runs(notebook=os.path.abspath(path), limit=1)
        if not runs:
            raise nothing
        run = runs[0]
        python = interpreter(run.python, lineage.notes)
        ours = str(Path(__file__).parents[1])
        files = Files(Path(run.cwd), python.owns, (str(home.folder), ours))
        touched, changed = _touched(lineage, run), _changed(run, pipeline)
        cells = notebook.read(path).cells
        return Learned(
            run.id,
            tuple(footprints(pipeline.steps, touched, changed, files, Path(run.cwd))),
            frozenset(step.name for step in pipeline.steps if _has_magic(cells, step)),
        )


def _touched(lineage: Lineage, run: Run) -> dict[str, Touched]:
    """What each step that ended well touched, in all its rounds."""
    rows = [row for row in lineage.steps(run.id) if row.finished and row.state != "skipped"]
    outcomes = lineage.outcomes(row.outcome for row in rows if row.outcome is not None)
    found: dict[str, Touched] = {}
    for row in rows:
        if row.outcome in outcomes:
            now, more = found.get(row.name, Touched()), outcomes[row.outcome].touched
            found[row.name] = Touched(read=now.read + more.read, written=now.written + more.written)
    return found


def _changed(run: Run, now: Pipeline) -> set[str]:
    """The steps whose code was another one in that run."""
    try:
        then = {step.name: step for step in model.load(run.pipeline).steps}
    except msgspec.ValidationError:  # it is from another version
        then = {}

    def code(step: Step | None) -> list[str]:
        return [cell.digest for cell in step.cells] if step is not None else []

    return {step.name for step in now.steps if code(step) != code(then.get(step.name))}


def _has_magic(cells: Sequence[SourceCell], step: Step) -> bool:
    return any(cells[cell.position - 1].source.lstrip().startswith(MAGIC) for cell in step.cells)


def as_json(learned: Learned) -> dict[str, Any]:
    """What was learned, as JSON."""
    return {
        "run": learned.run,
        "steps": [{**asdict(step), "marks": learned.marks(step)} for step in learned.steps],
    }


def rows(learned: Learned) -> list[tuple[str, str, str, str]]:
    """What was learned: step, its first cell, what is said, of what."""
    found = []
    for step in learned.steps:
        said = list(_said(learned, step))
        heads = [(step.step, f"cell {step.cells[0]}" if step.cells else "")] + [("", "")] * len(said)
        found += [(*head, *what) for head, what in zip(heads, said, strict=False)]
    return found


def _said(learned: Learned, step: Footprint) -> list[tuple[str, str]]:
    kinds: tuple[tuple[str, Marks, str], ...] = (
        ("in", step.inputs, "read"),
        ("out", step.outputs, "written"),
    )
    said = [("add", mark) for mark in learned.marks(step)]
    said += [("has", f"{key}:{path}") for key, marks, _ in kinds for path in marks.declared]
    said += [
        ("has", f"{key}:{path}, which was not {done}") for key, marks, done in kinds for path in marks.idle
    ]
    said += [("reads", f"{path}, which step {writer} writes") for path, writer in (step.flows or {}).items()]
    said += [("both", f"{path}: an input too, if it is there before the run") for path in step.both]
    said += [("outside", f"{path}: a run elsewhere does not find it there") for path in step.outside]
    if not step.seen:
        said.append(("?", "it has not run to its end"))
    elif step.changed:
        said.append(("?", "its code has changed since"))
    if step.blind:
        said.append(("?", "it starts programs, and what those read and write is not seen"))
    return said
