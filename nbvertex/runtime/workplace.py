"""The working folder of a step in a container: clean, with the files that it may find; what it writes is taken along."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from .deltas import FILES, FileLeft

PLACE = "/tmp/nbvertex/work"  # the same in every container, so that paths that a cell shows are the same
_BLOCK = 1 << 20
_LONG_AGO = 946_684_800  # seconds: the year 2000
_NOT_FILES = frozenset({"__pycache__", ".ipynb_checkpoints"})


@contextmanager
def folder(environ: Mapping[str, str]) -> Iterator[str]:
    """An empty folder, gone afterwards; always the same one where no other step of this machine works in it.

    Args:
        environ: may say in ``NBVERTEX_PLACE`` which one.
    """
    path = environ.get("NBVERTEX_PLACE") or PLACE
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.mkdir(path)
    except OSError:
        path = tempfile.mkdtemp(prefix="nbvertex-")
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def lay_out(place: str, kit: str | None, files: Mapping[str, tuple[FileLeft, str]]) -> None:
    """Put into the folder what lies beside the notebook, then what earlier steps left.

    Args:
        place: the folder.
        kit: a folder with what lies beside the notebook.
        files: path -> the file, and the folder of the step that wrote it.
    """
    if kit is not None and os.path.isdir(kit):
        shutil.copytree(kit, place, dirs_exist_ok=True, symlinks=True)
        for path in seen(place):
            os.utime(os.path.join(place, path), (_LONG_AGO, _LONG_AGO))  # the same in every container
    for path, (left, source) in sorted(files.items()):
        target = os.path.join(place, path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.lexists(target) and (left.kind == "link" or os.path.islink(target)):
            os.remove(target)
        if left.kind == "link":
            os.symlink(left.content, target)
        elif left.kind == "folder":
            os.makedirs(target, exist_ok=True)
        else:
            shutil.copyfile(os.path.join(source, FILES, left.content), target)
    for path, (left, _) in sorted(files.items(), reverse=True):  # a folder may forbid to write into it
        if left.kind != "link":
            target = os.path.join(place, path)
            os.chmod(target, left.mode)
            os.utime(target, ns=(left.time, left.time))  # who reloads what has changed looks at it


Entry = tuple[str, int, int, int, int]  # kind, mode, size, time, inode


def seen(place: str) -> dict[str, Entry]:
    """Every path below the folder, and what changes when it is written to."""
    found: dict[str, Entry] = {}
    for top, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if name not in _NOT_FILES)
        for name in (*folders, *names):
            path = os.path.join(top, name)
            state = os.lstat(path)
            kind = _kind(state.st_mode)
            if kind:
                told = (0, 0, 0) if kind == "folder" else (state.st_size, state.st_mtime_ns, state.st_ino)
                found[os.path.relpath(path, place)] = kind, stat.S_IMODE(state.st_mode), *told
    return found


def _kind(mode: int) -> str:
    """Sockets and pipes have no content, and are left."""
    return {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}.get(stat.S_IFMT(mode), "")


def take(place: str, before: Mapping[str, Entry], folder: str) -> dict[str, FileLeft]:
    """Keep what was written, files named by their content; note what is gone.

    Args:
        place: the working folder.
        before: what `seen` gave when the step began.
        folder: the folder of what the step leaves.
    """
    now = seen(place)
    left = {path: FileLeft("gone") for path in before if path not in now}
    for path, entry in now.items():
        if before.get(path) == entry:
            continue
        source, content = os.path.join(place, path), ""
        if entry[0] == "link":
            content = os.readlink(source)
        elif entry[0] == "file":
            content = _digest(source)
            target = os.path.join(folder, FILES, content)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(source, target)
        left[path] = FileLeft(entry[0], content, entry[1], os.lstat(source).st_mtime_ns)
    return left


def carry(files: Mapping[str, tuple[FileLeft, str]], folder: str) -> dict[str, FileLeft]:
    """Keep files that others have left.

    Args:
        files: path -> the file, and the folder of whoever left it.
        folder: the folder of what the step leaves.
    """
    for left, source in files.values():
        if left.kind == "file":
            target = os.path.join(folder, FILES, left.content)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            shutil.copyfile(os.path.join(source, FILES, left.content), target)
    return {path: left for path, (left, _) in files.items()}


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
