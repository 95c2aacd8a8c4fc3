"""Which Python a word on the command line means: an interpreter, an environment's folder or a Jupyter kernel."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from nbvertex.errors import UsageError


def resolve_python(spec: str, environ: Mapping[str, str] = os.environ) -> str:
    """The path of the interpreter that a word stands for.

    Args:
        spec: an interpreter, the folder of an environment, or the name of an installed Jupyter kernel.
        environ: where `JUPYTER_PATH` and the home folder are looked up.

    Raises:
        UsageError: nothing of that name is there, or it is no Python.
    """
    path = Path(spec).expanduser()
    if path.is_dir():
        return _of_folder(path)
    if path.is_file() or os.sep in spec:
        return _executable(path)
    names = []
    for folder in kernel_folders(environ):
        if (folder / spec / "kernel.json").is_file():
            return _of_kernel(folder / spec / "kernel.json", spec)
        names += [kernel.parent.name for kernel in folder.glob("*/kernel.json")]
    if found := shutil.which(spec):
        return found
    known = f"; kernels here: {', '.join(sorted(set(names)))}" if names else ""
    raise UsageError(
        f"{spec!r} is no interpreter, no environment and no Jupyter kernel{known}",
        hint="give the path of a python, of an environment's folder, or a name from `jupyter kernelspec list`",
    )


def _executable(path: Path) -> str:
    if not path.is_file():
        raise UsageError(f"there is no interpreter {str(path)!r}")
    if not os.access(path, os.X_OK):
        raise UsageError(f"{str(path)!r} cannot be executed")
    return os.path.abspath(path)  # not resolved: a link in an environment's folder is what makes it one


def _of_folder(folder: Path) -> str:
    for name in ("bin/python", "bin/python3", "python.exe", "Scripts/python.exe"):
        if (folder / name).is_file():
            return _executable(folder / name)
    raise UsageError(f"the folder {str(folder)!r} holds no Python environment", hint="it has no bin/python")


def _of_kernel(file: Path, name: str) -> str:
    try:
        spec = json.loads(file.read_bytes())
        language, argv = str(spec.get("language", "python")), [str(word) for word in spec["argv"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"the kernel {name!r} cannot be read: {file}: {error}") from error
    if language.lower() != "python":
        raise UsageError(f"the kernel {name!r} runs {language}, not Python")
    if argv[:1] and os.path.isabs(argv[0]) and Path(argv[0]).is_file():
        return argv[0]
    if argv[:1] and argv[0] in ("python", "python3", Path(sys.executable).name):
        return sys.executable  # a bare name means the Python that Jupyter runs in
    raise UsageError(
        f"the kernel {name!r} starts {' '.join(argv[:1])!r}, which is no Python interpreter here"
    )


def kernel_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    """Where Jupyter looks for kernels, first to last."""
    home = Path(environ.get("HOME") or os.path.expanduser("~"))
    for entry in environ.get("JUPYTER_PATH", "").split(os.pathsep):
        if entry:
            yield Path(entry) / "kernels"
    if environ.get("JUPYTER_DATA_DIR"):
        yield Path(environ["JUPYTER_DATA_DIR"]) / "kernels"
    elif sys.platform == "darwin":
        yield home / "Library" / "Jupyter" / "kernels"
    else:
        yield Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "jupyter" / "kernels"
    yield Path(sys.prefix) / "share" / "jupyter" / "kernels"
    for prefix in ("/usr/local/share", "/usr/share"):
        yield Path(prefix) / "jupyter" / "kernels"
