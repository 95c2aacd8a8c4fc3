"""Every case of tests/cases/law/ means the same as steps and as Run All, or is refused for the reason that it states."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from running import Bench, Cell

FOLDER = Path(__file__).resolve().parent.parent / "cases" / "law"
MARK = "# %%"


@dataclass(frozen=True, slots=True)
class Case:
    """A small notebook and what must hold for it.

    Args:
        name: unique in its file.
        why: what goes wrong where it does not hold.
        holds: ``equal`` or ``refused``.
        cells: in order.
        says: what the refusal must name.
        before: it is refused before anything runs.
    """

    name: str
    why: str
    holds: str
    cells: tuple[Cell, ...]
    says: tuple[str, ...] = ()
    before: bool = False


def read() -> Iterator[Case]:
    """All cases; the cells of one are a percent script whose lines `# %%` give the tags."""
    for path in sorted(FOLDER.glob("*.toml")):
        for name, given in tomllib.loads(path.read_text(encoding="utf-8")).items():
            says = tuple(given.pop("says", ()))
            yield Case(f"{path.stem}-{name}", cells=cells_of(given.pop("cells")), says=says, **given)


def cells_of(script: str) -> tuple[Cell, ...]:
    """The cells of a percent script."""
    cells: list[Cell] = []
    for piece in script.split(f"{MARK}")[1:]:
        tags, _, source = piece.partition("\n")
        cells.append(Cell(source.rstrip("\n"), tuple(tags.split())))
    return tuple(cells)


CASES = tuple(read())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_holds(bench: Bench, case: Case) -> None:
    """What must hold is stated with the case."""
    verdict = bench.judge(case.cells)
    assert verdict.kind == case.holds, f"{verdict.kind}, not {case.holds}: {case.why}\n{verdict.why}"
    assert all(word in verdict.why for word in case.says), (
        f"the refusal does not say {case.says}: {verdict.why}"
    )
    assert case.before == (not verdict.stepped.begun)
    assert all(problem.hint for problem in verdict.stepped.refusals), f"no mend: {verdict.why}"


def test_cases_are_many_and_different() -> None:
    """The table is as large as it says, and no case stands in it twice."""
    assert len(CASES) >= 200
    assert len({case.cells for case in CASES}) == len({case.name for case in CASES}) == len(CASES)
    assert all(case.why for case in CASES)
