"""The one SQLite file of a home: made, migrated, its transactions, and its errors in our words."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from nbvertex import half_characters
from nbvertex.errors import StoreError
from nbvertex.home import NO_ROOM, cannot_write

if TYPE_CHECKING:
    import sqlite3

Row: TypeAlias = tuple[Any, ...]
BUSY_SECONDS = 60.0

# Entry n brings a database of version n to version n + 1; what stands here is never edited, only added to.
MIGRATIONS = (
    """
    CREATE TABLE runs (
        id TEXT PRIMARY KEY, notebook TEXT NOT NULL, name TEXT NOT NULL, pipeline BLOB NOT NULL,
        parameters TEXT NOT NULL, environment TEXT NOT NULL, cwd TEXT NOT NULL, python TEXT NOT NULL,
        commit_id TEXT, dirty INTEGER, state TEXT NOT NULL, started REAL NOT NULL, ended REAL,
        output TEXT, error TEXT);
    CREATE INDEX runs_by_time ON runs (started);
    CREATE TABLE outcomes (
        id INTEGER PRIMARY KEY, run TEXT NOT NULL, change BLOB NOT NULL, live TEXT, files TEXT NOT NULL,
        started REAL NOT NULL, ended REAL NOT NULL);
    CREATE TABLE cells (
        outcome INTEGER NOT NULL REFERENCES outcomes (id) ON DELETE CASCADE, position INTEGER NOT NULL,
        state TEXT NOT NULL, count INTEGER, started REAL, ended REAL, outputs BLOB NOT NULL,
        PRIMARY KEY (outcome, position)) WITHOUT ROWID;
    CREATE TABLE uses (
        outcome INTEGER NOT NULL REFERENCES outcomes (id) ON DELETE CASCADE, digest TEXT NOT NULL,
        PRIMARY KEY (outcome, digest)) WITHOUT ROWID;
    CREATE INDEX uses_by_digest ON uses (digest);
    CREATE TABLE steps (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, position INTEGER NOT NULL,
        attempt INTEGER NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, code TEXT NOT NULL, key TEXT,
        inputs TEXT, outcome INTEGER REFERENCES outcomes (id), started REAL, ended REAL, error TEXT,
        PRIMARY KEY (run, position, attempt)) WITHOUT ROWID;
    CREATE INDEX steps_by_outcome ON steps (outcome);
    CREATE TABLE cache (
        key TEXT PRIMARY KEY, outcome INTEGER NOT NULL REFERENCES outcomes (id) ON DELETE CASCADE,
        used REAL NOT NULL) WITHOUT ROWID;
    CREATE INDEX cache_by_outcome ON cache (outcome);
    CREATE TABLE artifacts (digest TEXT PRIMARY KEY, size INTEGER NOT NULL, used REAL NOT NULL) WITHOUT ROWID;
    CREATE TABLE blobs (digest TEXT PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    """,
    """
    ALTER TABLE outcomes ADD COLUMN touched TEXT;
    ALTER TABLE outcomes ADD COLUMN widgets BLOB;
    """,
    """
    CREATE TABLE attempts (
        run TEXT NOT NULL REFERENCES runs (id) ON DELETE CASCADE, position INTEGER NOT NULL,
        round INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL, name TEXT NOT NULL, item TEXT,
        state TEXT NOT NULL, code TEXT NOT NULL, key TEXT, inputs TEXT, outcome INTEGER REFERENCES outcomes (id),
        started REAL, ended REAL, error TEXT,
        PRIMARY KEY (run, position, round, attempt)) WITHOUT ROWID;
    INSERT INTO attempts (run, position, attempt, name, state, code, key, inputs, outcome, started, ended, error)
        SELECT run, position, attempt, name, state, code, key, inputs, outcome, started, ended, error FROM steps;
    DROP TABLE steps;
    ALTER TABLE attempts RENAME TO steps;
    CREATE INDEX steps_by_outcome ON steps (outcome);
    """,
    """
    CREATE TABLE submissions (
        id TEXT PRIMARY KEY, notebook TEXT NOT NULL, started REAL NOT NULL, state TEXT NOT NULL,
        record BLOB NOT NULL);
    CREATE INDEX submissions_by_time ON submissions (started);
    """,
    "ALTER TABLE outcomes ADD COLUMN measures TEXT;",
)


class Transaction:
    """A write in progress; what is written is kept as a whole or not at all."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement.

        Returns:
            the id of the row inserted last.
        """
        return self._connection.execute(sql, _whole(values)).lastrowid or 0

    def many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        """Run one statement for every row."""
        self._connection.executemany(sql, map(_whole, rows))

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """What the statement selects, seen from within the transaction."""
        return self._connection.execute(sql, _whole(values)).fetchall()


class Database:
    """The connection to a home's SQLite file, which is made where there is none.

    Args:
        path: the file.

    Raises:
        StoreError: it cannot be read or written, is damaged, or was made by a newer nbvertex.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._durable = True
        with self._translated():
            if not path.exists():
                _create(path)
            self._connection = _connect(path)
            self._migrate()

    def rows(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """What a statement selects."""
        with self._translated():
            return self._connection.execute(sql, _whole(values)).fetchall()

    @contextlib.contextmanager
    def write(self, *, durable: bool = True, need: int | None = None) -> Iterator[Transaction]:
        """A transaction, kept when the block has ended well; rolled back when it has not.

        Args:
            durable: it outlives a power cut too; else the last ones may be gone then, as a whole and in order.
            need: how many bytes it will take, for the message where they do not fit.
        """
        with self._translated(need):
            if durable is not self._durable:
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._durable = durable
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield Transaction(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:  # an interrupt too must not leave half a transaction open
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def shrink(self) -> None:
        """Give the pages that nothing uses any more back to the file system."""
        with self._translated():
            self._connection.execute("PRAGMA incremental_vacuum").fetchall()
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close the connection; closing twice does nothing."""
        self._connection.close()

    def _migrate(self) -> None:
        version = _version(self._connection)
        if version > len(MIGRATIONS):
            raise StoreError(
                f"{self.path} was written by a newer nbvertex (format {version}, known up to {len(MIGRATIONS)})",
                hint="upgrade nbvertex, or name another folder in NBVERTEX_HOME",
                code="newer-store",
            )
        if version < len(MIGRATIONS):
            with self.write() as tx:
                for number in range(_version(self._connection), len(MIGRATIONS)):
                    _apply(tx, number)

    @contextlib.contextmanager
    def _translated(self, need: int | None = None) -> Iterator[None]:
        import sqlite3

        try:
            yield
        except sqlite3.Error as error:
            raise _in_our_words(self.path, error, need) from error
        except OSError as error:
            raise cannot_write(self.path, error, need) from error


def _create(path: Path) -> None:
    """Make the file aside and move it into place, so that nobody meets half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f"{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        draft = path.with_name(f"{path.name}.new")
        draft.unlink(missing_ok=True)
        connection = _connect(draft)
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        for number in range(len(MIGRATIONS)):
            _apply(Transaction(connection), number)
        connection.execute("COMMIT")
        connection.close()
        os.replace(draft, path)


def _connect(path: Path) -> sqlite3.Connection:
    import sqlite3

    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.text_factory = half_characters.read
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if sys.version_info >= (
        3,
        12,
    ):  # the log is folded in when it has grown, not whenever somebody has read something
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, True)
    return connection


def _whole(values: Sequence[object]) -> list[object]:
    return [half_characters.whole(value) if isinstance(value, str) else value for value in values]


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _apply(tx: Transaction, number: int) -> None:
    for statement in MIGRATIONS[number].split(";"):
        if statement.strip():
            tx.execute(statement)
    tx.execute(f"PRAGMA user_version = {number + 1}")


def _in_our_words(path: Path, error: sqlite3.Error, need: int | None) -> StoreError:
    import sqlite3

    size = f" ({need:,} bytes needed)" if need else ""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR_WRITE"):
        return StoreError(
            f"no space left to write {path}{size}",
            hint=NO_ROOM,
            code="disk-full",
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH")):
        return StoreError(
            f"cannot write {path}{size}: {error}",
            hint="make the folder writable, or name another one in NBVERTEX_HOME",
            code="unwritable",
        )
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreError(
            f"{path} is damaged: {error}",
            hint="move the file away; artifacts without it are of no use, so steps will run again",
            code="damaged",
        )
    if isinstance(error, sqlite3.OperationalError) and name.startswith("SQLITE_BUSY"):
        return StoreError(
            f"{path} was locked for {BUSY_SECONDS:.0f} seconds", hint="try again", code="locked"
        )
    return StoreError(f"{path}: {error}", code="store")
