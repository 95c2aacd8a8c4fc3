"""What ran is recorded, and read back as it was recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbvertex.database import Database
from nbvertex.errors import UsageError
from nbvertex.home import Home
from nbvertex.ledger import Entry, Ledger
from nbvertex.lineage import CellRow, Lineage, Outcome, Run, StepRow, _pack, _unpack
from nbvertex.state import Change, FileSeen, Held


def sample(ident: str = "", started: float = 1.0, notebook: str = "/nb.ipynb") -> Run:
    return Run(
        id=ident,
        notebook=notebook,
        name="nb",
        pipeline=b"{}",
        parameters={"n": 1, "f": float("inf"), "u": "é"},
        environment={"python": "3.11.7"},
        cwd="/tmp",
        python="/python",
        state="running",
        started=started,
    )


@pytest.fixture
def lineage(tmp_path: Path) -> Iterator[Lineage]:
    database = Database(tmp_path / "x.db")
    yield Lineage(database)
    database.close()


def record(lineage: Lineage, *runs: Run) -> None:
    with lineage.database.write() as tx:
        for run in runs:
            lineage.begin(tx, run, [("a", "c1"), ("b", "c2")])


def test_run_comes_back_as_it_was(lineage: Lineage) -> None:
    """Everything known of a run is kept, and what was found out later added."""
    record(lineage, sample("r1"))
    assert lineage.run("r1") == sample("r1")
    with lineage.database.write() as tx:
        lineage.end(tx, "r1", "failed", 5.0, "step a: boom")
        lineage.commit(tx, "r1", "abc", True)
    lineage.describe("r1", output="/out.ipynb")
    found = lineage.run("r1")
    assert (found.state, found.ended, found.error) == ("failed", 5.0, "step a: boom")
    assert (found.commit, found.dirty, found.output) == ("abc", True, "/out.ipynb")
    assert [row.state for row in lineage.steps("r1")] == ["skipped", "skipped"]


def test_runs_newest_first(lineage: Lineage) -> None:
    """The list can be cut, and kept to one notebook."""
    record(lineage, sample("r1", 1), sample("r2", 3), sample("r3", 2, "/other.ipynb"))
    assert [run.id for run in lineage.runs()] == ["r2", "r3", "r1"]
    assert [run.id for run in lineage.runs(limit=1)] == ["r2"]
    assert [run.id for run in lineage.runs(notebook="/nb.ipynb")] == ["r2", "r1"]


@pytest.mark.parametrize(
    "ident, found",
    [("20261120-0731-x7", "20261120-0731-x7"), ("x7", "20261120-0731-x7"), ("last", "20261121-0731-y8")],
)
def test_finding_a_run(lineage: Lineage, ident: str, found: str) -> None:
    """A run is found by its id, by as much of it as tells it from others, and as the last one."""
    record(lineage, sample("20261120-0731-x7", 1), sample("20261121-0731-y8", 2))
    assert lineage.run(ident).id == found


def test_runs_that_cannot_be_found(lineage: Lineage) -> None:
    """An unknown or ambiguous id is an error that names what there is."""
    with pytest.raises(UsageError) as caught:
        lineage.run("last")
    assert "nothing has been run" in (caught.value.hint or "")
    record(lineage, sample("2026-x7", 1), sample("2026-y8", 2))
    with pytest.raises(UsageError) as caught:
        lineage.run("z")
    assert "2026-y8, 2026-x7" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="more than one run is called 2026"):
        lineage.run("2026")
    with pytest.raises(UsageError, match="there is no run %"):
        lineage.run("%")


OUTCOME = Outcome(
    run="r1",
    change=Change(
        names={"x": "a:x", "y": None},
        held=(
            Held(
                digest="d",
                size=3,
                format="json",
                entries=("a:x",),
                refs=("b",),
                free=("len",),
                types={"a:x": "int"},
            ),
        ),
    ),
    live=("x",),
    read=(FileSeen(path="/in", digest="e"),),
    written=(FileSeen(path="/out", digest="f"),),
    started=1.0,
    ended=2.0,
)
CELLS = (
    CellRow(
        position=1,
        state="done",
        count=1,
        started=1.0,
        ended=1.5,
        outputs=({"output_type": "stream", "text": "a"},),
    ),
    CellRow(position=4, state="failed", count=2),
)


def test_outcome_comes_back_as_it_was(lineage: Lineage) -> None:
    """What an attempt left, its cells' outputs and what it is remembered under."""
    record(lineage, sample("r1"))
    with lineage.database.write() as tx:
        number = lineage.outcome(tx, OUTCOME, CELLS, ["d", "f"])
        lineage.remember(tx, "key", number)
        lineage.step(
            tx,
            "r1",
            StepRow(
                position=0, attempt=1, name="a", state="done", code="c1", outcome=number, inputs={"x": "d"}
            ),
        )
    (found,) = lineage.outcomes([number]).values()
    assert found == lineage.recall("key")
    assert found == Outcome(**{**{n: getattr(OUTCOME, n) for n in OUTCOME.__struct_fields__}, "id": number})
    assert tuple(lineage.cells(number)) == CELLS
    assert lineage.steps("r1")[0].inputs == {"x": "d"}
    with lineage.database.write() as tx:
        lineage.disown(tx, "f")
    assert lineage.recall("key") is None


def test_all_names_kept_is_told_from_none(lineage: Lineage) -> None:
    """`live` of None means everything, an empty one nothing."""
    record(lineage, sample("r1"))
    with lineage.database.write() as tx:
        numbers = [lineage.outcome(tx, Outcome(run="r1", live=live), (), ()) for live in (None, ())]
    assert [lineage.outcomes(numbers)[number].live for number in numbers] == [None, ()]


@given(st.text(st.characters(), max_size=3000))
def test_outputs_of_every_kind(text: str) -> None:
    """Any text comes back as it was, half a surrogate pair and long ones included."""
    outputs = ({"output_type": "stream", "name": "stdout", "text": text}, {"data": {"text/plain": [text]}})
    assert _unpack(_pack(outputs)) == outputs


def test_long_outputs_are_compressed() -> None:
    """A flood of text takes little room."""
    assert len(_pack([{"text": "line\n" * 100_000}])) < 10_000


def test_notes(lineage: Lineage) -> None:
    """What took long to find out is noted until it is noted anew."""
    assert lineage.notes.read("a") is None
    lineage.notes.write("a", "1")
    lineage.notes.write("a", "2")
    assert lineage.notes.read("a") == "2"


def test_ids_of_runs(tmp_path: Path) -> None:
    """A run's id says when it began; two that begin at once have two ids."""
    home, idents = Home(tmp_path / "home"), set()
    for _ in range(40):
        ledger = Ledger(home)
        idents.add(ledger.begin(sample(started=1795165625.0), []))
        ledger.close()
    assert len(idents) == 40
    assert all(re.fullmatch(r"2026112\d-\d{4}-[a-z0-9]{2}", ident) for ident in idents)


def test_nothing_is_recorded_before_its_bytes(tmp_path: Path) -> None:
    """A step whose artifact is lost before its row is written is not recorded as done."""
    ledger = Ledger(Home(tmp_path / "home"))
    ledger.begin(sample(), [("a", "c1")])
    large = Held(digest="0" * 64, size=100_000, format="json", entries=("e",))
    row = StepRow(position=0, attempt=1, name="a", state="done", code="c1")
    ledger.ended(Entry(row, Outcome(run=ledger.run, change=Change(held=(large,)))))
    assert ledger.unsaved
    with pytest.raises(Exception, match="missing"):
        ledger.flush()
    assert [step.state for step in ledger.lineage.steps(ledger.run)] == ["queued"]
    ledger.close()
