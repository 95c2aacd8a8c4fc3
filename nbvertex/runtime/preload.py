"""Imports ahead of time, for every step, what imports cleanly; what does more than that is left to the steps."""

from __future__ import annotations

import gc
import importlib
import importlib.machinery
import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from . import modules, streams
from .shelf import Shelf

# these keep threads or a device in a state that a forked child cannot use
UNSAFE_TO_FORK = frozenset({"grpc", "polars", "jax", "jaxlib", "tensorflow", "cupy"})
_MOST_DRAWS = 1000


class Preload:
    """Imports modules and puts them on a shelf.

    Args:
        ip: the shell, whose hooks imports may use.
        outputs: `sys.stdout` and `sys.stderr`, which hold back what is written.
        forks: the processes of the steps are forked from this one.
    """

    def __init__(self, ip: Any, outputs: tuple[streams.Stream, streams.Stream], *, forks: bool) -> None:
        self.unfit: dict[str, str] = {}  # module: why it cannot be kept
        self._ip = ip
        self._outputs = outputs
        self._forks = forks
        self._shelf = Shelf()

    def run(self, names: Iterable[str]) -> None:
        """Import those of the modules that are installed packages; afterwards `unfit` names what must not stay."""
        sys.meta_path.insert(0, self._shelf)
        for name in names:
            if is_installed(name):
                self._import(name)

    def _import(self, name: str) -> None:
        known, before = set(sys.modules), self._state()
        self._shelf.begin(name)
        # as in a cell, where `get_ipython` is a builtin: libraries look for it
        with warnings.catch_warnings(), self._ip.builtin_trap:
            try:
                importlib.import_module(name)
            except ModuleNotFoundError as error:
                # `from package import thing` may be given as package.thing
                if error.name != name:
                    self.unfit[name] = f"raises {error!r}"
            except BaseException as error:  # whatever it is, the step that imports it meets it again
                self.unfit[name] = f"raises {error!r}"
            after = self._state()
        new = [module for module in sys.modules if module not in known]
        if "numpy.random" in new:
            _seen["numpy.random"] = sys.modules["numpy.random"]
        reason = self._why_unfit(before, after, new)
        if reason:
            self.unfit.setdefault(name, reason)
        self._shelf.put(new, before.undo(after))

    def _state(self) -> _State:
        held = sum(len(stream.held) for stream in self._outputs)
        return _State.now(self._ip, held)

    def _why_unfit(self, before: _State, after: _State, new: list[str]) -> str | None:
        if before.printed != after.printed:
            return "prints or warns"
        changed = before.lasting_difference(after)
        if changed:
            return f"changes {changed}"
        if self._forks:
            if set(after.threads) - set(before.threads):
                return "leaves a thread running"
            unsafe = UNSAFE_TO_FORK.intersection(new)
            if unsafe or _uses_cuda():
                return f"{', '.join(sorted(unsafe)) or 'CUDA'} cannot be forked"
        return None


def is_installed(name: str) -> bool:
    """The module would be found in the standard library or among installed packages, not in a folder of the user's."""
    top = name.partition(".")[0]
    if top in sys.builtin_module_names:
        return True
    installed = modules.installed_folders()
    portions = []
    for entry in sys.path:
        spec = importlib.machinery.PathFinder.find_spec(top, [entry or os.getcwd()])
        if spec is not None:
            portions.append(os.path.realpath(entry or os.getcwd()) + os.sep)
            if (
                spec.origin is not None
            ):  # else a part of a namespace package: a later entry may have the package
                return portions[-1].startswith(installed)
    return bool(portions) and all(portion.startswith(installed) for portion in portions)


def leftover_threads() -> list[str]:
    """The Python threads beside the main one, which a fork would lose."""
    main = threading.main_thread()
    return [thread.name for thread in threading.enumerate() if thread is not main]


def _uses_cuda() -> bool:
    torch = sys.modules.get("torch")
    cuda = getattr(torch, "cuda", None)
    return bool(cuda is not None and cuda.is_initialized())


@dataclass(frozen=True)
class _State:
    """What an import may change beside `sys.modules`."""

    lasting: dict[str, Any]  # what cannot be done again in a step
    printed: int
    threads: tuple[threading.Thread, ...]
    environ: dict[str, str]
    filters: tuple[Any, ...]
    random: Any
    callbacks: dict[str, list[Callable[..., None]]]
    ip: Any

    @classmethod
    def now(cls, ip: Any, held: int) -> _State:
        return cls(
            lasting=dict(_lasting()),
            printed=held + os.fstat(1).st_size + os.fstat(2).st_size,
            threads=tuple(threading.enumerate()),
            environ=dict(os.environ),
            filters=tuple(warnings.filters),
            random=random.getstate(),
            callbacks={event: list(callbacks) for event, callbacks in ip.events.callbacks.items()},
            ip=ip,
        )

    def lasting_difference(self, after: _State) -> str | None:
        """The name of something that the import has changed and that cannot be told from it again."""
        for name, value in self.lasting.items():
            if after.lasting.get(name) != value:
                return name
        if _draws(self.random, after.random) is None:
            return "the random generator"
        if _added(self.filters, after.filters) is None:
            return "the warning filters"
        return None

    def undo(self, after: _State) -> Callable[[], None]:
        """Set back what the import has changed; gives what changes it in that way again."""
        environ = {k: v for k, v in after.environ.items() if self.environ.get(k) != v}
        gone = [k for k in self.environ if k not in after.environ]
        first, last = _added(self.filters, after.filters) or ((), ())
        draws = _draws(self.random, after.random) or 0
        events = self.ip.events
        added = [
            (event, callback)
            for event, callbacks in after.callbacks.items()
            for callback in callbacks
            if callback not in self.callbacks[event]
        ]

        def again() -> None:
            os.environ.update(environ)
            for name in gone:
                os.environ.pop(name, None)
            for item in reversed(first):
                _add_filter(*item)
            for item in last:
                _add_filter(*item, append=True)
            for _ in range(draws):
                random.getrandbits(32)
            for event, callback in added:
                events.register(event, callback)

        for name in environ:
            del os.environ[name]
        os.environ.update(self.environ)
        random.setstate(self.random)
        for event, callback in added:
            events.unregister(event, callback)
        return again


_seen: dict[str, Any] = {}  # modules whose state is watched, also while they are on the shelf


def _lasting() -> Iterable[tuple[str, Any]]:
    yield "the working folder", os.getcwd()
    yield "sys.path", list(sys.path)
    yield "signal handlers", [signal.getsignal(number) for number in sorted(signal.valid_signals())]
    yield "the garbage collector", (gc.isenabled(), gc.get_threshold())
    yield "the recursion limit", sys.getrecursionlimit()
    yield (
        "sys hooks",
        (sys.excepthook, sys.displayhook, sys.stdout, sys.stderr, sys.gettrace(), sys.getprofile()),
    )
    yield "logging", (list(logging.root.handlers), logging.root.level, logging.root.manager.disable)
    if (numpy := _seen.get("numpy.random")) is not None:
        state = numpy.get_state(legacy=False)["state"]
        yield "numpy's random generator", {key: str(value) for key, value in state.items()}


def _draws(before: Any, after: Any) -> int | None:
    """How many words were drawn from the generator between two states; None where that does not explain them."""
    if before == after:
        return 0
    generator = random.Random()
    generator.setstate(before)
    for count in range(1, _MOST_DRAWS):
        generator.getrandbits(32)
        if generator.getstate() == after:
            return count
    return None


def _added(before: tuple[Any, ...], after: tuple[Any, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...]] | None:
    """What was put before and behind the filters that were there; None where that does not explain the change."""
    for count in range(len(after) - len(before) + 1):
        if after[count : count + len(before)] == before:
            return after[:count], after[count + len(before) :]
    return None


def _add_filter(
    action: Any, message: Any, category: type[Warning], module: Any, line: int, *, append: bool = False
) -> None:
    warnings.filterwarnings(
        action,
        message=_pattern(message),
        category=category,
        module=_pattern(module),
        lineno=line,
        append=append,
    )


def _pattern(given: Any) -> str:
    if given is None:
        return ""
    return given if isinstance(given, str) else str(given.pattern)
