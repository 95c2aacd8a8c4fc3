"""Files that steps read and write: which of them count, and what is in them."""

from __future__ import annotations

import glob
import hashlib
import importlib.util
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nbvertex.state import FileSeen

ABSENT = ""  # the digest of a file that is not there
SETTLED = 2.0  # seconds without a change after which size and times tell a file's content
PASSING = ("/proc/", "/sys/", "/dev/", "/run/")  # never the same twice, or no files at all


class Files:
    """The contents of files, each read once as long as it does not change.

    Args:
        cwd: what relative names are relative to.
        installed: says of a file whether it came with Python or a package, whose version tells what is in it.
        ignored: folders whose files are nobody's input.
    """

    def __init__(
        self,
        cwd: Path,
        installed: Callable[[str], bool] = lambda path: False,
        ignored: Iterable[str] = (),
    ) -> None:
        self._cwd = cwd
        self._installed = installed
        self._ignored = tuple(f"{folder.rstrip('/')}/" for folder in ignored)
        self._known: dict[str, tuple[tuple[int, ...], str]] = {}

    def counts(self, path: str) -> bool:
        """Whether the file can be an input or a result of a step."""
        home = os.path.expanduser("~")
        caches = (f"{home}/.cache/", f"{home}/.config/", f"{home}/.ipython/", f"{home}/.local/share/jupyter/")
        return not path.startswith((*PASSING, *self._ignored, *caches)) and not self._installed(path)

    def inputs(self, opened: Iterable[str]) -> list[str]:
        """The files that count among those that a process opened for reading; for compiled Python its source."""
        found = {_source(self._absolute(path)) for path in opened}
        return sorted(path for path in found if self.counts(path) and not os.path.isdir(path))

    def results(self, opened: Iterable[str]) -> list[str]:
        """What a process opened for writing, made or took away, where that counts afterwards.

        Outside the working folder only a file that is there counts: temporary ones come and go.
        """
        found = {self._absolute(path) for path in opened}
        return sorted(
            path
            for path in found
            if self.counts(path)
            and "/__pycache__/" not in path
            and (path.startswith(f"{self._cwd}{os.sep}") or os.path.isfile(path) or os.path.islink(path))
        )

    def named(self, patterns: Iterable[str]) -> list[str]:
        """The files that names stand for: a file, a folder with all in it, or a pattern. What is missing is kept."""
        found: set[str] = set()
        for pattern in patterns:
            path = self._absolute(os.path.expanduser(pattern))
            matches = [path] if os.path.lexists(path) else sorted(glob.glob(path, recursive=True))
            for match in matches or [path]:
                found.update(_all_in(match) if os.path.isdir(match) else [match])
        return sorted(found)

    def seen(self, paths: Iterable[str]) -> tuple[FileSeen, ...]:
        """What is in files now; OSError where one cannot be read."""
        return tuple(FileSeen(path=path, digest=self.digest(path)) for path in paths)

    def same(self, files: Iterable[FileSeen]) -> bool:
        """Whether files still hold what they held."""
        try:
            return all(self.digest(file.path) == file.digest for file in files)
        except OSError:
            return False

    def digest(self, path: str) -> str:
        """SHA-256 of a file; `ABSENT` where there is none; OSError where it cannot be read."""
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return ABSENT
        sign = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev)
        known = self._known.get(path)
        if known is not None and known[0] == sign:
            return known[1]
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if time.time() - max(found.st_mtime, found.st_ctime) > SETTLED:
            self._known[path] = (sign, digest)
        return digest

    def touched_since(self, paths: Iterable[str], at: float) -> bool:
        """Whether a file may have changed at or after a time."""
        for path in paths:
            try:
                found = os.stat(path)
            except OSError:
                return True
            if max(found.st_mtime, found.st_ctime) >= at - 0.01:  # clocks of file systems are coarse
                return True
        return False

    def _absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self._cwd, path))


def _source(path: str) -> str:
    if "/__pycache__/" not in path or not path.endswith(".pyc"):
        return path
    try:
        return importlib.util.source_from_cache(path)
    except ValueError:  # not a name that Python gives to compiled files
        return path


def _all_in(folder: str) -> Iterator[str]:
    for top, folders, names in os.walk(folder):
        folders.sort()
        for name in names:
            yield os.path.join(top, name)
