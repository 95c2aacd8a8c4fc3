"""Locks that die with their process: one for each run, one for each key that is being computed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType

from nbvertex.home import writing


class Lock:
    """An exclusive lock on a name in a folder; its file is there only while somebody wants it.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, wait: bool = False) -> bool:
        """Take the lock.

        Args:
            wait: until whoever has it lets it go.

        Returns:
            whether it is ours now.

        Raises:
            StoreError: the file cannot be made.
        """
        while self._descriptor is None:
            with writing(self.path):
                descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                os.close(descriptor)
                return False
            except BaseException:  # an interrupt while it waited
                os.close(descriptor)
                raise
            if _is(descriptor, self.path):
                self._descriptor = descriptor
            else:  # its last owner removed the file between our two calls
                os.close(descriptor)
        return True

    def release(self) -> None:
        """Let it go; doing so twice does nothing."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # a file that stays is no lock: only who has it open holds one
                self.path.unlink()  # while it is still ours, so nobody's new file is hit
            os.close(self._descriptor)
            self._descriptor = None

    @property
    def ours(self) -> bool:
        return self._descriptor is not None

    def __enter__(self) -> Lock:
        self.acquire(wait=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _is(descriptor: int, path: Path) -> bool:
    """Whether the open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
