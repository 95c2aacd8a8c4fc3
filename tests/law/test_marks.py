"""Steps under a condition and over a list: what they show is stated, and `verify` finds the same in a straight run."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import making
import pytest
from expanding import Looped, straight
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from programs import programs
from running import Bench, Cell, Seen, compare

from nbvertex import convert, notebook
from nbvertex.actions import verifying
from nbvertex.actions.reading import open_notebook

FOLDER = Path(__file__).resolve().parent.parent / "cases" / "marks"
MARK = "# %%"
COUNT = (
    int(os.environ.get("NBVERTEX_LAW_PROGRAMS", "300")) // 10
)  # programs of which one step runs over a list


@dataclass(frozen=True, slots=True)
class Case:
    """A small notebook whose marks matter, and what must come of it.

    Args:
        name: unique in its file.
        why: what goes wrong where it does not hold.
        cells: in order.
        holds: ``equal``, ``fails`` or ``refused``.
        shows: cell -> what it shows, its lines joined by ``|``; cells that show nothing are left out.
        says: what the error must name.
        before: it is refused before anything runs.
    """

    name: str
    why: str
    cells: tuple[Cell, ...]
    holds: str = "equal"
    shows: dict[str, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()
    before: bool = False


def read() -> Iterator[Case]:
    """All cases; the cells of one are a percent script whose lines `# %%` give the tags, with ``|`` between them."""
    for path in sorted(FOLDER.glob("*.toml")):
        for name, stated in tomllib.loads(path.read_text(encoding="utf-8")).items():
            says = tuple(stated.pop("says", ()))
            cells = tuple(_cell(piece) for piece in stated.pop("cells").split(MARK)[1:])
            yield Case(f"{path.stem}-{name}", cells=cells, says=says, **stated)


def _cell(piece: str) -> Cell:
    tags, _, source = piece.partition("\n")
    return Cell(source.rstrip("\n"), tuple(tag.strip() for tag in tags.split("|") if tag.strip()))


CASES = {case.name: case for case in read()}


def shown(seen: Seen) -> dict[str, str]:
    """What the cells of a run showed, as the cases state it."""
    found: dict[str, str] = {}
    for position, text in sorted(seen.shown.items()):
        plain = text.partition("<error>")[0]
        for mark in ("<stdout>", "<display_data>text/plain: ", "<execute_result>text/plain: "):
            plain = plain.replace(mark, "\n")
        lines = [line for line in plain.split("\n") if line.strip()]
        if lines:
            found[str(position)] = "|".join(lines)
    return found


def said(seen: Seen) -> str:
    """What is told of why a run did not go on."""
    return "; ".join(f"{problem} {problem.hint}" for problem in seen.refusals)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize("jobs", [1, 4])
def test_case_holds(bench: Bench, case: Case, jobs: int) -> None:
    """What a case must show, or why it must stop, is stated with it."""
    seen = bench.stepped(case.cells, jobs)
    kind = "refused" if seen.refusals else "fails" if seen.failure else "equal"
    assert kind == case.holds, (
        f"{kind}, not {case.holds}: {case.why}\n{said(seen)} {seen.failure} {seen.told}"
    )
    assert shown(seen) == case.shows, case.why
    told = said(seen) + seen.told
    assert all(word in told for word in case.says), f"it does not say {case.says}: {told}"
    assert seen.begun != case.before


@pytest.mark.parametrize(
    "case", [case for case in CASES.values() if not case.before], ids=lambda case: case.name
)
def test_verify_finds_the_same(case: Case, tmp_path: Path) -> None:
    """A kernel that expands conditions and lists shows what the steps show, fails as they do, and holds the same."""
    path = making.write(tmp_path / "nb.ipynb", [making.cell(cell.source, *cell.tags) for cell in case.cells])
    found = verifying.run(open_notebook(str(path)))
    assert [(one.what, one.straight, one.steps) for one in found.compared.differences] == []
    assert (found.steps.refused is not None) == (case.holds == "refused")


def test_drawn_programs_loop_the_same(bench: Bench, tmp_path: Path) -> None:
    """Whatever a step does, over a list it prints and leaves what a loop over copies does, or it is refused."""

    @settings(max_examples=COUNT, suppress_health_check=list(HealthCheck))
    @given(cells=programs(), pick=st.integers(0, 5))
    def hold(cells: tuple[Cell, ...], pick: int) -> None:
        steps = [tag.partition(":")[2] for cell in cells for tag in cell.tags if tag != "step:probe"]
        if not steps:
            return
        looped = Looped(cells, steps[pick % len(steps)], "round_ in [1, 2]")
        path = making.write(tmp_path / "nb.ipynb", [making.cell(c.source, *c.tags) for c in looped.marked()])
        pipeline, _ = convert.check(notebook.read(path))
        each = pipeline.step(looped.step).options.each if pipeline is not None else None
        if each is None:
            return
        wanted = straight(bench, looped, each)
        if wanted is not None:
            verdict = compare(wanted, bench.stepped(looped.marked()))
            assert verdict.kind in ("equal", "refused"), f"{verdict.kind}: {verdict.why}\n{looped}"

    hold()


def test_cases_are_many() -> None:
    """The table is as large as it says."""
    assert len(CASES) >= 75
    assert all(case.why for case in CASES.values())
