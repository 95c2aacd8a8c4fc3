"""The folder in which everything that is kept lies, and what lies where in it."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nbvertex.errors import StoreError

MARKS = ("nbvertex.toml", "pyproject.toml", ".git")
NO_ROOM = (  # what to do about a full disk
    "free some space (`nbvertex runs gc` does) and go on with `nbvertex runs resume`, or name a folder on another disk "
    "in NBVERTEX_HOME"
)


@dataclass(frozen=True, slots=True)
class Home:
    """Where a project's runs, artifacts and database lie.

    Args:
        folder: the folder itself, usually ``.nbvertex`` at the root of a project.
    """

    folder: Path

    @property
    def database(self) -> Path:
        return self.folder / "lineage.db"

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    @property
    def runs(self) -> Path:
        return self.folder / "runs"

    @property
    def scratch(self) -> Path:
        return self.folder / "scratch"

    @property
    def locks(self) -> Path:
        return self.folder / "locks"

    def prepare(self) -> None:
        """Make the folders, and the ``.gitignore`` that keeps them out of version control.

        Raises:
            StoreError: the folder cannot be written.
        """
        with writing(self.folder):
            for folder in (self.artifacts, self.runs, self.scratch, self.locks):
                folder.mkdir(parents=True, exist_ok=True)
            ignore = self.folder / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")


def find(notebook: Path, environ: Mapping[str, str] = os.environ) -> Home:
    """The home of a notebook's runs.

    Args:
        notebook: the file; its folder and those above are searched for a project's marks.
        environ: the environment; ``NBVERTEX_HOME`` wins.
    """
    if named := environ.get("NBVERTEX_HOME"):
        return Home(Path(named).expanduser().absolute())
    beside = Path(os.path.abspath(notebook)).parent  # without the `..` in it
    for folder in (beside, *beside.parents):
        if any((folder / mark).exists() for mark in MARKS):
            return Home(folder / ".nbvertex")
    return Home(beside / ".nbvertex")


@contextlib.contextmanager
def writing(path: Path, need: int | None = None) -> Iterator[None]:
    """The one border at which a file system's refusal to write becomes a `StoreError`.

    Args:
        path: what is written, for the message.
        need: how many bytes it takes.
    """
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error, need) from error


def cannot_write(path: Path | str, error: OSError, need: int | None = None) -> StoreError:
    """The `StoreError` for a write that the file system refused."""
    size = f" ({need:,} bytes needed)" if need else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreError(
            f"no space left to write {path}{size}: {error.strerror}",
            hint=NO_ROOM,
            code="disk-full",
        )
    return StoreError(
        f"cannot write {path}{size}: {error.strerror or error}",
        hint="make the folder writable, or name another one in NBVERTEX_HOME",
        code="unwritable",
    )
