"""The SQLite file of a home: made whole, opened by many, refused when it is newer or damaged."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest

from nbvertex import database
from nbvertex.database import Database
from nbvertex.errors import StoreError


def test_new_file_has_the_newest_format(tmp_path: Path) -> None:
    """A file that was not there is made, with write-ahead log and all tables."""
    made = Database(tmp_path / "sub" / "x.db")
    assert made.rows("PRAGMA user_version") == [(len(database.MIGRATIONS),)]
    assert made.rows("PRAGMA journal_mode") == [("wal",)]
    assert made.rows("SELECT * FROM runs") == []
    made.close()


def test_failed_transaction_leaves_nothing(tmp_path: Path) -> None:
    """All of a transaction is kept, or nothing."""
    made = Database(tmp_path / "x.db")
    with pytest.raises(ZeroDivisionError), made.write() as tx:
        tx.execute("INSERT INTO notes VALUES ('a', 'b')")
        1 / 0  # noqa: B018 - it is there to fail
    assert made.rows("SELECT * FROM notes") == []
    made.close()


def test_newer_format_is_refused(tmp_path: Path) -> None:
    """A file of a later version is not touched; one sentence says so."""
    Database(tmp_path / "x.db").close()
    raw = sqlite3.connect(tmp_path / "x.db")
    raw.execute("PRAGMA user_version = 99")
    raw.close()
    with pytest.raises(StoreError, match="newer nbvertex .format 99") as caught:
        Database(tmp_path / "x.db")
    assert "upgrade" in (caught.value.hint or "")


def test_older_format_is_brought_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of an earlier version keeps its rows and gets what is new."""
    made = Database(tmp_path / "x.db")
    with made.write() as tx:
        tx.execute("INSERT INTO notes VALUES ('a', 'b')")
    made.close()
    monkeypatch.setattr(
        database, "MIGRATIONS", (*database.MIGRATIONS, "CREATE TABLE more (x TEXT); SELECT 1")
    )
    newer = Database(tmp_path / "x.db")
    assert (newer.rows("SELECT * FROM notes"), newer.rows("SELECT * FROM more")) == ([("a", "b")], [])
    assert newer.rows("PRAGMA user_version") == [(len(database.MIGRATIONS),)]
    newer.close()


@pytest.mark.parametrize("damage", [b"not a database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4000])
def test_damaged_file(tmp_path: Path, damage: bytes) -> None:
    """A file that is no database is told as such, with what to do."""
    (tmp_path / "x.db").write_bytes(damage)
    with pytest.raises(StoreError, match="x.db") as caught:
        Database(tmp_path / "x.db")
    assert caught.value.code == "damaged"


def test_unwritable_folder(tmp_path: Path) -> None:
    """A place where nothing can be written is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Database(tmp_path / "file" / "x.db")


def _count_up(path: Path, times: int) -> None:
    made = Database(path)
    for _ in range(times):
        with made.write(durable=False) as tx:
            rows = tx.rows("SELECT value FROM notes WHERE name = 'n'")
            tx.execute(
                "INSERT OR REPLACE INTO notes VALUES ('n', ?)", (str(int(rows[0][0] if rows else 0) + 1),)
            )
    made.close()


def test_many_processes_at_once(tmp_path: Path) -> None:
    """Eight processes that make, open and write one file lose nothing and never meet a lock."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(8) as pool:
        pool.starmap(_count_up, [(tmp_path / "x.db", 25)] * 8)
    made = Database(tmp_path / "x.db")
    assert made.rows("SELECT value FROM notes") == [("200",)]
    made.close()
