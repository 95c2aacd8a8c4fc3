"""A store of bytes addressed by their SHA-256: immutable, checked when read, whole or not there at all."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from nbvertex.bucket import Bucket
from nbvertex.database import Database, Transaction
from nbvertex.errors import StoreError
from nbvertex.home import writing

SMALL = 64 * 1024  # bytes; artifacts up to here lie in the database, so that a step costs one durable write
CHUNK = 1 << 20


def digest_of(data: bytes) -> str:
    """The address of some bytes."""
    return hashlib.sha256(data).hexdigest()


def digest_of_file(path: str | os.PathLike[str]) -> str:
    """The address of a file's bytes; OSError where it cannot be read."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Damaged(StoreError):
    """An artifact is missing or its bytes are not what they were; whoever can, computes it again.

    Args:
        digest: its address.
        what: what is wrong with it.
    """

    code = "damaged-artifact"

    def __init__(self, digest: str, what: str) -> None:
        super().__init__(
            f"artifact {digest[:12]} {what}", hint="run the notebook again: it will be computed anew"
        )
        self.digest = digest


class Store:
    """The artifacts of a home. Small ones lie in the database, each of the others is a read-only file.

    Args:
        database: holds the small ones and the sizes of all.
        folder: where the others lie.
        bucket: where these lie as well, so that they may be missing here.
    """

    def __init__(self, database: Database, folder: Path, bucket: Bucket | None = None) -> None:
        self._database = database
        self._bucket = bucket
        self.folder = folder

    def place(self, digest: str) -> Path:
        """Where the file of an artifact lies, or would."""
        return self.folder / digest[:2] / digest

    def adopt(self, digest: str, path: Path) -> None:
        """Take a file of the same file system as an artifact; it is durable afterwards.

        Args:
            digest: what its writer found.
            path: the file, which moves away.

        Raises:
            StoreError: it cannot be kept.
        """
        place = self.place(digest)
        with writing(place, need=path.stat().st_size if path.exists() else None):
            place.parent.mkdir(exist_ok=True)
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fchmod(descriptor, 0o444)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(path, place)
            sync_folder(place.parent)
        if self._bucket is not None:
            self._bucket.put(digest, place)

    def put(self, data: bytes) -> str:
        """Keep bytes of any size; they are durable afterwards.

        Returns:
            their address.

        Raises:
            StoreError: they cannot be kept.
        """
        digest = digest_of(data)
        if len(data) > SMALL:
            self.put_file(digest, data)
        with self._database.write(need=len(data)) as tx:
            self.add(tx, [(digest, len(data), data if len(data) <= SMALL else None)])
        return digest

    def put_file(self, digest: str, data: bytes) -> None:
        """Write bytes as the file of an artifact."""
        with writing(self.place(digest), need=len(data)):
            draft = self._draft()
            try:
                draft.write_bytes(data)
                self.adopt(digest, draft)
            except BaseException:  # nothing half written stays, whatever stopped us
                draft.unlink(missing_ok=True)
                raise

    def add(self, tx: Transaction, artifacts: Iterable[tuple[str, int | None, bytes | None]]) -> None:
        """Write the rows of artifacts; those of files only after the files.

        Args:
            tx: the transaction that also holds the row of whoever made them.
            artifacts: address, size (None: ask the file), and the bytes of one that is not kept as a file.

        Raises:
            Damaged: a file is not there: something else removed it in the meantime.
        """
        now = time.time()
        rows = [
            (digest, self.path(digest, size).stat().st_size if data is None else size, data)
            for digest, size, data in artifacts
        ]
        tx.many(
            "INSERT INTO artifacts (digest, size, used) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET used = excluded.used",
            [(digest, size, now) for digest, size, _ in rows],
        )
        tx.many(
            "INSERT INTO blobs (digest, data) VALUES (?, ?) ON CONFLICT DO NOTHING",
            [(digest, data) for digest, _, data in rows if data is not None],
        )

    def get(self, digest: str) -> bytes:
        """The bytes of an artifact, checked.

        Raises:
            Damaged: they are missing or not what they were.
        """
        found = self._database.rows("SELECT data FROM blobs WHERE digest = ?", (digest,))
        try:
            data: bytes = found[0][0] if found else self.path(digest).read_bytes()
        except OSError as error:
            raise Damaged(digest, f"cannot be read: {error.strerror}") from error
        if digest_of(data) != digest:
            raise Damaged(digest, "is damaged: its bytes are not what they were")
        return data

    def path(self, digest: str, size: int | None = None) -> Path:
        """The file of an artifact that is kept as one; whoever reads it checks the bytes.

        Args:
            digest: its address.
            size: how large it has to be, where that is known.

        Raises:
            Damaged: it is missing or of another size.
        """
        place = self.place(digest)
        if not place.exists() and not self._fetched(digest):
            raise Damaged(digest, "is missing from the store")
        actual = place.stat().st_size
        if size is not None and actual != size:
            raise Damaged(digest, f"is damaged: {actual:,} bytes instead of {size:,}")
        return place

    def _fetched(self, digest: str) -> bool:
        """Bring the file of an artifact here; what is not what it was does not count."""
        if self._bucket is None:
            return False
        draft = self._draft()
        try:
            if not self._bucket.fetch(digest, draft) or digest_of_file(draft) != digest:
                return False
            self.adopt(digest, draft)
        finally:
            draft.unlink(missing_ok=True)
        return True

    def _draft(self) -> Path:
        """A name for a file that is being written."""
        return self.folder / f".draft-{os.urandom(8).hex()}"

    def verify(self, digest: str) -> None:
        """Read an artifact to the end.

        Raises:
            Damaged: it is missing or not what it was.
        """
        place = self.place(digest)
        if not place.exists():
            self.get(digest)
            return
        try:
            actual = digest_of_file(place)
        except OSError as error:
            raise Damaged(digest, f"cannot be read: {error.strerror}") from error
        if actual != digest:
            raise Damaged(digest, "is damaged: its bytes are not what they were")

    def holds(self, artifacts: Iterable[tuple[str, int]], files: Iterable[str] = ()) -> bool:
        """Whether artifacts are all there, as far as can be told without reading them.

        Args:
            artifacts: address and size.
            files: addresses of such as are kept as files whatever their size.
        """
        try:
            for digest, size in artifacts:
                if size > SMALL:
                    self.path(digest, size)
                elif not self._database.rows("SELECT 1 FROM blobs WHERE digest = ?", (digest,)):
                    return False
            for digest in files:
                self.path(digest)
        except Damaged:
            return False
        return True

    def remove(self, digests: Collection[str]) -> int:
        """Forget artifacts.

        Returns:
            the bytes that became free.
        """
        with self._database.write() as tx:
            return self.remove_in(tx, digests)

    def remove_in(self, tx: Transaction, digests: Collection[str]) -> int:
        """Forget artifacts within a transaction that has made sure that nobody needs them."""
        freed = 0
        for digest in digests:
            freed += sum(row[0] for row in tx.rows("SELECT size FROM artifacts WHERE digest = ?", (digest,)))
            tx.execute("DELETE FROM blobs WHERE digest = ?", (digest,))
            tx.execute("DELETE FROM artifacts WHERE digest = ?", (digest,))
            with writing(self.place(digest)):
                self.place(digest).unlink(missing_ok=True)
            if self._bucket is not None:
                self._bucket.remove(digest)
        return freed

    def files(self) -> Iterator[tuple[str, Path]]:
        """Every file of the store: the address it claims, or empty for a draft that was left behind."""
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                yield ("" if path.name.startswith(".draft-") else path.name), path


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
