"""Programs drawn at random mean the same as steps and as Run All.

NBVERTEX_LAW_PROGRAMS says how many are drawn: 300 by default, 10,000 before a release. A failing one is shrunk; it
becomes a case in tests/cases/law/.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import making
import pytest
from hypothesis import HealthCheck, given, settings
from programs import edited_programs, programs
from running import Bench, Cell, Seen, compare, files_in, text_of

COUNT = int(os.environ.get("NBVERTEX_LAW_PROGRAMS", "300"))
REFUSED_AT_MOST = 0.05  # of them; a law that refuses everything would hold too
EDITED_ONE_IN, PAPERMILL_ONE_IN = (
    10,
    100,
)  # of them are run again after an edit; by papermill, to check the straight side


def listing(cells: tuple[Cell, ...]) -> str:
    """The program as a percent script, ready to become a case."""
    return "\n".join(f"# %% {' '.join(cell.tags)}\n{cell.source}" for cell in cells)


def test_drawn_programs_mean_the_same(bench: Bench) -> None:
    """Whatever is drawn prints the same, leaves the same and fails the same; few are refused, each with a reason."""
    kinds: Counter[str] = Counter()

    @settings(max_examples=COUNT, suppress_health_check=list(HealthCheck))
    @given(cells=programs())
    def hold(cells: tuple[Cell, ...]) -> None:
        verdict = bench.judge(cells)
        kinds[verdict.kind] += 1
        assert verdict.kind in ("equal", "refused"), f"{verdict.kind}: {verdict.why}\n{listing(cells)}"
        assert all(problem.message and problem.place.step for problem in verdict.stepped.refusals), (
            verdict.why
        )

    hold()
    assert kinds["refused"] <= REFUSED_AT_MOST * kinds.total(), kinds


@settings(max_examples=max(1, COUNT // EDITED_ONE_IN), suppress_health_check=list(HealthCheck))
@given(pair=edited_programs())
def test_edited_program_means_the_same(bench: Bench, pair: tuple[tuple[Cell, ...], tuple[Cell, ...]]) -> None:
    """A notebook run again, with a statement taken out, shows what Run All shows, whatever comes from the cache."""
    before, after = pair
    verdict = compare(bench.straight(after), bench.stepped_after(before, after))
    assert verdict.kind in ("equal", "refused"), (
        f"{verdict.kind}: {verdict.why}\n{listing(before)}\n--- then\n{listing(after)}"
    )


@pytest.fixture
def steady_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's sets of texts are in the order that they have in a run."""
    monkeypatch.setenv("PYTHONHASHSEED", "0")


@pytest.mark.slow
@pytest.mark.usefixtures("steady_order")
@settings(max_examples=max(1, COUNT // PAPERMILL_ONE_IN), suppress_health_check=list(HealthCheck))
@given(cells=programs())
def test_straight_side_is_run_all(bench: Bench, cells: tuple[Cell, ...]) -> None:
    """A kernel shows under every cell what the straight run shows: what steps are held to is Run All."""
    with bench.place() as folder:
        verdict = compare(papermill(folder, cells), bench.straight(cells))
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
