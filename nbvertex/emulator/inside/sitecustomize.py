"""Shows `/gcs/BUCKET/...` to Python programs that run as containers, where the buckets lie in another folder; and what pip brought.

Python finds this module on PYTHONPATH when it starts. It imports nothing that a program could notice.
"""

from __future__ import annotations

import builtins
import importlib.util
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # `typing` itself would be noticed
    from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
MOUNT = "/gcs/"
KFP = "kfp.dsl.types.artifact_types"
PACKAGES = os.path.join(os.path.expanduser("~"), "packages")  # what `offline_pip` has installed
BUCKETS = os.environ.get("NBVERTEX_EMULATOR_BUCKETS", "")


def _moved(path: Any) -> Any:
    """The file that a path under /gcs/ stands for."""
    if isinstance(path, str):
        return BUCKETS + path[len(MOUNT) :] if path.startswith(MOUNT) else path
    if isinstance(path, bytes):
        return os.fsencode(_moved(os.fsdecode(path)))
    if hasattr(path, "__fspath__"):
        plain = os.fspath(path)
        return (
            _moved(plain) if plain.startswith(MOUNT if isinstance(plain, str) else MOUNT.encode()) else path
        )
    return path


def _wrapped(function: Any, count: int) -> Any:
    def call(*args: Any, **given: Any) -> Any:
        return function(*map(_moved, args[:count]), *args[count:], **given)

    call.__name__ = call.__qualname__ = function.__name__
    call.__doc__ = function.__doc__
    return call


ONE = "stat lstat listdir scandir mkdir makedirs remove unlink rmdir open access chmod truncate utime readlink chdir"
TWO = "rename replace link symlink"


def _patch() -> None:
    import io

    for names, count in ((ONE, 1), (TWO, 2)):
        for name in names.split():
            setattr(os, name, _wrapped(getattr(os, name), count))
    io.open = builtins.open = _wrapped(io.open, 1)


class _Watch:
    """Tells kfp where buckets are mounted, so that an artifact's path is a plain file's."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != KFP:
            return None
        sys.meta_path.remove(self)
        spec: Any = importlib.util.find_spec(name)
        run = spec.loader.exec_module

        def execute(module: Any) -> None:
            run(module)
            module._GCS_LOCAL_MOUNT_PREFIX = BUCKETS

        spec.loader.exec_module = execute
        return spec


def _go_on() -> None:
    """Run the environment's own sitecustomize, which this one hides."""
    here = [entry for entry in sys.path if os.path.abspath(entry or ".") != HERE]
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec("sitecustomize", here)
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        sys.modules["sitecustomize"] = module
        spec.loader.exec_module(module)


if BUCKETS:
    _patch()
    if KFP in sys.modules:
        sys.modules[KFP]._GCS_LOCAL_MOUNT_PREFIX = BUCKETS  # type: ignore[attr-defined]
    else:
        sys.meta_path.insert(0, _Watch())
if os.path.isdir(PACKAGES) and HERE in sys.path:
    sys.path.insert(sys.path.index(HERE) + 1, PACKAGES)
_go_on()
