"""What is installed here, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from nbvertex import __version__
from nbvertex.home import Home
from nbvertex.interpreters import kernel_folders
from nbvertex.readiness import Finding

Installed = Callable[[str], str | None]
LEAST_SPACE = 1 << 30  # bytes free; below that a run with data soon fails
OLDEST_SQLITE = (3, 35)  # UPSERT and RETURNING


# name, what it is for, the oldest that works, what brings it, and whether runs here need it.
PACKAGES = (
    ("click", "the command line", "8.1", "", True),
    ("ipython", "running cells", "8.18", "", True),
    ("jupytext", "notebooks as .py files", "1.16", "", True),
    ("msgspec", "the model", "0.18.5", "", True),
    ("nbformat", "notebooks of nbformat 3 and older", "5.9", "", True),
    ("rich", "progress on a terminal", "13", "", True),
    ("fsspec", "stores elsewhere", "2024.2", "", True),
    ("jinja2", "nbvertex convert", "3.1", "", True),
    ("ipykernel", "working in Jupyter", "6.29", "", False),
    ("papermill", "running a notebook as a whole", "2.6", "", False),
    ("jupyterlab", "working in JupyterLab", "4.2", "nbvertex[lab]", False),
    ("anywidget", "the live view in JupyterLab", "0.9.13", "nbvertex[lab]", False),
    ("google-cloud-aiplatform", "nbvertex submit", "1.133", "nbvertex[vertex]", False),
    ("kfp", "checking pipeline files with the KFP client", "2.14", "nbvertex[kfp]", False),
)


def installed(name: str) -> str | None:
    """The version of a distribution, or None where it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def examine(
    home: Home, *, version_of: Installed = installed, kernels: Sequence[Path] | None = None
) -> list[Finding]:
    """Look at everything that a run here depends on.

    Args:
        home: where runs would be kept.
        version_of: gives the version of an installed distribution.
        kernels: the folders in which kernels are looked for; None: Jupyter's.
    """
    return [
        *_python(),
        *(_package(version_of, *row) for row in PACKAGES),
        *_together(version_of),
        *_kernels(list(kernel_folders(os.environ)) if kernels is None else kernels),
        _git(),
        *_store(home),
    ]


def _python() -> Iterator[Finding]:
    yield Finding("python", "ok", f"{platform.python_version()} at {sys.executable}", "everything")
    yield Finding("nbvertex", "ok", __version__, "everything")
    if hasattr(os, "fork"):
        yield Finding("fork", "ok", platform.platform(terse=True), "starting steps from a warm process")
    else:
        yield Finding("fork", "wrong", platform.system(), "starting steps", "use Linux, macOS or WSL")


def _package(
    version_of: Installed, name: str, use: str, oldest: str, brought_by: str, needed: bool
) -> Finding:
    found = version_of(name)
    if found is None:
        mend = f"pip install '{brought_by or f'{name}>={oldest}'}'"
        return Finding(name, "wrong" if needed else "missing", "not installed", use, mend)
    if _numbers(found) < _numbers(oldest):
        return Finding(
            name, "wrong", f"{found}, older than {oldest}", use, f"pip install -U '{name}>={oldest}'"
        )
    return Finding(name, "ok", found, use)


def _together(version_of: Installed) -> Iterator[Finding]:
    """Packages that are each fine and do not work side by side."""
    protobuf = version_of("protobuf")
    if version_of("kfp") and protobuf and _numbers(protobuf) >= (7,):
        yield Finding(
            "protobuf", "wrong", f"{protobuf}, and kfp needs one below 7", "kfp", "pip install 'protobuf<7'"
        )


def _numbers(version: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
        if digits != part:
            break
    return tuple(numbers)


def _kernels(folders: Sequence[Path]) -> Iterator[Finding]:
    found: dict[str, str] = {}
    for folder in folders:
        for spec in sorted(folder.glob("*/kernel.json")):
            try:
                command = json.loads(spec.read_text(encoding="utf-8"))["argv"][0]
            except (OSError, ValueError, KeyError, IndexError, TypeError):
                command = ""  # a kernel.json that nobody can start
            found.setdefault(spec.parent.name, command)
    for name, command in found.items():
        if command and shutil.which(command):
            yield Finding(f"kernel {name}", "ok", command, "--python, and papermill")
        else:
            mend = f"jupyter kernelspec remove {name}"
            yield Finding(f"kernel {name}", "missing", command or "unreadable kernel.json", "--python", mend)
    if not found:
        mend = "pip install ipykernel && python -m ipykernel install --user"
        yield Finding("kernel", "missing", "none", "Jupyter and papermill; nbvertex run needs none", mend)


def _git() -> Finding:
    found = shutil.which("git")
    if found:
        return Finding("git", "ok", found, "the commit of a run")
    return Finding("git", "missing", "not installed", "the commit of a run", "install git")


def _store(home: Home) -> Iterator[Finding]:
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        yield Finding("sqlite", "wrong", sqlite3.sqlite_version, "the record of runs", "use a newer Python")
    else:
        yield Finding("sqlite", "ok", sqlite3.sqlite_version, "the record of runs")
    folder = next(path for path in (home.folder, *home.folder.parents) if path.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        yield Finding("store", "wrong", f"{folder} cannot be written", "runs", "export NBVERTEX_HOME=FOLDER")
        return
    free = shutil.disk_usage(folder).free
    said = f"{home.folder}, {free / (1 << 30):.1f} GiB free"
    if free < LEAST_SPACE:
        yield Finding("store", "missing", said, "space for values", "nbvertex runs gc")
    else:
        yield Finding("store", "ok", said, "runs, values and the cache")
