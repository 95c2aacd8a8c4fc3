"""What Python does of itself while cells run, as far as cells have a hand in it: finders, streams, limits, finalizers."""

from __future__ import annotations

import importlib.machinery
import sys
import types
from typing import Any

from . import streams
from .probes import Probe, words


def _streams_get() -> dict[str, Any]:
    """What cells have put in the place of the standard streams."""
    found = {name: getattr(sys, name) for name in ("stdout", "stderr")}
    return {name: stream for name, stream in found.items() if streams.standard.get(name) is not stream}


def _streams_put(put: dict[str, Any]) -> None:
    for name, stream in put.items():
        setattr(sys, name, stream)


def _finalizers_get() -> list[Any]:
    """The calls that are made when an object of the notebook's dies, whoever holds them."""
    registry = sys.modules["weakref"].finalize._registry
    return [one for one, info in registry.items() if type(info.weakref()).__module__ == "__main__"]


def _finalizers_put(finalizers: list[Any]) -> None:
    """They are there as soon as they have arrived."""


def _made_get() -> dict[str, Any]:
    """Modules that cells have put together and registered by hand."""
    return {
        name: module
        for name, module in list(sys.modules.items())
        if type(module) is types.ModuleType and name != "__main__" and _is_handmade(module)
    }


def _is_handmade(module: types.ModuleType) -> bool:
    known = vars(module)
    return known.get("__spec__") is None and known.get("__file__") is None and known.get("__loader__") is None


def _made_put(modules: dict[str, Any]) -> None:
    sys.modules.update(modules)


def _finders_get() -> list[tuple[bool, Any]]:
    """What cells have put among the finders of modules, and whether it stands before Python's own."""
    found, before = [], True
    for finder in sys.meta_path:
        before = before and finder is not importlib.machinery.BuiltinImporter
        if "__main__" in (type(finder).__module__, getattr(finder, "__module__", "")):
            found.append((before, finder))
    return found


def _finders_put(finders: list[tuple[bool, Any]]) -> None:
    first = [finder for before, finder in finders if before]
    sys.meta_path[:] = [*first, *sys.meta_path, *(finder for before, finder in finders if not before)]


def _collected_get() -> list[Any]:
    import gc

    return [call for call in gc.callbacks if getattr(call, "__module__", "") == "__main__"]


def _collected_put(callbacks: list[Any]) -> None:
    import gc

    gc.callbacks.extend(callbacks)


def _limits_get() -> dict[str, tuple[int, int]]:
    resource = sys.modules["resource"]
    names = [name for name in dir(resource) if name.startswith("RLIMIT_")]
    return {name: resource.getrlimit(getattr(resource, name)) for name in names}


def _limits_put(limits: dict[str, tuple[int, int]]) -> None:
    resource = sys.modules["resource"]
    for name, limit in limits.items():
        if resource.getrlimit(getattr(resource, name)) != limit:
            resource.setrlimit(getattr(resource, name), limit)


def _tracing_get() -> int:
    tracemalloc = sys.modules["tracemalloc"]
    return int(tracemalloc.get_traceback_limit()) if tracemalloc.is_tracing() else 0


def _tracing_put(frames: int) -> None:
    tracemalloc = sys.modules["tracemalloc"]
    tracemalloc.start(frames) if frames else tracemalloc.stop()


MADE = Probe("@made", "sys", _made_get, _made_put)
"""Looked at only where cells have to do with `sys.modules`: there are very many."""

MACHINERY: tuple[Probe, ...] = (
    Probe("@finders", "sys", _finders_get, _finders_put),
    Probe("@gc.callbacks", "gc", _collected_get, _collected_put),
    Probe("@limits", "resource", _limits_get, _limits_put, words("rlimit")),
    Probe("@tracemalloc", "tracemalloc", _tracing_get, _tracing_put),
    Probe("@finalizers", "weakref", _finalizers_get, _finalizers_put),
    Probe("@stdout", "sys", _streams_get, _streams_put),
)
