"""The git repository round a notebook: which commit, and whether anything differs from it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType

LIMIT = 2.0  # seconds that git gets beyond the time that the run takes


class Repository:
    """Asks git in the background, so that a run need not wait for it; to be used in a with block.

    Args:
        folder: a folder that may lie in a repository.
    """

    def __init__(self, folder: Path) -> None:
        self._git: subprocess.Popen[str] | None = None
        if not any((place / ".git").exists() for place in (folder, *folder.parents)):
            return
        command = [
            "git",
            "--no-optional-locks",
            "status",
            "--porcelain=v2",
            "--branch",
            "--untracked-files=no",
        ]
        try:
            self._git = subprocess.Popen(
                command,
                cwd=folder,
                text=True,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:  # there is no git: the run is recorded without
            return

    def __enter__(self) -> Repository:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._git is not None and self._git.returncode is None:
            self._git.kill()
            self._git.communicate()

    def state(self) -> tuple[str | None, bool | None]:
        """The commit, and whether tracked files differ from it; None where git does not tell."""
        if self._git is None:
            return None, None
        try:
            text, _ = self._git.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self._git.kill()
            self._git.communicate()
            return None, None
        commit, dirty = None, False
        for line in text.splitlines():
            if line.startswith("# branch.oid "):
                commit = line.split()[-1]
            elif not line.startswith("#"):
                dirty = True
        if commit is None or commit == "(initial)":
            return None, None
        return commit, dirty
