"""What a step needs is installed before it begins, apart from what is there, if it is not there yet."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Sequence

_EXACT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;,*]+)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


SITE = "site-packages"  # what is in a folder of that name counts as installed


class NotInstalled(Exception):
    """What a step needs cannot be installed."""


def missing(requirements: Sequence[str], *, exact: bool = True) -> list[str]:
    """Those that this environment does not fulfil.

    Args:
        requirements: what the step needs.
        exact: another version than the one that is pinned will not do.
    """
    return [line for line in requirements if not _is_there(line, exact=exact)]


def _is_there(line: str, *, exact: bool) -> bool:
    pinned = _EXACT.fullmatch(line.strip()) if exact else None
    name = _NAME.match(line.strip())
    if name is None:
        return False  # an address
    try:
        version = importlib.metadata.version(name[0])
    except importlib.metadata.PackageNotFoundError:
        return False
    return pinned is None or version.partition("+")[0] == pinned[2]


def install(requirements: Sequence[str], *, exact: bool = True) -> str | None:
    """Install what is missing, apart from what is there; what was installed before is taken as it is.

    Args:
        requirements: what the step needs.
        exact: what is there in another version is missing; else the image is trusted to have the right one.

    Returns:
        the folder, to be searched first; None where nothing was missing.

    Raises:
        NotInstalled: it cannot be had.
    """
    wanted = missing(requirements, exact=exact)
    if not wanted:
        return None
    digest = hashlib.sha256("\n".join([sys.version, *sorted(wanted)]).encode()).hexdigest()[:16]
    place = os.path.join(_home(), digest)
    if not os.path.isdir(place):
        made = tempfile.mkdtemp(dir=os.path.dirname(place))
        try:
            _install(wanted, os.path.join(made, SITE))
            os.rename(made, place)
        except OSError:
            if not os.path.isdir(place):  # no other step was faster
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return os.path.join(place, SITE)


def _home() -> str:
    """A folder that nobody else can write to, the same for all steps of this machine where that can be."""
    place = os.path.join(tempfile.gettempdir(), f"nbvertex-packages-{os.getuid()}")
    try:
        os.mkdir(place, 0o700)
    except FileExistsError:
        state = os.lstat(place)
        if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o022:
            return tempfile.mkdtemp(prefix="nbvertex-")
    return place


def _install(wanted: Sequence[str], folder: str) -> None:
    pinned = [line for line in wanted if _EXACT.fullmatch(line.strip())]  # with all that they need
    for lines, more in ((pinned, ["--no-deps"]), ([line for line in wanted if line not in pinned], [])):
        if lines:
            _run([*_installer(), *more, "--target", folder, *lines])


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
