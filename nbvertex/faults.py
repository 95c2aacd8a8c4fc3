"""What is wrong with a notebook beyond its marks: code that cannot run, steps that are not there, misleading names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from nbvertex.cutting import Cut
from nbvertex.dataflow import Analysis
from nbvertex.dialect import Marks
from nbvertex.errors import Place, Problem, nearest
from nbvertex.notebook import Notebook
from nbvertex.pipeline import Step

# Letters of other alphabets that look like Latin ones.
_LOOKS_LIKE = str.maketrans(
    "асеорхуіјѕһԁԛԝкмтвнгАВЕКМНОРСТУХІЈЅΑΒΕΖΗΙΚΜΝΟΡΤΥΧαικνορτυχӏı",
    "aceopxyijshdqwkmtbhrABEKMHOPCTYXIJSABEZHIKMNOPTYXaiknoptuxli",
)


def refusal(notebook: Notebook) -> Problem | None:
    """Why nothing of this notebook can be done, or None."""
    if notebook.language != "python":
        return Problem(
            "kernel",
            f"the notebook's kernel `{notebook.kernel}` speaks {notebook.language}, not Python",
            Place(notebook.path),
            "only notebooks of a Python kernel can become steps",
        )
    return None


def no_code(notebook: Notebook) -> Problem:
    """There is nothing to run."""
    cells = [cell for cell in notebook.cells if cell.kind == "code" and cell.source.strip()]
    if cells:
        return Problem("no-code", "every code cell is skipped", Place(notebook.path), "take off a tag `skip`")
    return Problem("no-code", "the notebook has no code", Place(notebook.path), "add a code cell")


def in_code(
    notebook: str, cells: Mapping[int, Analysis], marks: Mapping[int, Marks], pieces: Cut
) -> Iterator[Problem]:
    """Cells that do not parse, or wait for somebody at the keyboard.

    What Run All itself would report is no more than a warning where the notebook has no steps of its own.
    """
    severity = "error" if pieces.marked else "warning"
    steps = {position: name for name, positions in pieces.steps.items() for position in positions}
    for position, analysis in cells.items():
        if position not in steps or marks[position].may_fail:
            continue
        if analysis.problem is not None:
            place = Place(notebook, position, analysis.problem.line, steps[position])
            yield Problem(
                "syntax", f"syntax error: {analysis.problem.message}", place,
                "mend it, or tag the cell `skip`", severity,
            )  # fmt: skip
        elif "input" in analysis.facts.outside:
            line = next(
                (
                    n
                    for n, text in enumerate(analysis.python.split("\n"), 1)
                    if re.search(r"\binput\s*\(", text)
                ),
                None,
            )
            yield Problem(
                "input", "the cell asks somebody at the keyboard, and nobody is there when steps run",
                Place(notebook, position, line, steps[position]), "make it a parameter", severity,
            )  # fmt: skip


def in_names(notebook: str, pieces: Cut) -> Iterator[Problem]:
    """Names of steps that pass for one another."""
    seen: dict[str, str] = {}
    for name, (position, *_) in pieces.steps.items():
        looks = name.translate(_LOOKS_LIKE)
        key = re.sub(r"[-_.]", "", looks.casefold())
        other = seen.setdefault(key, name)
        if other == name or not pieces.marked:
            continue
        place = Place(notebook, position, None, name)
        if other.translate(_LOOKS_LIKE) == looks:
            yield Problem(
                "look-alike", f"the step's name {name!a} looks like another step's, {other!a}", place,
                "use one alphabet for both",
            )  # fmt: skip
        else:
            yield Problem(
                "similar-names", f"the steps `{other}` and `{name}` differ only in case or in - _ .", place,
                f"if one step is meant, call both `{other}`", "warning",
            )  # fmt: skip


def in_order(notebook: str, steps: Sequence[Step], marks: Mapping[int, Marks]) -> Iterator[Problem]:
    """`after` marks that name no step, their own, or one further down."""
    names = [step.name for step in steps]
    for number, step in enumerate(steps):
        for other in step.options.after:
            cells = [cell.position for cell in step.cells if other in _after(marks[cell.position])]
            place = Place(notebook, cells[0] if cells else None, None, step.name)
            if other == step.name:
                yield Problem(
                    "after-itself", f"step `{other}` is to run after itself", place, "take the mark off"
                )
            elif other not in names:
                near = nearest(other, [name for name in names if name != step.name])
                hint = f"did you mean `{near}`?" if near else f"the steps are {', '.join(names)}"
                yield Problem(
                    "unknown-step", f"`after` names step `{other}`, which does not exist", place, hint
                )
            elif (below := names.index(other)) > number:
                yield _against_the_notebook(step, steps[below], steps, place)


def _against_the_notebook(step: Step, other: Step, steps: Sequence[Step], place: Place) -> Problem:
    """An `after` that names a step further down: the order of the notebook is never reversed."""
    way = _way(step.name, other.name, steps)
    if way:
        return Problem(
            "cycle", f"step `{step.name}` is to run after step `{other.name}`, which comes after it anyhow: "
            f"{' -> '.join(f'`{name}`' for name in (*way, step.name))}",
            place, f"take the mark `after:{other.name}` off",
        )  # fmt: skip
    return Problem(
        "against-the-notebook",
        f"step `{step.name}` is to run after step `{other.name}`, which stands further down in the notebook",
        place, f"move the cells of `{other.name}` up, or take the mark off",
    )  # fmt: skip


def _way(first: str, last: str, steps: Sequence[Step]) -> list[str]:
    """Steps from one to another, each of which has to wait for the one before; none where it has not."""
    waits = {step.name: (*step.needs, *step.options.after) for step in steps}
    ways, seen = [[last]], {last}
    for way in ways:
        if way[0] == first:
            return way
        for before in waits.get(way[0], ()):
            if before not in seen:
                seen.add(before)
                ways.append([before, *way])
    return []


def _after(mark: Marks) -> tuple[object, ...]:
    after = mark.given.get("after", ())
    return after if isinstance(after, tuple) else (after,)


def torn(option: str, place: Place, split: str) -> Problem:
    """A mark of a step that is not cut."""
    return Problem(
        "split-mark",
        f"`{option}` belongs to a step of the notebook, and --split {split} cuts other ones",
        place,
        "leave --split out",
    )
