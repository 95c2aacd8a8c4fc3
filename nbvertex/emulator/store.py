"""Every resource as a row in SQLite: what was answered once outlives a restart and a kill -9.

A resource is kept as the bytes of its v1 message under its name, in which the project is always its number: a client may
say either. A note is any JSON under a space and a key, for what is no resource.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nbvertex.emulator.problem import ApiError
from nbvertex.emulator.schema import Message, Schema

TABLES = """
CREATE TABLE IF NOT EXISTS resources (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, parent TEXT NOT NULL, collection TEXT NOT NULL,
    type TEXT NOT NULL, data BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS resources_by_parent ON resources (collection, parent);
CREATE TABLE IF NOT EXISTS notes (
    space TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS links (
    kind TEXT NOT NULL, source TEXT NOT NULL, target TEXT NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (kind, source, target, data)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS links_by_target ON links (kind, target);
CREATE TABLE IF NOT EXISTS entries (
    id INTEGER PRIMARY KEY, project TEXT NOT NULL, log TEXT NOT NULL, insert_id TEXT NOT NULL, time REAL NOT NULL,
    severity INTEGER NOT NULL, job TEXT NOT NULL, data BLOB NOT NULL, UNIQUE (log, time, insert_id));
CREATE INDEX IF NOT EXISTS entries_by_time ON entries (project, time);
CREATE INDEX IF NOT EXISTS entries_by_job ON entries (job, id);
CREATE TABLE IF NOT EXISTS buckets (name TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS objects (
    bucket TEXT NOT NULL, name TEXT NOT NULL, size INTEGER NOT NULL, mtime INTEGER NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (bucket, name)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS archive (
    bucket TEXT NOT NULL, name TEXT NOT NULL, generation INTEGER NOT NULL, data TEXT NOT NULL,
    PRIMARY KEY (bucket, name, generation)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS uploads (id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID;
"""
NAMED = re.compile(r"projects/([^/]+)(/|$)")


class Store:
    """The one SQLite file; safe to use from every thread.

    Args:
        path: the file, made where there is none.
        schema: gives the classes of what is kept.
    """

    def __init__(self, path: Path, schema: Schema) -> None:
        import sqlite3

        self.schema = schema
        self.lock = threading.RLock()
        self._depth = 0
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(
            "PRAGMA synchronous = NORMAL"
        )  # a kill loses nothing; a power cut may lose the last writes
        self._db.executescript(TABLES)
        self._numbers: dict[str, str] = {}

    # Rows, for those who keep more than resources and notes.

    def rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """What a statement selects."""
        with self.lock:
            return self._db.execute(sql, values).fetchall()

    def execute(self, sql: str, values: tuple[object, ...] = ()) -> int:
        """Run one statement.

        Returns:
            how many rows it changed.
        """
        with self.lock:
            return self._db.execute(sql, values).rowcount

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written within is kept as a whole or not at all; may be entered again by the same thread."""
        with self.lock:
            if self._depth:
                yield
                return
            self._db.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:  # an interrupt too must not leave half of it open
                self._db.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    # Projects.

    def number(self, project: str) -> str:
        """A project's number, from its id or its number; a project is made when it is first named."""
        if project.isdigit():
            return project
        known = self._numbers.get(project)
        if known is None:
            digest = int.from_bytes(hashlib.sha256(project.encode()).digest()[:8], "big")
            known = str(100_000_000_000 + digest % 900_000_000_000)
            self._numbers[project] = known
            self.set_note("projects", known, project)
        return known

    def project(self, number: str) -> str:
        """A project's id, from its number or its id."""
        return str(self.note("projects", self.number(number)) or number)

    def canonical(self, name: str) -> str:
        """The name under which a resource is kept: with the project's number, without a leading host."""
        name = name.removeprefix("//aiplatform.googleapis.com/")
        found = NAMED.match(name)
        if found is None or found[1].isdigit() or found[1] == "-":
            return name
        return f"projects/{self.number(found[1])}{name[found.end(1) :]}"

    # Resources.

    def find(self, name: str) -> Message | None:
        """The resource of that name, or None."""
        rows = self.rows("SELECT type, data FROM resources WHERE name = ?", (self.canonical(name),))
        return self._made(rows[0]) if rows else None

    def get(self, name: str) -> Message:
        """The resource of that name.

        Raises:
            ApiError: there is none.
        """
        found = self.find(name)
        if found is None:
            raise not_found(name)
        return found

    def add(self, message: Message) -> Message:
        """Keep a new resource under its ``name``.

        Raises:
            ApiError: the name is taken.
        """
        import sqlite3

        name = message.name = self.canonical(message.name)
        kind = message.DESCRIPTOR.full_name
        parent, collection = split(name)
        try:
            self.execute(
                "INSERT INTO resources (name, parent, collection, type, data) VALUES (?, ?, ?, ?, ?)",
                (name, parent, collection, kind, message.SerializeToString()),
            )
        except sqlite3.IntegrityError:
            raise ApiError("ALREADY_EXISTS", f"Resource '{name}' already exists.") from None
        return message

    def put(self, message: Message) -> Message:
        """Keep a resource under its ``name``, in the place of what has it now."""
        with self.transaction():
            if self.find(message.name) is None:
                return self.add(message)
            self._write(message)
        return message

    def update(self, name: str, change: Callable[[Message], object]) -> Message:
        """Read, change and write a resource; nobody else writes it meanwhile.

        Args:
            name: its name.
            change: changes the message in place; what it raises leaves the resource as it was.

        Returns:
            the resource as it is now.

        Raises:
            ApiError: there is none.
        """
        with self.transaction():
            message = self.get(name)
            change(message)
            self._write(message)
        return message

    def delete(self, name: str) -> None:
        """Remove a resource with all below it and its links.

        Raises:
            ApiError: there is none.
        """
        name = self.canonical(name)
        low, high = f"{name}/", f"{name}0"  # `0` comes right after `/`
        with self.transaction():
            if not self.execute("DELETE FROM resources WHERE name = ?", (name,)):
                raise not_found(name)
            self.execute("DELETE FROM resources WHERE name > ? AND name < ?", (low, high))
            self.execute("DELETE FROM links WHERE source = ? OR target = ?", (name, name))

    def children(self, parent: str, collection: str) -> list[Message]:
        """The resources of a collection, oldest first; ``-`` in the parent stands for any id."""
        parent = self.canonical(parent)
        sql = "SELECT type, data FROM resources WHERE collection = ? AND parent {} ORDER BY id"
        if "/-" not in parent:
            return [self._made(row) for row in self.rows(sql.format("= ?"), (collection, parent))]
        pattern = re.compile(
            "/".join("[^/]+" if part == "-" else re.escape(part) for part in parent.split("/"))
        )
        rows = self.rows(
            "SELECT parent, type, data FROM resources WHERE collection = ? ORDER BY id", (collection,)
        )
        return [self._made(row[1:]) for row in rows if pattern.fullmatch(row[0])]

    def all(self, collection: str) -> list[Message]:
        """Every resource of a collection, whichever its parent, oldest first."""
        rows = self.rows("SELECT type, data FROM resources WHERE collection = ? ORDER BY id", (collection,))
        return [self._made(row) for row in rows]

    def _made(self, row: tuple[Any, ...]) -> Message:
        return self.schema.message(row[0]).FromString(row[1])

    def _write(self, message: Message) -> None:
        values = (message.DESCRIPTOR.full_name, message.SerializeToString(), self.canonical(message.name))
        self.execute("UPDATE resources SET type = ?, data = ? WHERE name = ?", values)

    # Notes.

    def note(self, space: str, key: str) -> Any:
        """What was noted under the key, or None."""
        rows = self.rows("SELECT value FROM notes WHERE space = ? AND key = ?", (space, key))
        return json.loads(rows[0][0]) if rows else None

    def set_note(self, space: str, key: str, value: object) -> None:
        """Note something that JSON can hold."""
        self.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?)", (space, key, json.dumps(value)))

    def notes(self, space: str) -> dict[str, Any]:
        """All that was noted in a space."""
        rows = self.rows("SELECT key, value FROM notes WHERE space = ? ORDER BY key", (space,))
        return {key: json.loads(value) for key, value in rows}

    def remove_note(self, space: str, key: str) -> None:
        """Forget what was noted under the key."""
        self.execute("DELETE FROM notes WHERE space = ? AND key = ?", (space, key))

    def close(self) -> None:
        """Close the file."""
        with self.lock:
            self._db.close()


def split(name: str) -> tuple[str, str]:
    """The parent and the collection of a resource: ``a/1/b/2`` is in ``b`` of ``a/1``."""
    parts = name.split("/")
    return "/".join(parts[:-2]), parts[-2] if len(parts) > 1 else ""


def not_found(name: str) -> ApiError:
    """The error for a resource that is not there."""
    return ApiError("NOT_FOUND", f"The resource '{name}' was not found.")
