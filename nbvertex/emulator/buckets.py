"""Cloud Storage's buckets and objects: rows in SQLite, and each object's bytes as the plain file that steps share.

The object `a/b.txt` of bucket `data` is the file `buckets/data/a/b.txt`. What a step writes there is an object as soon as
somebody looks; what no file can be called (`a/`, `..`, a file and a folder of one name) lies under `odd/` instead.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbvertex.emulator import digests
from nbvertex.emulator.archive import Archive
from nbvertex.emulator.clock import Clock
from nbvertex.emulator.digests import Digests
from nbvertex.emulator.preconditions import ANYHOW, Conditions, StorageError
from nbvertex.emulator.store import Store

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
KEPT_FIELDS = (
    "cacheControl", "contentDisposition", "contentEncoding", "contentLanguage", "contentType", "customTime",
    "eventBasedHold", "temporaryHold", "metadata", "storageClass", "contexts", "retention",
)  # fmt: skip
"""The fields of an object that its writer says."""


@dataclass(frozen=True, slots=True)
class Found:
    """An object: what is known of it, and where its bytes are."""

    data: Mapping[str, Any]
    path: Path

    @property
    def size(self) -> int:
        return int(self.data["size"])


class Buckets:
    """All buckets.

    Args:
        folder: where each has a folder.
        drafts: where bytes lie until they are an object's; on the same file system.
        store: keeps the rows.
        clock: stamps them.
    """

    def __init__(self, folder: Path, drafts: Path, store: Store, clock: Clock) -> None:
        self.folder, self.drafts, self._store, self._clock = folder, drafts, store, clock
        self._odd = folder.with_name("odd")
        self._archive = Archive(folder.with_name("archive"), store)
        self._lock = threading.RLock()
        self._last = 0
        for made in (folder, drafts, self._odd):
            made.mkdir(parents=True, exist_ok=True)

    # Buckets.

    def create(self, project: str, said: Mapping[str, Any]) -> dict[str, Any]:
        """Make a bucket.

        Raises:
            StorageError: the name is taken or cannot be one.
        """
        name = str(said.get("name", ""))
        if not NAME.fullmatch(name) or name.startswith("goog"):
            raise StorageError(400, "invalid", f"Invalid bucket name: '{name}'")
        now = stamp(self._clock.now())
        uniform = {"uniformBucketLevelAccess": {"enabled": False}, "publicAccessPrevention": "inherited"}
        data = {
            "kind": "storage#bucket", "id": name, "name": name, "projectNumber": self._store.number(project),
            "metageneration": "1", "location": "US", "locationType": "multi-region", "storageClass": "STANDARD",
            "timeCreated": now, "updated": now, "iamConfiguration": uniform, **dict(said),
        }  # fmt: skip
        data["location"] = str(data["location"]).upper()
        with self._lock:
            if self.has(name):
                raise StorageError(
                    409,
                    "conflict",
                    "Your previous request to create the named bucket succeeded and you already own it.",
                )
            (self.folder / name).mkdir(parents=True, exist_ok=True)
            self._store.execute("INSERT INTO buckets VALUES (?, ?)", (name, json.dumps(data)))
        return data

    def ensure(self, project: str, name: str) -> None:
        """Make a bucket where there is none of that name."""
        with self._lock:
            if not self.has(name):
                self.create(project, {"name": name})

    def has(self, name: str) -> bool:
        """Whether there is such a bucket."""
        return bool(self._store.rows("SELECT 1 FROM buckets WHERE name = ?", (name,)))

    def bucket(self, name: str) -> dict[str, Any]:
        """What is known of a bucket.

        Raises:
            StorageError: there is none.
        """
        rows = self._store.rows("SELECT data FROM buckets WHERE name = ?", (name,))
        if not rows:
            raise StorageError(404, "notFound", "The specified bucket does not exist.")
        found: dict[str, Any] = json.loads(rows[0][0])
        return found

    def all(self, project: str) -> list[dict[str, Any]]:
        """The buckets of a project, by name."""
        number = self._store.number(project)
        made = [json.loads(row[0]) for row in self._store.rows("SELECT data FROM buckets ORDER BY name")]
        return [data for data in made if data["projectNumber"] == number]

    def change(self, name: str, said: Mapping[str, Any], conditions: Conditions) -> dict[str, Any]:
        """Change fields of a bucket; a field that is null goes."""
        with self._lock:
            data = self.bucket(name)
            conditions.check({"generation": 0, "metageneration": data["metageneration"]})
            data = merged(data, {k: v for k, v in said.items() if k not in ("name", "id", "projectNumber")})
            data["metageneration"], data["updated"] = (
                str(int(data["metageneration"]) + 1),
                stamp(self._clock.now()),
            )
            self._store.execute("UPDATE buckets SET data = ? WHERE name = ?", (json.dumps(data), name))
        return data

    def remove(self, name: str, conditions: Conditions) -> None:
        """Remove an empty bucket."""
        with self._lock:
            data = self.bucket(name)
            conditions.check({"generation": 0, "metageneration": data["metageneration"]})
            if self.objects(name) or self._archive.all(name, ""):
                raise StorageError(409, "conflict", "The bucket you tried to delete is not empty.")
            self._store.execute("DELETE FROM buckets WHERE name = ?", (name,))
            for folder, _, _ in os.walk(self.folder / name, topdown=False):
                os.rmdir(folder)

    # Objects.

    def objects(self, bucket: str, prefix: str = "") -> list[dict[str, Any]]:
        """The objects whose names begin so, in the order of their names in UTF-8."""
        with self._lock:
            self.bucket(bucket)
            self._look(bucket, prefix)
            rows = self._store.rows(
                "SELECT data FROM objects WHERE bucket = ? AND name >= ? ORDER BY name", (bucket, prefix)
            )
        found = []
        for row in rows:
            data = json.loads(row[0])
            if not data["name"].startswith(prefix):
                break
            found.append(data)
        return found

    def versions(self, bucket: str, prefix: str = "") -> list[dict[str, Any]]:
        """The objects whose names begin so with all earlier generations that are kept, oldest first for each name."""
        found = [*self.objects(bucket, prefix), *self._archive.all(bucket, prefix)]
        return sorted(found, key=lambda data: (data["name"].encode(), int(data["generation"])))

    def find(self, bucket: str, name: str) -> Found | None:
        """An object, or None."""
        with self._lock:
            self.bucket(bucket)
            return self._seen(bucket, name)

    def get(self, bucket: str, name: str, generation: int | None = None) -> Found:
        """An object.

        Args:
            bucket: its bucket.
            name: its name.
            generation: only if it is this one.

        Raises:
            StorageError: there is none.
        """
        found = self.find(bucket, name)
        if generation is not None and (found is None or generation != int(found.data["generation"])):
            earlier = self._archive.find(bucket, name, generation)
            found = Found(*earlier) if earlier is not None else None
        if found is None:
            raise StorageError(404, "notFound", f"No such object: {bucket}/{name}")
        return found

    def keep(
        self, bucket: str, name: str, draft: Path, digest: Digests, said: Mapping[str, Any],
        conditions: Conditions = ANYHOW,
    ) -> dict[str, Any]:  # fmt: skip
        """Make the bytes of a draft an object, in the place of what has that name.

        Args:
            bucket: its bucket.
            name: its name.
            draft: the file; it is moved.
            digest: its checksums.
            said: the fields that the writer says, checksums to hold among them.
            conditions: what must hold of the object that is there.

        Raises:
            StorageError: a condition or a checksum does not hold.
        """
        check_name(name)
        for field, made in (("md5Hash", digest.md5), ("crc32c", digest.crc32c)):
            if said.get(field, made) != made:
                raise StorageError(
                    400,
                    "invalid",
                    f'Provided {field} "{said[field]}" doesn\'t match calculated {field} "{made}".',
                )
        with self._lock:
            self.bucket(bucket)
            before = self._seen(bucket, name)
            conditions.check(before.data if before else None)
            path = self._place(bucket, name)
            if before is not None:
                self._drop(before)
                if before.path != path:
                    before.path.unlink(missing_ok=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(draft, path)
            return self._write(bucket, name, path, digest, said)

    def patch(
        self, bucket: str, name: str, said: Mapping[str, Any], conditions: Conditions,
        *, generation: int | None = None, whole: bool = False,
    ) -> dict[str, Any]:  # fmt: skip
        """Change what is known of an object.

        Args:
            bucket: its bucket.
            name: its name.
            said: the fields; one that is null goes.
            conditions: what must hold of it.
            generation: only if it is this one.
            whole: what is not said goes, too.
        """
        with self._lock:
            found = self.get(bucket, name, generation)
            conditions.check(found.data)
            fields = {key: value for key, value in said.items() if key in KEPT_FIELDS}
            before = dict(found.data)
            if whole:
                before = {k: v for k, v in before.items() if k not in KEPT_FIELDS or k == "storageClass"}
            data = merged(before, fields)
            data["metageneration"], data["updated"] = (
                str(int(data["metageneration"]) + 1),
                stamp(self._clock.now()),
            )
            self._store.execute(
                "UPDATE objects SET data = ? WHERE bucket = ? AND name = ?", (json.dumps(data), bucket, name)
            )
        return data

    def delete(
        self, bucket: str, name: str, conditions: Conditions = ANYHOW, generation: int | None = None
    ) -> None:
        """Remove an object."""
        with self._lock:
            found = self.get(bucket, name, generation)
            conditions.check(found.data)
            if "timeDeleted" in found.data:
                self._archive.remove(bucket, name, int(found.data["generation"]))
                return
            if generation is None:
                self._drop(found)
            found.path.unlink(missing_ok=True)
            self._store.execute("DELETE FROM objects WHERE bucket = ? AND name = ?", (bucket, name))
            self._tidy(bucket, found.path.parent)

    def _drop(self, found: Found) -> None:
        """What is replaced or deleted is kept where its bucket keeps versions."""
        bucket = found.data["bucket"]
        if self.bucket(bucket).get("versioning", {}).get("enabled"):
            self._archive.keep(found.data, found.path, stamp(self._clock.now()))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes an object within."""
        with self._lock:
            yield

    def _tidy(self, bucket: str, folder: Path) -> None:
        """Folders that an object has left empty go with it: there are none in Cloud Storage."""
        top = self.folder / bucket
        while folder != top and top in folder.parents:
            try:
                folder.rmdir()
            except OSError:  # something is in it
                return
            folder = folder.parent

    def _place(self, bucket: str, name: str) -> Path:
        """Where the bytes of an object of that name go."""
        if plain(name):
            path, top = self.folder / bucket / name, self.folder / bucket
            above = [folder for folder in path.parents if top in folder.parents]
            if not path.is_dir() and not any(folder.is_file() for folder in above):
                return path
        return self._odd / bucket / hashlib.sha256(name.encode()).hexdigest()

    def _seen(self, bucket: str, name: str) -> Found | None:
        """The object as it is on the disk now: a step may have written it, or removed it."""
        rows = self._store.rows(
            "SELECT size, mtime, data FROM objects WHERE bucket = ? AND name = ?", (bucket, name)
        )
        path = self._odd / bucket / hashlib.sha256(name.encode()).hexdigest()
        if not path.is_file():
            path = self.folder / bucket / name if plain(name) else path
        try:
            status = path.stat()
        except (OSError, ValueError):
            status = None
        if status is None or not path.is_file():
            if rows:
                self._store.execute("DELETE FROM objects WHERE bucket = ? AND name = ?", (bucket, name))
            return None
        if rows and (rows[0][0], rows[0][1]) == (status.st_size, status.st_mtime_ns):
            return Found(json.loads(rows[0][2]), path)
        return Found(self._write(bucket, name, path, digests.of_file(path), {}), path)

    def _look(self, bucket: str, prefix: str) -> None:
        """Take note of what steps have written or removed below a prefix."""
        top = self.folder / bucket
        folder = (
            top / prefix.rpartition("/")[0] if plain(f"{prefix.rpartition('/')[0]}/x".lstrip("/")) else top
        )
        known = {
            name: (size, mtime)
            for name, size, mtime in self._store.rows(
                "SELECT name, size, mtime FROM objects WHERE bucket = ? AND name >= ? AND name <= ?",
                (bucket, prefix, f"{prefix}\U0010ffff"),
            )
        }
        for name, status in _files(folder, top):
            if name.startswith(prefix) and known.pop(name, None) != (status.st_size, status.st_mtime_ns):
                self._seen(bucket, name)
        for name in known:
            self._seen(bucket, name)

    def _write(
        self, bucket: str, name: str, path: Path, digest: Digests, said: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The row of new bytes: a new generation."""
        status, now = path.stat(), stamp(self._clock.now())
        self._last = max(self._last + 1, time.time_ns() // 1000)
        generation = str(self._last)
        data = {
            "kind": "storage#object", "id": f"{bucket}/{name}/{generation}", "name": name, "bucket": bucket,
            "generation": generation, "metageneration": "1", "contentType": "application/octet-stream",
            "storageClass": "STANDARD", "size": str(digest.size), "md5Hash": digest.md5, "crc32c": digest.crc32c,
            "etag": f"C{generation}", "timeCreated": now, "updated": now, "timeStorageClassUpdated": now,
            "timeFinalized": now,
            **{key: value for key, value in said.items() if key in KEPT_FIELDS and value not in (None, {})},
        }  # fmt: skip
        if "componentCount" in said:  # a composed object has no MD5
            data["componentCount"] = said["componentCount"]
            del data["md5Hash"]
        self._store.execute(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?)",
            (bucket, name, status.st_size, status.st_mtime_ns, json.dumps(data)),
        )
        return data


def _files(folder: Path, top: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every plain file below a folder with the name of its object."""
    for here, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(here, name)
            try:
                yield os.path.relpath(path, top), os.stat(path)
            except OSError:  # it was removed meanwhile, or is a link to nowhere
                continue


def plain(name: str) -> bool:
    """Whether a file can be called as the object is."""
    parts = name.split("/")
    return (
        all(part not in ("", ".", "..") and len(part.encode()) <= 255 and "\0" not in part for part in parts)
        and len(name.encode()) < 1024
    )


def check_name(name: str) -> None:
    """Refuse what Cloud Storage does not take for an object's name.

    Raises:
        StorageError: it cannot be one.
    """
    wrong = not name or len(name.encode()) > 1024 or "\r" in name or "\n" in name or name in (".", "..")
    if wrong or name.startswith(".well-known/acme-challenge/"):
        raise StorageError(400, "invalid", f"Invalid object name: {name[:100]!r}")


def merged(before: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    """Patch semantics: what is null goes, objects are merged, all else is replaced."""
    made = dict(before)
    for key, value in said.items():
        if value is None:
            made.pop(key, None)
        elif isinstance(value, Mapping) and isinstance(made.get(key), Mapping):
            made[key] = merged(made[key], value)
        else:
            made[key] = value
    return made


def stamp(seconds: float) -> str:
    """A time as Cloud Storage writes it."""
    millis = int(seconds * 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(millis // 1000))}.{millis % 1000:03}Z"
