"""A copy of a folder to run a notebook in, so that what it writes there touches nothing; big things are linked."""

from __future__ import annotations

import os
import shutil
import stat
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nbvertex.home import MARKS, writing

MOST_FILES = 5_000
MOST_BYTES = 256 << 20
BIGGEST = 64 << 20
LINKED = frozenset({".git", ".hg", ".venv", "venv", ".tox", ".nox", "node_modules"})
LEFT_OUT = frozenset({".nbvertex", ".ipynb_checkpoints", "__pycache__", ".pytest_cache"})

Looks = tuple[int, int] | None  # when it was changed and its size; None: it is not there


@dataclass(frozen=True, slots=True)
class Mirror:
    """A copy of a project in which a notebook can run.

    Args:
        root: the copy.
        cwd: the working folder in it.
        before: every file and folder in it, as it was copied.
        linked: what was not copied: the original, and how it looked then.
    """

    root: Path
    cwd: Path
    before: Mapping[str, Looks]
    linked: Mapping[Path, Looks]

    def now(self) -> dict[str, Looks]:
        """Every file and folder in it, as it is now."""
        return _listed(self.root)

    def changed(self) -> frozenset[str]:
        """The files and folders that have come, changed or gone since, as paths within the copy."""
        now = self.now()
        return frozenset(
            path for path in now.keys() | self.before.keys() if now.get(path, ()) != self.before.get(path, ())
        )

    def written_through(self) -> list[Path]:
        """The originals that have changed since."""
        return sorted(path for path, was in self.linked.items() if _looks(path) != was)


def project_of(folder: Path) -> Path:
    """The project that a folder belongs to: the nearest above that has a project's mark, else the folder itself."""
    for above in (folder, *folder.parents):
        if any((above / mark).exists() for mark in MARKS):
            return above
    return folder


def make(cwd: Path, to: Path, *, without: tuple[Path, ...] = ()) -> Mirror:
    """Copy the project of a folder, the folder itself first.

    Files and folders that would make it too much are linked instead, and so are environments and repositories.

    Args:
        cwd: the folder to work in, absolute.
        to: the folder to make the copy in.
        without: folders that are left out.

    Raises:
        StoreError: there is no room for it.
    """
    source = project_of(cwd)
    root = to / (source.name or "root")
    working = root / cwd.relative_to(source)
    copier = _Copier(source, root, without)
    with writing(root):
        working.mkdir(parents=True)
        copier.fill(cwd)
        copier.fill(source)
    return Mirror(root, working, _listed(root), copier.linked)


class _Copier:
    """Copies a folder as far as its means go.

    Args:
        source, root: from where to where.
        without: folders that are left out.
    """

    def __init__(self, source: Path, root: Path, without: tuple[Path, ...]) -> None:
        self.linked: dict[Path, Looks] = {}
        self._source, self._root, self._without = source, root, without
        self._files, self._bytes = MOST_FILES, MOST_BYTES

    def fill(self, folder: Path) -> None:
        """Copy what is in a folder of the source, what lies near first; what is there already stays."""
        folders = deque([folder])
        while folders:
            here = folders.popleft()
            there = self._root / here.relative_to(self._source)
            there.mkdir(exist_ok=True)
            for entry in _entries(here):
                path, copy = Path(entry.path), there / entry.name
                if entry.name in LEFT_OUT or path in self._without:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    if entry.name in LINKED or self._files <= 0:
                        self._link(path, copy)
                    elif not copy.is_symlink():
                        folders.append(path)
                elif not os.path.lexists(copy):
                    self._file(entry, copy)

    def _file(self, entry: os.DirEntry[str], copy: Path) -> None:
        status = entry.stat(follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            copy.symlink_to(self._target(Path(entry.path)))
        if not stat.S_ISREG(status.st_mode):
            return
        self._files -= 1
        if status.st_size > min(BIGGEST, self._bytes) or self._files < 0:
            self._link(Path(entry.path), copy)
            return
        try:
            shutil.copy2(entry.path, copy)
            self._bytes -= status.st_size
        except PermissionError:
            self._link(Path(entry.path), copy)

    def _link(self, path: Path, copy: Path) -> None:
        if not os.path.lexists(copy):
            copy.symlink_to(path)
            self.linked[path] = _looks(path)

    def _target(self, link: Path) -> str:
        """Where a link of the source leads from the copy: within it if it led within the source."""
        target = os.readlink(link)
        end = Path(os.path.normpath(link.parent / target))
        if not os.path.isabs(target) and end.is_relative_to(self._source):
            return target
        self.linked[end] = _looks(end)
        return str(end)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except PermissionError:
        return []


def _listed(root: Path) -> dict[str, Looks]:
    """Every file and folder below, links not followed; what Python compiles beside a module does not count."""
    found: dict[str, Looks] = {}
    folders = [root]
    while folders:
        here = folders.pop()
        for entry in _entries(here):
            path = Path(entry.path)
            if entry.name in LEFT_OUT:
                continue
            name = path.relative_to(root).as_posix()
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
                found[f"{name}/"] = None
            else:
                found[name] = _looks(path)
    return found


def _looks(path: Path) -> Looks:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size
