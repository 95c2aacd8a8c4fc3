"""What nobody needs any more: found, told, and removed from a home."""

from __future__ import annotations

import shutil
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from nbvertex.artifacts import Store
from nbvertex.database import Database, Transaction
from nbvertex.home import Home, writing
from nbvertex.ledger import lock_of
from nbvertex.locks import is_held
from nbvertex.service import ENDED

RECENT = (
    3600.0  # seconds for which a file is left alone that no row names yet: a running step may be writing it
)


@dataclass(frozen=True, slots=True)
class Found:
    """What is, or was, of no use.

    Args:
        runs: ids of runs.
        artifacts: addresses.
        leftovers: drafts and scratch folders of processes that are gone.
        size: bytes.
    """

    runs: tuple[str, ...] = ()
    artifacts: tuple[str, ...] = ()
    leftovers: tuple[Path, ...] = field(default=())
    size: int = 0


def collect(
    home: Home,
    *,
    keep: int | None = None,
    older_than: float | None = None,
    limit: int | None = None,
    dry_run: bool = False,
) -> Found:
    """Remove runs, and the artifacts that neither a run nor the cache needs; never what a running run holds.

    Args:
        home: whose.
        keep: of each notebook only so many of the newest runs stay; None: all.
        older_than: runs that began more than so many seconds ago go; None: none.
        limit: bytes that artifacts may take afterwards; those go first that were not asked for the longest.
        dry_run: only tell.

    Raises:
        StoreError: something cannot be removed.
    """
    database = Database(home.database)
    store = Store(database, home.artifacts)
    try:
        with database.write() as tx:  # nothing is recorded meanwhile
            runs = _runs_to_go(tx, home, keep, older_than)
            _forget_runs(tx, runs)
            if limit is not None:
                _forget_least_used(tx, home, limit)
            digests = {row[0]: row[1] for row in tx.rows(_UNUSED)}
            leftovers = list(_leftovers(tx, home, store))
            found = Found(
                tuple(runs),
                tuple(sorted(digests)),
                tuple(path for path, _ in leftovers),
                sum(digests.values()) + sum(size for _, size in leftovers),
            )
            if dry_run:
                raise _Told(found)
            store.remove_in(tx, digests)
            _remove([*found.leftovers, *(home.runs / run for run in runs)])
        database.shrink()
    except _Told as told:
        return told.found
    finally:
        database.close()
    return found


def trim(home: Home, limit: int) -> Found:
    """Keep the store within a size; where it is, this costs next to nothing.

    Args:
        home: whose.
        limit: bytes that artifacts may take.

    Raises:
        StoreError: something cannot be removed.
    """
    database = Database(home.database)
    try:
        ((size,),) = database.rows("SELECT COALESCE(SUM(size), 0) FROM artifacts")
    finally:
        database.close()
    return collect(home, limit=limit) if size > limit else Found()


class _Told(Exception):
    """Rolls the transaction of a dry run back."""

    def __init__(self, found: Found) -> None:
        super().__init__()
        self.found = found


_UNUSED = "SELECT digest, size FROM artifacts WHERE digest NOT IN (SELECT digest FROM uses)"
_ORPHANS = (
    "DELETE FROM outcomes WHERE id NOT IN (SELECT outcome FROM steps WHERE outcome IS NOT NULL)"
    " AND id NOT IN (SELECT outcome FROM cache)"
)


def _runs_to_go(tx: Transaction, home: Home, keep: int | None, older_than: float | None) -> list[str]:
    going: list[str] = []
    kept: dict[str, int] = {}
    oldest = None if older_than is None else time.time() - older_than
    ended = ", ".join(f"'{state}'" for state in ENDED)  # what may go on at Vertex AI is not forgotten
    rows = tx.rows(
        "SELECT id, notebook, started FROM runs UNION ALL SELECT id, notebook, started FROM submissions"
        f" WHERE state IN ({ended}) ORDER BY started DESC"
    )
    for run, notebook, started in rows:
        kept[notebook] = kept.get(notebook, 0) + 1
        too_many = keep is not None and kept[notebook] > keep
        too_old = oldest is not None and started < oldest
        if (too_many or too_old) and not is_held(lock_of(home, run)):
            going.append(run)
    return going


def _forget_runs(tx: Transaction, runs: Iterable[str]) -> None:
    """The rows of runs go, and results that were remembered only because of them."""
    for run in runs:
        tx.execute(
            "DELETE FROM cache WHERE outcome IN (SELECT id FROM outcomes WHERE run = ?) AND outcome NOT IN"
            " (SELECT outcome FROM steps WHERE run <> ? AND outcome IS NOT NULL)",
            (run, run),
        )
        tx.execute("DELETE FROM runs WHERE id = ?", (run,))
        tx.execute("DELETE FROM submissions WHERE id = ?", (run,))
    tx.execute(_ORPHANS)


def _forget_least_used(tx: Transaction, home: Home, limit: int) -> None:
    """Results go from the cache, and then from old runs, until what is left fits."""
    held = {
        run
        for (run,) in tx.rows("SELECT id FROM runs WHERE state = 'running'")
        if is_held(lock_of(home, run))
    }
    order = (
        "SELECT outcomes.id, outcomes.run, MAX(outcomes.ended, COALESCE(MAX(cache.used), 0)) AS last FROM outcomes"
        " LEFT JOIN cache ON cache.outcome = outcomes.id GROUP BY outcomes.id ORDER BY last"
    )
    over = _used(tx) - limit
    for outcome, _, _ in tx.rows(order) if over > 0 else []:
        users = {run for (run,) in tx.rows("SELECT run FROM steps WHERE outcome = ?", (outcome,))}
        if users & held:
            continue
        tx.execute("DELETE FROM cache WHERE outcome = ?", (outcome,))
        tx.execute("DELETE FROM uses WHERE outcome = ?", (outcome,))
        if _used(tx) <= limit:
            return


def _used(tx: Transaction) -> int:
    return int(
        tx.rows("SELECT COALESCE(SUM(size), 0) FROM artifacts WHERE digest IN (SELECT digest FROM uses)")[0][
            0
        ]
    )


def _leftovers(tx: Transaction, home: Home, store: Store) -> Iterable[tuple[Path, int]]:
    """Files of the store that no row names, and scratch folders of runs that are gone."""
    known = {digest for (digest,) in tx.rows("SELECT digest FROM artifacts")}
    for digest, path in store.files():
        found = path.stat()
        if digest not in known and time.time() - found.st_mtime > RECENT:
            yield path, found.st_size
    for folder in sorted(home.scratch.iterdir()) if home.scratch.is_dir() else []:
        if not is_held(lock_of(home, folder.name)):
            yield folder, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _remove(paths: Collection[Path]) -> None:
    for path in paths:
        with writing(path):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
