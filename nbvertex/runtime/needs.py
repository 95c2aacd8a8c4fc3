"""What a step needs is installed before it begins, apart from what is there, if it is not there yet."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence

_EXACT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;,*]+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class NotInstalled(Exception):
    """What a step needs cannot be installed."""


def missing(requirements: Sequence[str]) -> list[str]:
    """Those that this environment does not fulfil."""
    return [line for line in requirements if not _is_there(line)]


def _is_there(line: str) -> bool:
    exact = _EXACT.fullmatch(line.strip())
    name = _NAME.match(line.strip())
    if name is None:
        return False  # an address
    try:
        version = importlib.metadata.version(name[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return exact is None or version.partition("+")[0] == exact[2]


def install(requirements: Sequence[str], folder: str) -> str | None:
    """Install what is missing into a folder of its own.

    Args:
        requirements: what the step needs.
        folder: where to.

    Returns:
        the folder, to be searched first; None where nothing was missing.

    Raises:
        NotInstalled: it cannot be had.
    """
    wanted = missing(requirements)
    if not wanted:
        return None
    pinned = [line for line in wanted if _EXACT.fullmatch(line.strip())]  # with all that they need
    for lines, more in ((pinned, ["--no-deps"]), ([line for line in wanted if line not in pinned], [])):
        if lines:
            _run([*_installer(), *more, "--target", folder, *lines])
    return folder


def _installer() -> list[str]:
    if uv := shutil.which("uv"):
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input"]


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
    )  # fmt: skip
    if done.returncode:
        wanted = " ".join(word for word in command if not word.startswith("-"))
        raise NotInstalled(f"{wanted[:300]} failed:\n{done.stdout[-3000:]}")
