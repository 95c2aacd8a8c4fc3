"""Artifacts beyond this machine: the same addresses on any URL that fsspec knows."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path

from nbvertex.errors import StoreError

ATOMIC = frozenset(
    {"abfs", "adl", "az", "gcs", "gs", "memory", "oci", "s3"}
)  # a write is there as a whole or not at all


class Bucket:
    """A folder of artifacts on another machine or disk.

    Args:
        url: like ``gs://bucket/folder``.

    Raises:
        StoreError: its kind is not known here.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.url = url
        with _translated(url):
            self._system, self._root = fsspec.core.url_to_fs(url)

    def put(self, digest: str, source: Path) -> None:
        """Copy a file there, unless it is there already.

        Raises:
            StoreError: it cannot be written.
        """
        place = self._place(digest)
        with _translated(f"{self.url} ({source.stat().st_size:,} bytes needed)"):
            if self._system.exists(place):
                return
            protocol = self._system.protocol
            names = {protocol} if isinstance(protocol, str) else set(protocol)
            draft = place if names & ATOMIC else f"{place}.{secrets.token_hex(6)}"
            self._system.makedirs(place.rpartition("/")[0], exist_ok=True)
            self._system.put_file(str(source), draft)
            if draft != place:
                self._system.mv(draft, place)

    def fetch(self, digest: str, target: Path) -> bool:
        """Copy an artifact to a file, which is to be checked; False where it is not there.

        Raises:
            StoreError: it cannot be read.
        """
        with _translated(self.url):
            try:
                self._system.get_file(self._place(digest), str(target))
            except FileNotFoundError:
                return False
        return True

    def has(self, digest: str) -> bool:
        """Whether an artifact is there."""
        with _translated(self.url):
            return bool(self._system.exists(self._place(digest)))

    def remove(self, digest: str) -> None:
        """Forget an artifact."""
        with _translated(self.url), contextlib.suppress(FileNotFoundError):
            self._system.rm_file(self._place(digest))

    def _place(self, digest: str) -> str:
        return f"{self._root.rstrip('/')}/{digest[:2]}/{digest}"


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, ImportError) as error:
        raise StoreError(
            f"cannot reach {what}: {error}",
            hint="see that the address is right, that its fsspec package is installed, and that you are logged in",
            code="bucket",
        ) from error
    except Exception as error:
        # each of fsspec's systems raises errors of its own (gcsfs.HttpError, botocore's, ...), with no common base
        raise StoreError(f"cannot reach {what}: {type(error).__name__}: {error}", code="bucket") from error
