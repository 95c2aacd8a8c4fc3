"""Programs drawn at random mean the same as steps and as Run All.

NBVERTEX_LAW_PROGRAMS says how many are drawn: 300 by default, 10,000 before a release. A failing one is shrunk; it
becomes a case in tests/cases/law/.
"""

from __future__ import annotations

import os
from pathlib import Path

import making
import pytest
from hypothesis import HealthCheck, given, settings
from programs import programs
from running import Bench, Cell, Seen, compare, files_in, text_of

COUNT = int(os.environ.get("NBVERTEX_LAW_PROGRAMS", "300"))
ONE_IN = 100  # programs are also run by papermill, to check the straight side itself


def listing(cells: tuple[Cell, ...]) -> str:
    """The program as a percent script, ready to become a case."""
    return "\n".join(f"# %% {' '.join(cell.tags)}\n{cell.source}" for cell in cells)


@settings(max_examples=COUNT, suppress_health_check=list(HealthCheck))
@given(cells=programs())
def test_drawn_program_means_the_same(bench: Bench, cells: tuple[Cell, ...]) -> None:
    """Whatever is drawn prints the same, leaves the same and fails the same, or is refused with a reason."""
    verdict = bench.judge(cells)
    assert verdict.kind in ("equal", "refused"), f"{verdict.kind}: {verdict.why}\n{listing(cells)}"
    assert all(problem.message and problem.place.cell for problem in verdict.stepped.refusals), verdict.why


@pytest.mark.slow
@settings(max_examples=max(1, COUNT // ONE_IN), suppress_health_check=list(HealthCheck))
@given(cells=programs())
def test_straight_side_is_run_all(bench: Bench, cells: tuple[Cell, ...]) -> None:
    """A kernel shows under every cell what the straight run shows: what steps are held to is Run All."""
    verdict = compare(papermill(bench.place(), cells), bench.straight(cells))
    assert verdict.kind == "equal", f"{verdict.why}\n{listing(cells)}"


def papermill(folder: Path, cells: tuple[Cell, ...]) -> Seen:
    """The notebook run by papermill in a kernel of its own."""
    from papermill import execute_notebook
    from papermill.exceptions import PapermillExecutionError

    work = folder / "work"
    path = making.write(folder / "nb.ipynb", [making.cell(cell.source, *cell.tags) for cell in cells])
    failure = None
    try:
        execute_notebook(path, folder / "out.ipynb", cwd=work, progress_bar=False, log_output=False)
    except PapermillExecutionError as error:
        failure = (error.cell_index + 1, error.ename)
    import nbformat

    ran = [cell for cell in nbformat.read(folder / "out.ipynb", 4).cells if cell.cell_type == "code"]
    shown = {n: text_of(cell.outputs, work) for n, cell in enumerate(ran, 1) if cell.execution_count}
    return Seen(shown, files_in(work), failure)
