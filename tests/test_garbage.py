"""Only what nobody needs is removed, and what is removed is told."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pretend
import pytest
from pretend import chain

from nbvertex import garbage
from nbvertex.home import Home
from nbvertex.ledger import Ledger, lock_of
from nbvertex.locks import Lock
from nbvertex.pipeline import Pipeline
from nbvertex.runner import run

BIG = 100_000


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def ran(home: Home, text: str) -> str:
    """A run that leaves a large artifact."""
    result = run(notebook(text), home=home, pool_factory=pretend.Pool(), jobs=1)
    assert result.error is None
    return result.run


def notebook(text: str) -> Pipeline:
    return chain(("a", f"x = ['{text}' * {BIG}]"), ("b", "print(len(x))"))


def states(home: Home, text: str) -> list[str]:
    result = run(notebook(text), home=home, pool_factory=pretend.Pool(), jobs=1)
    return [step.state for step in result.steps.values()]


def test_what_is_needed_stays(home: Home) -> None:
    """By default only what neither a run nor the cache needs goes: here nothing."""
    ran(home, "a")
    assert garbage.collect(home) == garbage.Found()
    assert states(home, "a") == ["cached", "cached"]


def test_old_runs_go_with_their_artifacts(home: Home) -> None:
    """Of each notebook so many of the newest runs stay; the others' results go with them."""
    first, second = ran(home, "a"), ran(home, "b")
    told = garbage.collect(home, keep=1, dry_run=True)
    assert garbage.collect(home, keep=1, dry_run=True) == told
    found = garbage.collect(home, keep=1)
    assert found == told
    assert (found.runs, len(found.artifacts)) == ((first,), 1)
    assert found.size > BIG
    ledger = Ledger(home)
    assert [one.id for one in ledger.lineage.runs()] == [second]
    assert ledger.database.rows("PRAGMA foreign_key_check") == []
    assert len(list(ledger.store.files())) == 1
    ledger.close()
    assert states(home, "b") == ["cached", "cached"]
    assert states(home, "a") == ["done", "done"]


def test_result_that_a_later_run_uses_stays(home: Home) -> None:
    """A cached step keeps the outputs and values of the run that they are from."""
    ran(home, "a")
    second = ran(home, "a")
    garbage.collect(home, keep=1)
    ledger = Ledger(home)
    rows = ledger.lineage.steps(second)
    assert [ledger.lineage.cells(row.outcome or 0)[0].state for row in rows] == ["done", "done"]
    ledger.close()
    assert states(home, "a") == ["cached", "cached"]


def test_age(home: Home) -> None:
    """Runs go by age as well."""
    first = ran(home, "a")
    assert garbage.collect(home, older_than=3600).runs == ()
    assert garbage.collect(home, older_than=0).runs == (first,)


def test_size_limit_takes_the_least_used_first(home: Home) -> None:
    """What was asked for last stays."""
    for text in "abc":
        ran(home, text)
    ran(home, "a")
    found = garbage.collect(home, limit=int(2.5 * BIG))
    assert (found.runs, len(found.artifacts)) == ((), 1)
    assert states(home, "a") == ["cached", "cached"]
    assert states(home, "c") == ["cached", "cached"]
    assert states(home, "b")[0] == "done"


def test_trimming(home: Home) -> None:
    """A store that is small enough is left as it is."""
    ran(home, "a")
    assert garbage.trim(home, 2 * BIG) == garbage.Found()
    assert len(garbage.trim(home, BIG // 2).artifacts) == 1


def test_running_runs_are_left_alone(home: Home) -> None:
    """Neither a run that is still going nor its results nor its scratch folder are touched."""
    ident = ran(home, "a")
    ledger = Ledger(home)
    with ledger.database.write() as tx:
        tx.execute("UPDATE runs SET state = 'running'")
    (home.scratch / ident).mkdir(parents=True, exist_ok=True)
    with Lock(lock_of(home, ident)):
        assert garbage.collect(home, keep=0, older_than=0, limit=0) == garbage.Found()
    assert garbage.collect(home, keep=0).runs == (ident,)
    ledger.close()


def test_leftovers_of_killed_processes(home: Home) -> None:
    """Scratch folders of runs that are gone, and files that no row names, once they are old enough."""
    ran(home, "a")
    (home.scratch / "gone").mkdir(parents=True)
    (home.scratch / "gone" / "1-0").write_text("half")
    for name in ("ab/abc", ".draft-x"):
        path = home.artifacts / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    found = garbage.collect(home, dry_run=True)
    assert ([path.name for path in found.leftovers], found.size) == (["gone"], 4)
    for name in ("ab/abc", ".draft-x"):
        os.utime(home.artifacts / name, (time.time() - 7200,) * 2)
    found = garbage.collect(home)
    assert (sorted(path.name for path in found.leftovers), found.size) == ([".draft-x", "abc", "gone"], 12)
    assert garbage.collect(home) == garbage.Found()
    assert states(home, "a") == ["cached", "cached"]
