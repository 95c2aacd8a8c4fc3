"""Earlier generations of objects, in buckets that keep versions."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nbvertex.emulator.store import Store


class Archive:
    """What was an object's until it was replaced or deleted.

    Args:
        folder: where the bytes of each generation are a file.
        store: keeps the rows.
    """

    def __init__(self, folder: Path, store: Store) -> None:
        self._folder, self._store = folder, store

    def keep(self, data: Mapping[str, Any], path: Path, now: str) -> None:
        """Take note of an object that is about to end; its file stays, so a kill in between loses nothing."""
        kept = self._path(data["bucket"], data["generation"])
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.unlink(missing_ok=True)
        os.link(path, kept)
        said = json.dumps({**data, "timeDeleted": now})
        self._store.execute(
            "INSERT OR REPLACE INTO archive VALUES (?, ?, ?, ?)",
            (data["bucket"], data["name"], int(data["generation"]), said),
        )

    def find(self, bucket: str, name: str, generation: int) -> tuple[dict[str, Any], Path] | None:
        """An earlier generation and its bytes, or None."""
        rows = self._store.rows(
            "SELECT data FROM archive WHERE bucket = ? AND name = ? AND generation = ?",
            (bucket, name, generation),
        )
        return (json.loads(rows[0][0]), self._path(bucket, str(generation))) if rows else None

    def all(self, bucket: str, prefix: str) -> list[dict[str, Any]]:
        """The earlier generations of the objects whose names begin so."""
        rows = self._store.rows(
            "SELECT data FROM archive WHERE bucket = ? AND name >= ? ORDER BY name, generation",
            (bucket, prefix),
        )
        found = [json.loads(row[0]) for row in rows]
        return [data for data in found if data["name"].startswith(prefix)]

    def remove(self, bucket: str, name: str, generation: int) -> None:
        """Forget one for good."""
        self._store.execute(
            "DELETE FROM archive WHERE bucket = ? AND name = ? AND generation = ?", (bucket, name, generation)
        )
        self._path(bucket, str(generation)).unlink(missing_ok=True)

    def _path(self, bucket: str, generation: str) -> Path:
        return self._folder / bucket / generation
